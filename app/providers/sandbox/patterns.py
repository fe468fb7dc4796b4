"""Regular expressions of a JSON Schema: an example of one, and whether a text matches.

A client's pattern never reaches Python's ``re``, which one hostile pattern can stall for
hours: it is parsed here and followed through the text once, with a bound on both.
Look-around, back references and word boundaries are unsupported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.record import record

MAX_PATTERN: Final = 500  # characters
MAX_REPEAT: Final = 1000
MAX_TEXT: Final = 4_000  # characters of an example
MAX_PROGRAM: Final = 2_000  # steps of one pattern
MAX_STEPS: Final = 100_000  # steps of a pattern times characters of a text


class Unsupported(ValueError):
    """A pattern that is not read here, or costs too much."""


@record
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
        return _join([example(part, extra) for part in node.nodes])
    if isinstance(node, Either):
        return example(node.nodes[0], extra)
    if isinstance(node, Repeat):
        times = node.low + extra if node.high is None else min(node.low + extra, node.high)
        return _join([example(node.node, extra)] * times) if times else ""
    return ""


def _join(texts: list[str]) -> str:
    if sum(map(len, texts)) > MAX_TEXT:
        raise Unsupported("the text would be too long")
    return "".join(texts)


class Pattern:
    """One pattern. Raises Unsupported for what is not read here."""

    def __init__(self, pattern: str) -> None:
        self._tree = parse_pattern(pattern)
        self._program: _Program | None = None

    def example(self, extra: int = 0) -> str:
        """Return a text that matches, open repetitions ``extra`` times more than they must."""
        return example(self._tree, extra)

    def cost(self, text: str) -> int:
        """Return the steps that a match of ``text`` may take."""
        if self._program is None:
            self._program = _Program(self._tree)
        return len(self._program.steps) * (len(text) + 1)

    def matches(self, text: str) -> bool:
        """Tell whether it matches anywhere in ``text``, as JSON Schema has it; linear in the text.

        Raises Unsupported where the pattern and the text together are too large."""
        if self.cost(text) > MAX_STEPS or self._program is None:
            raise Unsupported("the text is too long for its pattern")
        return self._program.matches(text)


class _Program:
    """A pattern as steps, each with those that follow it: what a text is followed through with a
    set of steps that may come next, so that the work is the text's length times the program's."""

    def __init__(self, node: Node) -> None:
        self.steps: list[Chars | Anchor | None] = []  # None: goes on without reading
        self.next: list[list[int]] = []
        self.start = self._add(None)
        (self.end,) = self._append(node, [self.start])

    def _add(self, step: Chars | Anchor | None, *after: int) -> int:
        if len(self.steps) >= MAX_PROGRAM:
            raise Unsupported("the pattern is too large")
        self.steps.append(step)
        self.next.append([])
        for at in after:
            self.next[at].append(len(self.steps) - 1)
        return len(self.steps) - 1

    def _append(self, node: Node, after: list[int]) -> list[int]:
        """Add ``node`` behind the steps ``after``; return the one step that ends it."""
        if isinstance(node, Sequence):
            for part in node.nodes:
                after = self._append(part, after)
            return [self._add(None, *after)]
        if isinstance(node, Either):
            ends = [end for branch in node.nodes for end in self._append(branch, after)]
            return [self._add(None, *ends)]
        if isinstance(node, Repeat):
            return self._repeat(node, after)
        return [self._add(node, *after)]

    def _repeat(self, node: Repeat, after: list[int]) -> list[int]:
        for _ in range(node.low):
            after = self._append(node.node, after)
        if node.high is None:
            loop = self._add(None, *after)
            (end,) = self._append(node.node, [loop])
            self.next[end].append(loop)
            return [loop]
        ends = list(after)
        for _ in range(node.high - node.low):
            after = self._append(node.node, after)
            ends += after
        return [self._add(None, *ends)]

    def reach(self, steps: list[int], at: int, length: int) -> set[int]:
        """Return ``steps`` and what follows them at position ``at`` without reading a character."""
        reached: set[int] = set()
        while steps:
            step = steps.pop()
            if step in reached:
                continue
            reached.add(step)
            kind = self.steps[step]
            if isinstance(kind, Chars):
                continue
            if kind is None or at == (0 if kind.at_start else length):
                steps += self.next[step]
        return reached

    def matches(self, text: str) -> bool:
        pending: list[int] = []
        for at in range(len(text) + 1):
            reached = self.reach([*pending, self.start], at, len(text))
            if self.end in reached:
                return True
            pending = [
                follower
                for step in reached
                if at < len(text) and isinstance(kind := self.steps[step], Chars) and kind.holds(text[at])
                for follower in self.next[step]
            ]
        return False
