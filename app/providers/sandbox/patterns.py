"""Regular expressions of a JSON Schema: make an example of one, and tell whether a text matches.

A client's pattern never runs in Python's ``re``, where a hostile one can take hours. It is parsed here.
A match keeps the set of positions where each node may end, and counts its steps so that the caller can
bound them. Look-around, back references and word boundaries are unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Final

from app.canonical.record import record

MAX_PATTERN: Final = 500  # characters
MAX_REPEAT: Final = 1000
MAX_EXAMPLE: Final = 4_000  # characters
MAX_NESTING: Final = 20  # groups

Step = Callable[[int], object]
"""Counts positions that a match looks at; raises where they are too many."""


class Unsupported(ValueError):
    """A pattern that cannot be parsed here, or an example that would be too long."""


@record
class Chars:
    """One character of some ranges of code points, or one outside of them."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def holds(self, char: str) -> bool:
        """Tell whether ``char`` is one of them."""
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges) is not self.negated

    def example(self) -> str:
        """Return one of them, a letter or digit if there is one."""
        codes = range(0x20, 0x3000) if self.negated else [low for low, _ in self.ranges]
        for char in (*_READABLE, *map(chr, codes)):
            if self.holds(char) and not "\ud800" <= char <= "\udfff":
                return char
        raise Unsupported("no character fits")


@record
class Sequence:
    """Nodes one after another."""

    nodes: tuple[Node, ...]


@record
class Either:
    """One of several nodes."""

    nodes: tuple[Node, ...]


@record
class Repeat:
    """A node ``low`` to ``high`` times (None: any number)."""

    node: Node
    low: int
    high: int | None


@record
class Anchor:
    """The start or the end of the text."""

    at_start: bool


Node = Chars | Sequence | Either | Repeat | Anchor

_READABLE: Final = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
_DIGIT: Final = ((0x30, 0x39),)
_WORD: Final = ((0x61, 0x7A), (0x41, 0x5A), (0x30, 0x39), (0x5F, 0x5F))
_SPACE: Final = ((0x20, 0x20), (0x09, 0x0D))
_CLASSES: Final[Mapping[str, Chars]] = {
    "d": Chars(_DIGIT),
    "D": Chars(_DIGIT, True),
    "w": Chars(_WORD),
    "W": Chars(_WORD, True),
    "s": Chars(_SPACE),
    "S": Chars(_SPACE, True),
}
_SIGNS: Final[Mapping[str, Node]] = {
    "^": Anchor(True),
    "$": Anchor(False),
    ".": Chars(((0x0A, 0x0A), (0x0D, 0x0D)), True),
}
_ESCAPES: Final[Mapping[str, str]] = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_REPEATS: Final[Mapping[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}

_ESCAPE: Final = r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)"
_CHARACTER: Final = re.compile(rf"{_ESCAPE}|[^\\()\[|*+?]", re.DOTALL)
_SET: Final = re.compile(r"\[(\^?)(\]?(?:\\.|[^\\\]])*)\]", re.DOTALL)
_SET_MEMBER: Final = re.compile(rf"({_ESCAPE}|[^\\])(?:-({_ESCAPE}|[^\\]))?", re.DOTALL)
_GROUP: Final = re.compile(r"\((?:\?:|\?P?<(?![=!])[^>]*>|(?!\?))")
_GROUP_END: Final = re.compile(r"\)")
_BAR: Final = re.compile(r"\|")
_QUANTIFIER: Final = re.compile(r"(?:([*+?])|\{(\d{1,9})(?:(,)(\d{0,9}))?\})\??", re.ASCII)

_FAULTS: Final[Mapping[str, str]] = {
    # the character at which parsing stops: what is wrong
    "(": "look-around",
    ")": "a bracket is closed that was not opened",
    "[": "a bracket is not closed",
    "": "a bracket is not closed",
    "\\": "the pattern ends too early",
}


def parse_pattern(pattern: str) -> Node:
    """Return the tree of ``pattern``; raises Unsupported for what cannot be parsed here."""
    if len(pattern) > MAX_PATTERN:
        raise Unsupported("the pattern is too long")
    parser = _Parser(pattern)
    node = parser.either(0)
    if parser.rest:
        raise parser.fault()
    return node


