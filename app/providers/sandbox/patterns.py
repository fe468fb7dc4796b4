"""Regular expressions of a JSON Schema: make examples of one, and tell whether a text matches.

A client's pattern never runs in Python's ``re``, where a hostile one can take hours; only its parts for one
character do. A match maps all positions where a node may begin to those where it may end, or the other way round
for look-ahead. Work is counted, so that the caller can bound it. Back references, word boundaries and flags are
unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from app.canonical.record import record

MAX_EXAMPLE: Final = 4_000  # characters
_ENDLESS: Final = 10**9
_PARSING: Final = 100  # a character of a pattern costs so many of a text

Count = Callable[[int], object]
"""Counts positions that are looked at; raises where they are too many."""


class UnsupportedPattern(ValueError):
    """A pattern that cannot be parsed here, or an example that would be too long."""


@record
class Chars:
    """One character that ``test`` matches, such as each of ``examples``."""

    test: re.Pattern[str]
    examples: list[str]


@record
class Group:
    """One of several branches, each of them nodes one after another."""

    branches: list[list[Node]]


@record
class Repeat:
    """``node``, ``low`` to ``high`` times."""

    node: Node
    low: int
    high: int


@record
class Look:
    """A position before which (``ahead``) or behind which ``node`` matches, or does not (``negated``)."""

    node: Node
    ahead: bool
    negated: bool = True


Node = Chars | Group | Repeat | Look

_TOKEN: Final = re.compile(
    r"""(?P<open>\((?:\?(?::|<?[=!]|P?<\w+>)|(?!\?)))
      | (?P<close>\))
      | (?P<bar>\|)
      | (?P<repeat>[*+?]|\{\d{1,3}(?:,\d{0,9})?\})\??
      | (?P<char>\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)|\[\^?\]?(?:\\.|[^\\\]]){0,500}\]|\{(?!\d)|[^\\(\[{])
      | (?P<other>\(\?\w*|.)""",
    re.VERBOSE | re.DOTALL,
)
_REPEATS: Final = {"*": "0,", "+": "1,", "?": "0,1"}

_ANYTHING: Final = Chars(re.compile(r"[\s\S]"), ["a"])
_START: Final = Look(_ANYTHING, ahead=False)
_END: Final = Look(_ANYTHING, ahead=True)
_ANCHORS: Final = {"^": _START, r"\A": _START, "$": _END, r"\z": _END, r"\Z": _END}

_MISREAD: Final = re.compile(r"(?<!\\)(\\[dDwWsS](?=-)|(?=[\[&|~])|(?<=-)(?=-))")
"""Where a set needs one more backslash to mean the same in Python's ``re`` as elsewhere."""

_READABLE: Final = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"


@cache
def _characters() -> str:
    return "".join(map(chr, (*range(0x20, 0xD800), *range(0x20))))


def parse_pattern(pattern: str, count: Count) -> Node:
    """Return the tree of ``pattern``; raises UnsupportedPattern for what cannot be parsed here."""
    count(_PARSING * len(pattern))
    return _group(_TOKEN.finditer(pattern), "")


def _group(tokens: Iterator[re.Match[str]], opening: str) -> Node:
    """Return the node of a group that ``opening`` begins, up to its end or that of the pattern."""
    branches: list[list[Node]] = [[]]
    for token in tokens:
        match token.lastgroup:
            case "open":
                branches[-1].append(_group(tokens, token["open"]))
            case "bar":
                branches.append([])
            case "char":
                branches[-1].append(_ANCHORS.get(token["char"]) or _chars(token["char"]))
            case "repeat" if branches[-1]:
                branches[-1].append(_repeat(branches[-1].pop(), token["repeat"]))
            case "close" if opening:
                break
            case _:
                raise UnsupportedPattern(f"{token[0]!r} is not supported here")
    else:
        if opening:
            raise UnsupportedPattern(f"{opening!r} is not closed")
    group = Group(branches)
    return Look(group, "<" not in opening, "!" in opening) if opening[-1:] in ("=", "!") else group


def _repeat(node: Node, text: str) -> Repeat:
    low, comma, high = _REPEATS.get(text, text.strip("{}")).partition(",")
    return Repeat(node, int(low), int(high or (_ENDLESS if comma else low)))


def _chars(text: str) -> Chars:
    """Return the node of one character, escape or set."""
    try:
        test = re.compile("[" + _MISREAD.sub(r"\1\\", text[1:]) if text[0] == "[" else text, re.ASCII)
    except re.error as error:
        raise UnsupportedPattern(f"{text!r} is not supported: {error.msg}") from error
    rare = test.search(_characters())
    if not rare or not rare[0]:
        raise UnsupportedPattern(f"no character fits {text!r}")
    return Chars(test, test.findall(_READABLE + text) or [rare[0]])


def make_example(node: Node, extra: int = 0) -> str:
    """Return a text that matches ``node``, look-around aside. Its open repetitions are ``extra`` times longer than
    they must be, and it takes the character of a set, and the branch of a group, that comes so many later.

    Raises UnsupportedPattern where it would be longer than ``MAX_EXAMPLE`` characters.
    """
    match node:
        case Chars():
            text = node.examples[extra % len(node.examples)]
        case Group():
            branch = node.branches[extra % len(node.branches)]
            text = "".join(make_example(part, extra) for part in branch)
        case Repeat():
            part, times = make_example(node.node, extra), min(node.low + extra, node.high)
            text = part * min(
                times, MAX_EXAMPLE + 1
            )  # of a part that is not empty, one too long is refused below
        case Look():
            text = ""
    if len(text) > MAX_EXAMPLE:
        raise UnsupportedPattern("the text would be too long")
    return text


def matches(node: Node, text: str, count: Count) -> bool:
    """Tell whether ``node`` matches anywhere in ``text``, as JSON Schema has it."""
    return bool(_reach(node, text, set(range(len(text) + 1)), 1, count))


def _reach(node: Node, text: str, starts: set[int], step: int, count: Count) -> set[int]:
    """Return the positions where a match of ``node`` that begins at one of ``starts`` may end; with the ``step`` -1,
    those where one that ends there may begin."""
    count(1 + len(starts))
    ends: set[int] = set()
    match node:
        case Chars():
            fits = node.test.fullmatch
            ends = {at + step for at in starts if fits(text[min(at, at + step) : max(at, at + step)])}
        case Group():
            for branch in node.branches:
                positions = starts
                for part in branch[::step]:
                    positions = _reach(part, text, positions, step, count)
                ends |= positions
        case Repeat():
            ends |= starts if node.low == 0 else ends
            for times in range(1, node.high + 1):
                starts = _reach(node.node, text, starts, step, count) - ends
                ends |= starts if times >= node.low else set()
                if not starts:
                    break
        case Look():
            everywhere = set(range(len(text) + 1))
            reach = _reach(node.node, text, everywhere, -1 if node.ahead else 1, count)
            ends = starts - reach if node.negated else starts & reach
    return ends
