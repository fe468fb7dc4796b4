"""Faults of a configuration, reported together, each with its place.

A place is a path in the file (``providers.openai.keys[0].weight``) or the variable that
gave the value. Values are never shown: they may be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.config import Settings

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MOST = 100  # faults that are told at once
_LONGEST = 100  # characters of a name


class ConfigError(Exception):
    """An invalid configuration; ``faults`` are pairs of place and sentence.

    ``sound`` are the settings without the faulty members, if the file could be read."""

    def __init__(self, faults: tuple[tuple[str, str], ...], sound: Settings | None = None) -> None:
        self.faults = faults
        self.sound = sound
        super().__init__("\n".join(f"{place}: {sentence}" for place, sentence in faults))


class Faults:
    """Collects faults. ``sources`` says which variable gave the value at a path."""

    def __init__(self, sources: Mapping[Path, str] | None = None) -> None:
        self._sources = {} if sources is None else sources
        self._faults: dict[tuple[str, str], None] = {}
        self._settled: frozenset[str] = frozenset()

    def add(self, path: Path, sentence: str) -> None:
        """Add a fault at ``path``, unless its place was settled before."""
        place = self.place(path)
        if place not in self._settled:
            self._faults[place, sentence] = None

    def settle(self) -> None:
        """Accept no further faults at places that have one: they would be consequences of it."""
        self._settled = frozenset(place for place, _ in self._faults)

    def add_tree(self, tree: Any, path: Path = ()) -> None:
        """Add all faults of a marshmallow error tree: nested members down to lists of sentences."""
        if isinstance(tree, Mapping):
            for name, below in tree.items():
                self.add_tree(below, path if name == "_schema" else (*path, name))
            return
        for sentence in tree if isinstance(tree, list) else [tree]:
            self.add(path, str(sentence))

    def place(self, path: Path) -> str:
        """Return the variable that gave the value at ``path`` or above it, else the path as written in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._sources:
                return self._sources[path[:length]]
        return path_text(path)

    def check(self, sound: Settings | None = None) -> None:
        """Raise ``ConfigError`` if there is any fault."""
        if self._faults:
            faults = tuple(self._faults)
            rest = len(faults) - _MOST
            more = (("the configuration", f"has {rest} more faults"),) if rest > 0 else ()
            raise ConfigError((*faults[:_MOST], *more), sound)


def path_text(path: Path) -> str:
    """Return ``providers.openai.keys[0]``, with quotes around names that need them in TOML."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            step = step if len(step) <= _LONGEST else f"{step[:_LONGEST]}…"
            text += ("." if text else "") + (step if _BARE.fullmatch(step) else f'"{step}"')
    return text or "the file"
