"""Regular expressions of a JSON Schema: an example of one, and whether a text matches.

A client's pattern never reaches Python's ``re``, which one hostile pattern can stall for
hours: it is parsed here and matched by sets of positions, in polynomial time and bounded.
Look-around, back references and word boundaries are unsupported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_PATTERN: Final = 500  # characters
MAX_REPEAT: Final = 1000
MAX_TEXT: Final = 20_000  # characters of an example
MAX_STEPS: Final = 200_000


class Unsupported(ValueError):
    """A pattern that is not read here, or costs too much."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of (or, negated, outside) some ranges."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def holds(self, char: str) -> bool:
        """Tell whether ``char`` is one of them."""
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges) is not self.negated

    def example(self) -> str:
        """Return one of them, a letter or digit if there is one."""
        for char in _LIKED:
            if self.holds(char):
                return char
        starts = [low for low, _ in self.ranges] if not self.negated else range(0x20, 0x3000)
        for code in starts:
            if not 0xD800 <= code <= 0xDFFF and self.holds(chr(code)):
                return chr(code)
        raise Unsupported("no character fits")


@dataclass(frozen=True, slots=True)
class Sequence:
    """Nodes one after another."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several nodes."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A node ``low`` to ``high`` times (None: any number)."""

    node: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Anchor:
    """The start or the end of the text."""

    at_start: bool


Node = Chars | Sequence | Either | Repeat | Anchor