class _Parser:
    """Parses a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def fault(self) -> Unsupported:
        """Return the error that says why parsing stopped."""
        return Unsupported(_FAULTS.get(self.rest[:1], "there is nothing to repeat"))

    def either(self, depth: int) -> Node:
        """Return what stands here up to the end of the group, below ``depth`` other groups."""
        branches = [self._sequence(depth)]
        while self._take(_BAR):
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def _take(self, token: re.Pattern[str]) -> re.Match[str] | None:
        match = token.match(self.rest)
        if match is not None:
            self.rest = self.rest[match.end() :]
        return match

    def _sequence(self, depth: int) -> Node:
        nodes: list[Node] = []
        while (node := self._atom(depth)) is not None:
            while (quantifier := self._take(_QUANTIFIER)) is not None:
                node = _repeat(node, quantifier)
            nodes.append(node)
        return Sequence(tuple(nodes))

    def _atom(self, depth: int) -> Node | None:
        if self._take(_GROUP):
            if depth >= MAX_NESTING:
                raise Unsupported("groups are nested too deep")
            node = self.either(depth + 1)
            if not self._take(_GROUP_END):
                raise self.fault()
            return node
        if match := self._take(_SET):
            return _set(match[2], negated=bool(match[1]))
        if match := self._take(_CHARACTER):
            return _SIGNS.get(match[0]) or _chars(match[0])
        return None


def _repeat(node: Node, quantifier: re.Match[str]) -> Node:
    sign, least, comma, most = quantifier.groups()
    low, high = _REPEATS[sign] if sign else (int(least), int(most or least))
    if comma and not most:
        high = None
    if low > MAX_REPEAT or (high or 0) > 10**6 or isinstance(node, Anchor):
        raise Unsupported("a repetition is too long")
    if high is not None and high < low:
        raise Unsupported("a repetition is upside down")
    return Repeat(node, low, high)


def _set(body: str, *, negated: bool) -> Chars:
    ranges: list[tuple[int, int]] = []
    for first, last in _SET_MEMBER.findall(body):
        low, high = _chars(first), _chars(last or first)
        if low.negated or high.negated:
            raise Unsupported("a negated class within a class")
        ranges += [(low.ranges[0][0], high.ranges[-1][1])] if last else low.ranges
    return Chars(tuple(ranges), negated)


def _chars(text: str) -> Chars:
    """Return what a character or an escape of a pattern stands for."""
    letter = text[1:2]
    if letter in _CLASSES:
        return _CLASSES[letter]
    if letter.isalnum() and len(text) == 2 and letter not in _ESCAPES:
        raise Unsupported(text)
    code = int(text[2:], 16) if len(text) > 2 else ord(_ESCAPES.get(letter, letter or text))
    return Chars(((code, code),))


def example(node: Node, extra: int = 0) -> str:
    """Return a text that matches ``node``, open repetitions ``extra`` times more than they must.

    Raises Unsupported where it would be longer than ``MAX_EXAMPLE`` characters.
    """
    if isinstance(node, Chars):
        return node.example()
    if isinstance(node, Sequence):
        return _join([example(part, extra) for part in node.nodes])
    if isinstance(node, Either):
        return example(node.nodes[0], extra)
    if isinstance(node, Repeat):
        times = node.low + extra if node.high is None else min(node.low + extra, node.high)
        return _join([example(node.node, extra)] * times) if times else ""
    return ""


def _join(texts: list[str]) -> str:
    if sum(map(len, texts)) > MAX_EXAMPLE:
        raise Unsupported("the text would be too long")
    return "".join(texts)


def matches(node: Node, text: str, step: Step) -> bool:
    """Tell whether ``node`` matches anywhere in ``text``, as JSON Schema has it."""
    return bool(_ends(node, text, set(range(len(text) + 1)), step))


def _ends(node: Node, text: str, starts: set[int], step: Step) -> set[int]:
    """Return the positions where a match of ``node`` that begins at one of ``starts`` may end."""
    step(1 + len(starts))
    if isinstance(node, Chars):
        return {at + 1 for at in starts if at < len(text) and node.holds(text[at])}
    if isinstance(node, Anchor):
        return starts & {0 if node.at_start else len(text)}
    if isinstance(node, Either):
        return set().union(*(_ends(branch, text, starts, step) for branch in node.nodes))
    if isinstance(node, Sequence):
        for part in node.nodes:
            starts = _ends(part, text, starts, step)
        return starts
    for _ in range(node.low):
        starts = _ends(node.node, text, starts, step)
    ends = set(starts)
    for _ in repeat(None) if node.high is None else range(node.high - node.low):
        starts = _ends(node.node, text, starts, step) - ends
        if not starts:
            break
        ends |= starts
    return ends
