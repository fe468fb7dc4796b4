"""Parse the sandbox's language: what the last user message tells the model to do.

This is about words alone, not about requests, wires or schemas. The language and its rules
are in docs/sandbox.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from app.canonical.record import record

MAX_READ: Final = 256 * 1024
"""Characters of a message that are searched for directives."""

Midway = Literal["fail", "cut", "hang"]


@record
class CallDirective:
    """A tool call asked for: the tool's name and the text after ``with``."""

    name: str
    arguments: str = ""


@record
class Directives:
    """The directives of one message; None, False or empty for those that it does not have.

    ``seconds`` spreads the answer; ``silence`` (seconds, may be infinite) comes before its
    first byte. ``status`` is the whole answer where it is set. ``midway`` says how the
    answer breaks off after some content. ``only_for`` names the one model that fails.
    """

    say: str | None = None
    think: str | None = None
    calls: tuple[CallDirective, ...] = ()
    fill: str | None = None
    echo: bool = False
    refuse: bool = False
    at_length: bool = False
    seconds: float | None = None
    silence: float = 0.0
    status: int | None = None
    midway: Midway | None = None
    only_for: str | None = None


def parse_directives(text: str) -> Directives:
    """Return what ``text`` asks for; text that holds no directive gives ``Directives()``."""
    members: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {name: [] for name in _JOINS}
    for row, match, content in _find(text):
        for name, value in row.read(match, content).items():
            if name in lists:
                lists[name].append(value)
            else:
                members[name] = value
    totals = {name: _JOINS[name](values) for name, values in lists.items() if values}
    return Directives(**members, **totals)


_JOINS: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "say": "\n".join,
    "think": "\n".join,
    "calls": tuple,
}
"""How values are joined of members that several directives of one message add to."""

Reader = Callable[["re.Match[str]", str], dict[str, Any]]


class _Row(NamedTuple):
    """One directive. ``takes``: what follows belongs to it, ``message`` until a line that begins
    with a directive, ``thought`` also until ``say exactly:`` or ``call tool`` within the line."""

    pattern: re.Pattern[str]
    read: Reader
    takes: Literal["nothing", "message", "thought"] = "nothing"


def _says(match: re.Match[str], content: str) -> dict[str, Any]:
    return {"say": content}


def _thinks(match: re.Match[str], content: str) -> dict[str, Any]:
    return {"think": content.strip().rstrip(",;")}


def _fails(match: re.Match[str], content: str) -> dict[str, Any]:
    return {"status": int(match["status"]), "only_for": match["model"]}


def _breaks(match: re.Match[str], content: str) -> dict[str, Any]:
    return {"midway": match["how"].lower(), "only_for": match["model"]}


def _calls(match: re.Match[str], content: str) -> dict[str, Any]:
    return {"calls": CallDirective(match["tool"].strip("`\"'"), match["arguments"] or "")}


def _flag(name: str) -> Reader:
    return lambda match, content: {name: True}


def _row(
    pattern: str,
    reader: Reader,
    takes: Literal["nothing", "message", "thought"] = "nothing",
    *,
    alone: bool = True,
) -> _Row:
    """``alone``: the directive must fill its clause, so that prose with its words in it is prose."""
    end = r"(?=[ \t]*+(?:[.,;!]|$|(?:and|then)\b))" if alone else ""
    return _Row(re.compile(pattern + end, re.IGNORECASE | re.MULTILINE), reader, takes)


_SECONDS: Final = r"[ \t]++(\d{1,6}(?:\.\d{1,6})?)[ \t]*+(?:seconds?|secs?|s)\b"
_FOR: Final = r"(?:[ \t]++for[ \t]++(?P<model>[^\s,;]+))?"

