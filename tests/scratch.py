"""A scratch copy of the application, to add something to it, count what that took, and run it.

``Scratch(tmp_path)`` copies what a server needs; ``add`` makes a file, ``insert`` puts lines into
one. ``changes`` counts what was added, by comparing the two trees, ``faults`` are those against the
rules of the house. ``tests.behaviour.world.running_world(root=scratch.root)`` runs the copy before a
fake provider.
"""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

from tests.house_rules import RULES, read_modules
from tests.running import ROOT

_SERVER = ("gunicorn.conf.py", "wsgi.py")


class Scratch:
    """A copy of app/ and of what serves it, below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        shutil.copytree(ROOT / "app", self.root / "app", ignore=shutil.ignore_patterns("__pycache__"))
        for name in _SERVER:
            shutil.copy(ROOT / name, self.root / name)

    def add(self, path: str, text: str) -> None:
        """Make a file that is not there yet."""
        file = self.root / path
        assert not file.exists(), f"{path} is there already"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def insert(self, path: str, before: str, text: str) -> None:
        """Put ``text`` before the one place of a file that reads ``before``."""
        self.replace(path, before, text + before)

    def replace(self, path: str, old: str, new: str) -> None:
        """Put ``new`` in the one place of a file that reads ``old``."""
        file = self.root / path
        source = file.read_text()
        assert source.count(old) == 1, f"{path} holds {old!r} {source.count(old)} times"
        file.write_text(source.replace(old, new))

    def changes(self) -> dict[str, int]:
        """Return the lines added to each file that differs; a line that went counts, too."""
        files = (file for file in sorted((self.root / "app").rglob("*")) if file.suffix == ".py")
        found = {file.relative_to(self.root).as_posix(): _lines_changed(file, self.root) for file in files}
        return {path: count for path, count in found.items() if count}

    def faults(self) -> list[str]:
        """Return what the copy breaks of the rules of the house."""
        modules = read_modules(self.root)
        return [fault for module in modules for rule in RULES for fault in rule(module)]


def _lines_changed(file: Path, root: Path) -> int:
    original = ROOT / file.relative_to(root)
    before = original.read_text() if original.exists() else ""
    after = file.read_text()
    if before == after:
        return 0
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in lines)
