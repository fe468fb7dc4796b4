"""``docs/clients.md``: each snippet runs as it stands, on this server's port and key, or says why not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.behaviour.world import World
from tests.clients.conftest import KEY
from tests.clients.environments import ENVIRONMENTS, Environment
from tests.conftest import node_that_can_require
from tests.docs.blocks import ROOT, RUN, Block, blocks
from tests.services import leave_out

PAGE = "docs/clients.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
BLOCKS = [block for block in blocks() if block.page == PAGE]
PROGRAMS = [block for block in BLOCKS if block.language in RUN and block.reason is None]
SETTINGS = {block.text.split("\n")[0]: block.text for block in BLOCKS if block.language == "toml"}
ADDRESS = "http://127.0.0.1:8080"

# They ask their makers' servers for news, or tell them of us.
QUIET = {
    "AIDER_ANALYTICS": "false",
    "AIDER_CHECK_UPDATE": "false",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "DISABLE_AUTOUPDATER": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}

COMMANDS = {"python": ["python", "-c"], "js": ["node", "-e"], "sh": ["bash", "-euc"]}
INSTALLS = {
    "claude": "@anthropic-ai/claude-code",
    "gemini": "@google/gemini-cli",
    "codex": "@openai/codex",
}


def _run(
    program: str, language: str, environment: Environment | None, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder that is its home, too, with the clients of an environment or those of the tests."""
    if environment is None:
        _look_for_clients(program, language)
        programs, modules = Path(sys.executable).parent, os.environ.get("NODE_PATH", "")
    else:
        if not environment.stamp.exists():
            leave_out("clients of docs/clients.md are not installed: make clients")
        programs, modules = environment.programs, str(environment.folder / "node_modules")
    path = f"{programs}:{os.environ['PATH']}"
    try:
        return subprocess.run(
            [*COMMANDS[language], program],
            env={"PATH": path, "HOME": str(folder), "NODE_PATH": modules, **QUIET},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
    finally:
        _end_daemons(folder)


def _end_daemons(folder: Path) -> None:
    """End what a client leaves running for its next start (Cline's hub): it names its folder."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            if os.fsencode(folder) in file.read_bytes().split(b"\0"):
                os.kill(int(file.parent.name), signal.SIGTERM)


def _look_for_clients(program: str, language: str) -> None:
    """Leave the test out where Node has no such module, or the path no such command."""
    if language == "js":
        node_that_can_require(re.findall(r'require\("([^"]+)"\)', program)[0])
    if language == "sh":
        name = program.strip().split("\n")[-1].split()[0]
        if shutil.which(name) is None:
            leave_out(f"{name} is not on the path: npm install {INSTALLS[name]}")


def _section(line: int) -> str:
    """Return the heading above a line of the page."""
    return re.findall(r"^## (.*)$", "\n".join(TEXT.split("\n")[:line]), re.MULTILINE)[-1]


SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


BY_HAND = "Tried by hand"


def test_each_row_that_was_tried_by_hand_names_a_version() -> None:
    rows = re.findall(r"^\| (.*?) \|", SECTIONS[BY_HAND], re.MULTILINE)[1:]
    assert len(rows) > 10
    assert [row for row in rows if not re.search(r"\d+\.\d+(\.\d+)?\b", row)] == []


def test_every_section_has_a_snippet_that_is_run_or_the_version_it_was_tried_with() -> None:
    run = {_section(block.line) for block in PROGRAMS}
    tried = {
        _section(block.line): block.reason
        for block in BLOCKS
        if block.reason and _section(block.line) not in run
    }
    assert run | {*tried, BY_HAND} == set(SECTIONS)
    for name, reason in tried.items():
        version = re.match(r"tried by hand with .* (\d[\d.]*\d), which ", reason or "")
        assert version is not None, name
        assert re.search(rf"Tried with [^\n]* {re.escape(version[1])}\b", SECTIONS[name]), name


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_section_names_the_versions_it_is_run_with(name: str) -> None:
    versions = {re.split("[=@]", package)[-1] for package in ENVIRONMENTS[name].packages}
    said = SECTIONS[name].replace("\n", " ").partition("Run with ")[2]
    assert versions - set(re.findall(r"\d[\d.]*\d", said)) == set()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{_section(block.line)}:{block.line}")
def test_a_snippet_says_hello(world: World, tmp_path: Path, block: Block) -> None:
    def here(text: str) -> str:
        return text.replace(ADDRESS, world.gateway.url).replace('"KEY"', f'"{KEY}"')

    for place, text in SETTINGS.items():
        file = tmp_path / place.removeprefix("# ~/")
        file.parent.mkdir()
        file.write_text(here(text), encoding="utf-8")
    program = here(block.text)
    environment = ENVIRONMENTS.get(_section(block.line))
    done = _run(program, block.language, environment, tmp_path)
    said = [line.strip() for line in done.stdout.splitlines()]
    if block.language == "sh":  # some agents tell how they fare
        assert said.count("Hello") == 1, f"{done.stdout}{done.stderr}"
    else:
        assert said == ["Hello"] * block.text.count('sandbox/echo"'), f"{done.stdout}{done.stderr}"
