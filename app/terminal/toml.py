"""Values as TOML text, for files that people edit. ``tomllib`` reads back an equal value.

Tests: tests/terminal/test_toml.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def write(document: Mapping[str, Any]) -> str:
    """Return a document of tables; nested tables get their own headers, tables in lists are inline."""
    return "\n".join(_table(document, ())).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    if path and (plain or not table):
        yield f"\n[{'.'.join(_name(part) for part in path)}]"
    for name, value in plain.items():
        yield f"{_name(name)} = {_value(value)}"
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _table(value, (*path, name))


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_name(name)} = {_value(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, Sequence):
        return _array(value)
    return repr(value)


def _array(values: Sequence[Any]) -> str:
    if any(isinstance(value, Mapping) for value in values):
        return "[\n" + "".join(f"    {_value(value)},\n" for value in values) + "]"
    return "[" + ", ".join(_value(value) for value in values) + "]"


def _text(text: str) -> str:
    """Return a basic string: JSON's escapes, and DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
