"""``docs/clients.md``: each snippet runs as it stands, on this server's port and key, or says why not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.behaviour.world import World
from tests.clients.conftest import KEY, claude_code, codex, gemini_cli
from tests.conftest import node_that_can_require
from tests.docs.blocks import ROOT, RUN, Block, blocks

PAGE = "docs/clients.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
BLOCKS = [block for block in blocks() if block.page == PAGE]
PROGRAMS = [block for block in BLOCKS if block.language in RUN and block.reason is None]
SETTINGS = {block.text.split("\n")[0]: block.text for block in BLOCKS if block.language == "toml"}
ADDRESS = "http://127.0.0.1:8080"

Done = subprocess.CompletedProcess[str]


def _run(*command: str) -> Done:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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


def test_every_section_has_a_snippet_that_is_run_or_the_version_it_was_tried_with() -> None:
    run = {_section(block.line) for block in PROGRAMS}
    tried = {
        _section(block.line): block.reason
        for block in BLOCKS
        if block.reason and _section(block.line) not in run
    }
    assert run | set(tried) == set(re.findall(r"^## (.*)$", TEXT, re.MULTILINE))
    sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
    for name, reason in tried.items():
        version = re.match(r"tried by hand with .* (\d[\d.]*\d), which ", reason or "")
        assert version is not None, name
        assert re.search(rf"Tried with [^\n]* {re.escape(version[1])}\b", sections[name]), name


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: _section(block.line))
def test_a_snippet_says_hello(world: World, tmp_path: Path, block: Block) -> None:
    def here(text: str) -> str:
        return text.replace(ADDRESS, world.gateway.url).replace('"KEY"', f'"{KEY}"')

    for place, text in SETTINGS.items():
        file = tmp_path / place.removeprefix("# ~/")
        file.parent.mkdir()
        file.write_text(here(text), encoding="utf-8")
    done = LANGUAGES[block.language](here(block.text), tmp_path)
    assert done.stdout.strip() == "Hello", done.stderr
