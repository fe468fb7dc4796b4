"""``docs/clients.md``: each snippet runs as it stands, on this server's port and key, or says why not."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.behaviour.world import World
from tests.clients.conftest import KEY, claude_code, codex, gemini_cli
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
    "CREWAI_DISABLE_TELEMETRY": "true",
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}

Done = subprocess.CompletedProcess[str]


def _run(*command: str) -> Done:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _run_apart(program: str, language: str, environment: Environment, folder: Path) -> Done:
    """Run a program with a client that has an environment of its own, in a folder that is its home, too."""
    if not environment.stamp.exists():
        leave_out("clients of docs/clients.md are not installed: make clients")
    command = {"python": ["python", "-c"], "js": ["node", "-e"], "sh": ["bash", "-euc"]}[language]
    path = {"PATH": f"{environment.programs}:{os.environ['PATH']}", "HOME": str(folder)}
    return subprocess.run(
        [*command, program],
        env={**path, "NODE_PATH": str(environment.folder / "node_modules"), **QUIET},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def _shell(program: str, folder: Path) -> Done:
    """Run a program of a coding agent, whose settings are its exports."""
    *exports, line = program.strip().split("\n")
    env = dict(re.findall(r'(\w+)="?([^\s"]+)"?', " ".join(exports).replace("export ", "")))
    name, *arguments = shlex.split(line)
    return AGENTS[name](arguments, env, folder)


def _node(program: str, folder: Path) -> Done:
    module = re.findall(r'require\("([^"]+)"\)', program)[0]
    return _run(node_that_can_require(module), "-e", program)


AGENTS = {"claude": claude_code, "gemini": gemini_cli, "codex": codex}
LANGUAGES: dict[str, Callable[[str, Path], Done]] = {
    "python": lambda program, folder: _run(sys.executable, "-c", program),
    "js": _node,
    "sh": _shell,
}


def _section(line: int) -> str:
    """Return the heading above a line of the page."""
    return re.findall(r"^## (.*)$", "\n".join(TEXT.split("\n")[:line]), re.MULTILINE)[-1]


SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


def test_every_section_has_a_snippet_that_is_run_or_the_version_it_was_tried_with() -> None:
    run = {_section(block.line) for block in PROGRAMS}
    tried = {
        _section(block.line): block.reason
        for block in BLOCKS
        if block.reason and _section(block.line) not in run
    }
    assert run | set(tried) == set(SECTIONS)
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
    if (environment := ENVIRONMENTS.get(_section(block.line))) is not None:
        done = _run_apart(program, block.language, environment, tmp_path)
    else:
        done = LANGUAGES[block.language](program, tmp_path)
    said = [line.strip() for line in done.stdout.splitlines()]
    if block.language == "sh":  # some agents tell how they fare
        assert said.count("Hello") == 1, f"{done.stdout}{done.stderr}"
    else:
        assert said == ["Hello"] * block.text.count('sandbox/echo"'), f"{done.stdout}{done.stderr}"
