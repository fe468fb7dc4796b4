"""The fenced blocks of our Markdown pages, and how each is run.

A block of ``sh``, ``python`` or ``js`` is run by ``test_readme.py`` as it stands. The line before it may
say otherwise: ``<!-- run by tests/… -->`` names the test that runs it, ``<!-- not run: … -->`` the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = ("sh", "python", "js")
SILENT = ("toml", "nginx", "yaml", "")  # data and layouts; what can be checked in them has tests of its own

_BLOCK = re.compile(
    r"^(?P<marker> *<!-- [^\n]* -->\n)?(?P<margin> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=margin)```$",
    re.DOTALL | re.MULTILINE,
)
_MARKER = re.compile(r"<!-- (run by (?P<test>\S+)|not run: (?P<reason>.+)) -->\n")

# curl must fail where the server refuses.
_STRICT = 'curl() { command curl --fail-with-body --silent --show-error --max-time 30 "$@"; }\n'


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``run_by`` is another test's path, ``reason`` why nobody runs it."""

    page: str
    line: int
    language: str
    text: str
    run_by: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs_here(self) -> bool:
        return self.language in RUN and self.run_by is None and self.reason is None


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> list[Block]:
    """Every fenced block of every page."""
    return [block for page in pages() for block in _blocks_of(page)]


def _blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        marker = _MARKER.fullmatch((match["marker"] or "").lstrip())
        line = text.count("\n", 0, match.start("language")) + 1
        given = {"run_by": marker["test"], "reason": marker["reason"]} if marker else {}
        found.append(
            Block(
                str(page.relative_to(ROOT)), line, match["language"], textwrap.dedent(match["text"]), **given
            )
        )
    return found


def run_block(
    block: Block, folder: Path, *, port: int, node_path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a block in ``folder`` against the server at ``port`` instead of 8080."""
    text = block.text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace(
        "localhost:8080", f"127.0.0.1:{port}"
    )
    text = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    command = {"sh": _shell, "python": _python, "js": _node}[block.language](text, folder, node_path)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=50, check=False
    )


def _shell(text: str, folder: Path, node_path: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", _STRICT + text]


def _python(text: str, folder: Path, node_path: str) -> list[str]:
    return [sys.executable, "-c", text]


def _node(text: str, folder: Path, node_path: str) -> list[str]:
    (folder / "node_modules").symlink_to(node_path)
    (folder / "snippet.mjs").write_text(text)
    return ["node", "snippet.mjs"]