_LIKED: Final = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
_DIGIT: Final = ((0x30, 0x39),)
_WORD: Final = ((0x61, 0x7A), (0x41, 0x5A), (0x30, 0x39), (0x5F, 0x5F))
_SPACE: Final = ((0x20, 0x20), (0x09, 0x0D))
_LINE_ENDS: Final = ((0x0A, 0x0A), (0x0D, 0x0D))
_CLASSES: Final[Mapping[str, Chars]] = {
    "d": Chars(_DIGIT),
    "D": Chars(_DIGIT, True),
    "w": Chars(_WORD),
    "W": Chars(_WORD, True),
    "s": Chars(_SPACE),
    "S": Chars(_SPACE, True),
}
_ESCAPES: Final[Mapping[str, str]] = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_REPEATS: Final[Mapping[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_HEX: Final[Mapping[str, int]] = {"x": 2, "u": 4}


def parse_pattern(pattern: str) -> Node:
    """Return the tree of ``pattern``; raises Unsupported for what is not read here."""
    if len(pattern) > MAX_PATTERN:
        raise Unsupported("the pattern is too long")
    reader = _Reader(pattern)
    node = reader.either()
    if reader.rest():
        raise Unsupported("a bracket is closed that was not opened")
    return node


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def rest(self) -> str:
        return self._pattern[self._at :]

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        if not (char := self._peek()):
            raise Unsupported("the pattern ends too early")
        self._at += 1
        return char

    def _skip(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def either(self) -> Node:
        branches = [self._sequence()]
        while self._skip("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def _sequence(self) -> Node:
        nodes: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            nodes.append(self._repeated(self._atom()))
        return Sequence(tuple(nodes))

    def _repeated(self, node: Node) -> Node:
        while (times := self._times()) is not None:
            low, high = times
            if low > MAX_REPEAT or (high or 0) > 10**6 or isinstance(node, Anchor):
                raise Unsupported("a repetition is too long")
            if high is not None and high < low:
                raise Unsupported("a repetition is upside down")
            self._skip("?")  # lazy or not, the same texts match
            node = Repeat(node, low, high)
        return node

    def _times(self) -> tuple[int, int | None] | None:
        if (char := self._peek()) in _REPEATS:
            self._at += 1
            return _REPEATS[char]
        end = self._pattern.find("}", self._at)
        inner = self._pattern[self._at + 1 : end] if char == "{" and end > 0 else ""
        low, comma, high = inner.partition(",")
        if not _is_number(low) or (high and not _is_number(high)):
            return None
        self._at = end + 1
        return int(low), (int(high) if high else None) if comma else int(low)

    def _atom(self) -> Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "^$":
            return Anchor(char == "^")
        if char in "*+?":
            raise Unsupported("there is nothing to repeat")
        return Chars(_LINE_ENDS, True) if char == "." else _literal(char)

    def _group(self) -> Node:
        if self._skip("?") and not self._skip(":"):
            if not (self._skip("P<") or self._skip("<")) or self._peek() in ("=", "!"):
                raise Unsupported("look-around")
            while self._next() != ">":
                pass
        self._depth += 1
        if self._depth > 20:
            raise Unsupported("groups are nested too deep")
        node = self.either()
        self._depth -= 1
        if not self._skip(")"):
            raise Unsupported("a bracket is not closed")
        return node

    def _escape(self) -> Chars:
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _HEX:
            digits = self._pattern[self._at : self._at + _HEX[char]]
            self._at += len(digits)
            return _literal(_from_hex(digits))
        if char in _ESCAPES:
            return _literal(_ESCAPES[char])
        if char.isalnum():
            raise Unsupported(f"\\{char}")
        return _literal(char)

    def _class(self) -> Chars:
        negated = self._skip("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._member()
            if low.negated:
                raise Unsupported("a negated class within a class")
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                low = Chars(((low.ranges[0][0], self._member().ranges[-1][1]),))
            ranges += low.ranges
        self._at += 1
        return Chars(tuple(ranges), negated)

    def _member(self) -> Chars:
        char = self._next()
        return self._escape() if char == "\\" else _literal(char)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _literal(char: str) -> Chars:
    return Chars(((ord(char), ord(char)),))


def _from_hex(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except ValueError as error:
        raise Unsupported("an escape is no number") from error


def example(node: Node, extra: int = 0) -> str:
    """Return a text that matches ``node``, open repetitions ``extra`` times more than they must.

    Raises Unsupported where it would be longer than ``MAX_TEXT``.
    """
    if isinstance(node, Chars):
        return node.example()
    if isinstance(node, Sequence):
        return _joined([example(part, extra) for part in node.nodes])
    if isinstance(node, Either):
        return example(node.nodes[0], extra)
    if isinstance(node, Repeat):
        times = node.low + extra if node.high is None else min(node.low + extra, node.high)
        return _joined([example(node.node, extra)] * times) if times else ""
    return ""


def _joined(texts: list[str]) -> str:
    if sum(map(len, texts)) > MAX_TEXT:
        raise Unsupported("the text would be too long")
    return "".join(texts)


class _Matcher:
    """Follows a tree through a text by the set of positions it may have reached."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._steps = 0

    def ends(self, node: Node, starts: frozenset[int]) -> frozenset[int]:
        """Return where a match of ``node`` that begins at one of ``starts`` may end."""
        self._steps += len(starts) + 1
        if self._steps > MAX_STEPS:
            raise Unsupported("the match costs too much")
        if isinstance(node, Chars):
            text = self._text
            return frozenset(at + 1 for at in starts if at < len(text) and node.holds(text[at]))
        if isinstance(node, Sequence):
            for part in node.nodes:
                starts = self.ends(part, starts)
            return starts
        if isinstance(node, Either):
            return frozenset().union(*(self.ends(branch, starts) for branch in node.nodes))
        if isinstance(node, Repeat):
            return self._repeated(node, starts)
        return starts & {0 if node.at_start else len(self._text)}

    def _repeated(self, node: Repeat, starts: frozenset[int]) -> frozenset[int]:
        for _ in range(node.low):
            starts = self.ends(node.node, starts)
            if not starts:
                return starts
        reached, newest, times = starts, starts, node.low
        while newest and (node.high is None or times < node.high):
            newest = self.ends(node.node, newest) - reached
            reached |= newest
            times += 1
        return reached


def matches(node: Node, text: str) -> bool:
    """Tell whether ``node`` matches anywhere in ``text``, as JSON Schema has it.

    Raises Unsupported where that costs too much to find out.
    """
    if len(text) > MAX_TEXT:
        raise Unsupported("the text is too long")
    return bool(_Matcher(text).ends(node, frozenset(range(len(text) + 1))))
