"""Parse assignments of the sandbox's language (``a=b, c=5``) into members.

A quoted value is a string, one in brackets or braces is JSON, and anything else is a bare word.
The schema that a bare word goes into decides its type; without a schema, its look does.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from app.canonical.record import record
from app.dialects.shared.lenient_json import DECODER

_NAME: Final = re.compile(r"[\s,]*([A-Za-z_$][\w$.\-]*|\"[^\"\n]{1,200}\")\s*=\s*")
_NEXT: Final = re.compile(r",\s*(?=(?:[A-Za-z_$][\w$.\-]*|\"[^\"\n]{1,200}\")\s*=)")
_AFTER: Final = re.compile(r"[ \t]*(?:,|$)")
_SINGLE: Final = re.compile(r"'([^']*)'")
_PLAIN: Final = re.compile(
    r"true|false|null|-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?(?:[eE][+-]?\d{1,2})?", re.ASCII
)
_MAX_TEXT: Final = 64 * 1024


@record
class Bare:
    """A value without quotes: ``text`` as written."""

    text: str

    def infer(self) -> Any:
        """Return the number, boolean or null that the text looks like, else the text."""
        return json.loads(self.text) if _PLAIN.fullmatch(self.text) else self.text

    def readings(self) -> list[Any]:
        """Return what the text may stand for, likeliest first; a list may hold it alone."""
        return [self.infer(), self.text, [self.infer()], [self.text]]


def parse_assignments(text: str) -> dict[str, Any]:
    """Return the members that ``text`` assigns; values are JSON values or ``Bare``.

    A text that is a JSON object gives its members. ``a.b=1`` stays one name here: the schema decides
    whether it reaches into an object. Text that is no assignment is skipped.
    """
    text = text[:_MAX_TEXT].strip()
    whole = _json_at(text, 0) if text.startswith("{") else None
    if whole is not None and isinstance(whole[0], dict):
        return whole[0]
    members: dict[str, Any] = {}
    position = 0
    while (name := _NAME.match(text, position)) is not None:
        members[name[1].strip('"')], position = _value(text, name.end())
    return members


def infer_values(value: Any) -> Any:
    """Return a parsed value with every bare word as what it looks like."""
    if isinstance(value, Bare):
        return value.infer()
    if isinstance(value, dict):
        return {name: infer_values(member) for name, member in value.items()}
    return [infer_values(item) for item in value] if isinstance(value, list) else value


def _value(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at ``start`` and where the next name may begin."""
    single = _SINGLE.match(text, start)
    literal = (single[1], single.end()) if single else _json_at(text, start)
    if literal is not None and isinstance(literal[0], str | list | dict) and _AFTER.match(text, literal[1]):
        return literal
    end = _NEXT.search(text, start)
    stop = end.start() if end is not None else len(text)
    return _bare_value(text[start:stop].strip()), stop


def _bare_value(text: str) -> Any:
    """Return a bare word, or a list of them where brackets hold no JSON (``[red, blue]``)."""
    if text.startswith("[") and text.endswith("]"):
        return [Bare(word.strip()) for word in text[1:-1].split(",") if word.strip()]
    return Bare(text)


def _json_at(text: str, start: int) -> tuple[Any, int] | None:
    try:
        return DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