_ROWS: Final[dict[str, tuple[_Row, ...]]] = {
    # first word: what may follow
    "say": (_row("say exactly:", _says, "message", alone=False),),
    "think": (_row("think:", _thinks, "thought", alone=False),),
    "call": (
        _row(
            r"call tool[ \t]++(?P<tool>[^\s,:]{1,200}?)"
            r"(?:[ \t]++with\b[ \t:]*+(?P<arguments>[^\n]*)|(?=[.,;!]{0,8}[ \t]*+$))",
            _calls,
            alone=False,
        ),
    ),
    "fill": (
        _row(
            r"fill\b(?P<arguments>[ \t]++\{[^\n]*|[ \t]++[^\n=]{1,200}=[^\n]*|(?=[ \t]*+$))",
            lambda match, content: {"fill": match["arguments"].strip()},
            alone=False,
        ),
    ),
    "echo": (_row("echo history", _flag("echo")),),
    "take": (_row("take" + _SECONDS, lambda match, content: {"seconds": float(match[1])}),),
    "be": (_row("be silent for" + _SECONDS, lambda match, content: {"silence": float(match[1])}),),
    "stop": (_row("stop at length", _flag("at_length")),),
    "refuse": (_row("refuse", _flag("refuse")),),
    "fail": (
        _row(r"fail with[ \t]++(?:status[ \t]++)?(?P<status>[45]\d\d)\b" + _FOR, _fails),
        _row(r"(?P<how>fail)[ \t]++midway" + _FOR, _breaks),
    ),
    "cut": (_row(r"(?P<how>cut)(?:[ \t]++midway)?" + _FOR, _breaks),),
    "hang": (
        _row(r"(?P<how>hang)[ \t]++midway" + _FOR, _breaks),
        _row("hang", lambda match, content: {"silence": math.inf}),
    ),
}

_WORD: Final = rf"(?P<word>{'|'.join(_ROWS)})\b"
_LEAD: Final = r"[ \t]*+(?:[-*•][ \t]++|\d{1,3}[.)][ \t]++)?(?:(?:please|then|and|now)[,:]?[ \t]++){0,4}"
_FLAGS: Final = re.IGNORECASE | re.MULTILINE
_CLAUSE: Final = re.compile(rf"(?:^|(?<=[.!?;:,])){_LEAD}{_WORD}", _FLAGS)
_NEXT: Final = re.compile(rf"[ \t]*+[.,;!]*+{_LEAD}{_WORD}", _FLAGS)
_LINE: Final = re.compile(rf"^[ \t]*+{_WORD}", _FLAGS)
_ENDS_THOUGHT: Final = frozenset({"say", "call"})


class _Occurrence(NamedTuple):
    """A directive in the text: where its clause begins, its row and its match."""

    begin: int
    row: _Row
    match: re.Match[str]


def _find(text: str) -> Iterator[tuple[_Row, re.Match[str], str]]:
    """Yield each directive in order: its row, its match and the text that belongs to it."""
    position, follows = 0, False
    while position <= len(text):
        directive = _at(_NEXT.match(text, position), text) if follows else None
        directive = directive or _search(_CLAUSE, text, position, MAX_READ)
        if directive is None:
            return
        start = directive.match.end()
        end = start if directive.row.takes == "nothing" else _end_of(directive.row, text, start)
        yield directive.row, directive.match, _content(text[start:end])
        position, follows = max(end, position + 1), end < len(text)


def _at(start: re.Match[str] | None, text: str) -> _Occurrence | None:
    """Return the directive that begins at the first word that ``start`` matched."""
    if start is None:
        return None
    for row in _ROWS[start["word"].lower()]:
        match = row.pattern.match(text, start.start("word"))
        if match is not None:
            return _Occurrence(start.start(), row, match)
    return None


def _search(
    starts: re.Pattern[str], text: str, begin: int, end: int, words: frozenset[str] = frozenset(_ROWS)
) -> _Occurrence | None:
    for start in starts.finditer(text, begin, max(begin, min(end, MAX_READ))):
        if start["word"].lower() in words and (directive := _at(start, text)) is not None:
            return directive
    return None


def _end_of(row: _Row, text: str, start: int) -> int:
    """Return where the text of a ``say exactly:`` or ``think:`` ends."""
    line_end = text.find("\n", start)
    following = _search(_LINE, text, line_end + 1, len(text)) if line_end >= 0 else None
    end = len(text) if following is None else following.begin
    if row.takes == "thought":
        within = _search(_CLAUSE, text, start, end, _ENDS_THOUGHT)
        end = end if within is None else within.begin
    return end


def _content(text: str) -> str:
    """Return the text after the colon without the one space or line end behind the colon, and
    without line ends at its end."""
    return text.removeprefix(" ").removeprefix("\r").removeprefix("\n").rstrip("\r\n")
