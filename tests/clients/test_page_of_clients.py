"""``docs/clients.md``: each snippet runs as it stands, on this server's port and key."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.behaviour.world import World
from tests.clients.conftest import KEY, claude_code, gemini_cli
from tests.conftest import node_that_can_require

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
SNIPPETS = re.findall(
    r"^## ([^\n]*)\n\n(?:<!-- [^\n]* -->\n)?```(\w+)\n(.*?)```",
    PAGE.read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)

Done = subprocess.CompletedProcess[str]


def _run(*command: str) -> Done:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _shell(program: str, folder: Path) -> Done:
    """Run a program of a coding agent, whose settings are its exports."""
    *exports, line = program.strip().split("\n")
    env = dict(re.findall(r'(\w+)="?([^\s"]+)"?', " ".join(exports).replace("export ", "")))
    if line.startswith("gemini "):
        return gemini_cli(shlex.split(line)[1:], env, folder)
    return claude_code([line.removeprefix('claude -p "').removesuffix('"'), "-p"], env, folder)


def _required(program: str) -> str:
    """Return the module that a program of Node requires."""
    (module,) = re.findall(r'require\("([^"]+)"\)', program)
    return str(module)


LANGUAGES: dict[str, Callable[[str, Path], Done]] = {
    "python": lambda program, folder: _run(sys.executable, "-c", program),
    "js": lambda program, folder: _run(node_that_can_require(_required(program)), "-e", program),
    "sh": _shell,
}


def test_every_section_has_a_snippet() -> None:
    assert len(SNIPPETS) == PAGE.read_text(encoding="utf-8").count("\n## ")


@pytest.mark.parametrize(("name", "language", "program"), SNIPPETS, ids=[name for name, _, _ in SNIPPETS])
def test_a_snippet_says_hello(world: World, tmp_path: Path, name: str, language: str, program: str) -> None:
    program = program.replace("http://127.0.0.1:8080", world.gateway.url).replace('"KEY"', f'"{KEY}"')
    done = LANGUAGES[language](program, tmp_path)
    assert done.stdout.strip() == "Hello", done.stderr
