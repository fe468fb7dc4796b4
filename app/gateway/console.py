"""The log for people: one line for each call, coloured where standard error is a terminal.

A line has the most important fields of a JSON line (app/gateway/layers/log.py). This module knows no calls,
only the fields of a line.

Tests: tests/gateway/test_console.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

Fields = Mapping[str, Any]

_CODES: Final[Mapping[str, str]] = {"red": "31", "green": "32", "yellow": "33", "grey": "90", "bold": "1"}
_LEVELS: Final[Mapping[str, str]] = {"error": "red", "critical": "red", "warning": "yellow"}
_PREFIX_FIELDS: Final = frozenset({"time", "level", "event", "trace", "message", "source", "cause"})
_INDENT: Final = "\n    "
_COMMANDS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that a terminal obeys; some of the text comes from clients."""


def make_formatter(*, coloured: bool) -> Callable[[Fields], str]:
    """Return the function that makes a line, without its line end, of the fields."""
    paint = _colour if coloured else lambda _, text: text
    return lambda fields: _text(paint, {name: _escape(value) for name, value in fields.items()})


def _escape(value: Any) -> Any:
    """Return a value without control characters; its further lines are indented."""
    if isinstance(value, int | float | None):
        return value
    lines = str(value).rstrip("\n").split("\n")
    return _INDENT.join(_COMMANDS.sub(lambda match: f"\\x{ord(match[0]):02x}", line) for line in lines)


def _text(paint: Callable[[str, str], str], fields: Fields) -> str:
    form = _LINES.get(fields.get("event", ""), _format_other)
    moment = time.strftime("%H:%M:%S", time.localtime(fields["time"]))
    line = f"{paint('grey', moment)} {form(paint, fields)}"
    cause = f"{_INDENT}{paint('yellow', str(fields['cause']))}" if fields.get("cause") else ""
    trace = f"{_INDENT}{fields['trace']}" if fields.get("trace") else ""
    return line + cause + trace


def _call(paint: Callable[[str, str], str], fields: Fields) -> str:
    operation = f"{fields['operation']}{' stream' if fields['stream'] else ''}"
    return " ".join(
        filter(
            None,
            (
                _status(paint, fields),
                paint("bold", f"{operation:<17}"),
                _route(fields),
                _duration(fields),
                _usage(fields),
                paint("red", str(fields["error"])) if fields.get("error") else "",
                paint("grey", _owner(fields)),
            ),
        )
    )


def _status(paint: Callable[[str, str], str], fields: Fields) -> str:
    status = int(fields.get("status") or 0)
    colour = "red" if status >= 500 else "yellow" if status >= 400 or fields.get("error") else "green"
    return paint(colour, f"{status:>3}")


def _route(fields: Fields) -> str:
    """Return the requested model and, where it is another, the one that answered."""
    requested = str(fields.get("model") or "-")
    provider, model = fields.get("provider"), fields.get("sent_model")
    answered = f"{provider}/{model}" if provider else ""
    return requested if answered in ("", requested) else f"{requested} → {answered}"


def _duration(fields: Fields) -> str:
    first = fields.get("first_content_ms")
    first_content = f", first {first} ms" if first is not None else ""
    count = int(fields.get("attempts") or 0)
    attempts = f", {count} attempts" if count > 1 else ""
    return f"{fields.get('ms')} ms{first_content}{attempts}"


def _usage(fields: Fields) -> str:
    if fields.get("input_tokens") is None and fields.get("output_tokens") is None:
        return ""
    cost = fields.get("cost")
    price = f", ${cost:.6f}".rstrip("0").rstrip(".") if cost else ""
    return f"{fields.get('input_tokens') or 0}+{fields.get('output_tokens') or 0} tokens{price}"


def _owner(fields: Fields) -> str:
    return f"{fields.get('key')}@{fields.get('tenant')} {fields.get('request_id')}"


def _request(paint: Callable[[str, str], str], fields: Fields) -> str:
    parts = (
        _status(paint, fields),
        paint("bold", f"{fields.get('method')} {fields.get('operation')}"),
        f"{fields.get('door')} {fields.get('ms')} ms",
        paint("red", str(fields["error"])) if fields.get("error") else "",
        paint("grey", _owner(fields)),
    )
    return " ".join(filter(None, parts))


def _note(paint: Callable[[str, str], str], fields: Fields) -> str:
    level = str(fields.get("level"))
    return f"{paint(_LEVELS.get(level, 'grey'), level)} {fields.get('message')} {paint('grey', str(fields.get('source')))}"


def _format_other(paint: Callable[[str, str], str], fields: Fields) -> str:
    """Return any other line: its event, and its fields by name."""
    level = str(fields.get("level"))
    rest = " ".join(
        f"{name}={value}"
        for name, value in fields.items()
        if name not in _PREFIX_FIELDS and value is not None
    )
    return f"{paint(_LEVELS.get(level, 'grey'), level)} {paint('bold', str(fields.get('event')))} {rest}"


_LINES: Final = {"call": _call, "request": _request, "note": _note}


def _colour(colour: str, text: str) -> str:
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
