"""Strict reading of a client's own JSON: absent and null are None, a wrong type is a 400
that names the member's path in OpenAI's words.

The doors check the top level and the roles before; a server half reads with these so
that no JSON whatever can crash it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

from app.dialects.shared import faults
from app.errors import GatewayError


def wrong_type(path: str, expected: str, value: Any) -> GatewayError:
    """Return the error for a member of the wrong JSON type."""
    return faults.wrong_type(expected, value).error(path)


def wrong_value(path: str, value: str, expected: str) -> GatewayError:
    """Return the error for a value that is none of those supported."""
    return faults.unsupported(value, expected).error(path)


def missing(path: str) -> GatewayError:
    """Return the error for a member that must be there."""
    return faults.MISSING.error(path)


class ClientObject:
    """A client's JSON object with its path (``messages[0]``; empty for the body)."""

    __slots__ = ("members", "path")

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self.members = members
        self.path = path

    @classmethod
    def of(cls, value: Any, path: str) -> Self:
        """Wrap an object; raises ``bad_request`` when ``value`` is none."""
        if not isinstance(value, Mapping):
            raise wrong_type(path, "an object", value)
        return cls(value, path)

    def at(self, name: str) -> str:
        """Return the path of the member ``name``."""
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str) -> str | None:
        """Return a string member."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, str):
            raise wrong_type(self.at(name), "a string", value)
        return value

    def required_text(self, name: str) -> str:
        """Return a string member that must be there (it may be empty)."""
        value = self.text(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean member."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(self.at(name), "a boolean", value)
        return value

    def number(self, name: str) -> float | None:
        """Return a finite number as it is written (an integer stays one)."""
        value = self.members.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise wrong_type(self.at(name), "a number", value)
        return value

    def integer(self, name: str) -> int | None:
        """Return an integer; ``5.0`` is one, ``"5"`` and ``true`` are not."""
        value = self.members.get(name)
        if value is None:
            return None
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(self.at(name), "an integer", value)
        return value

    def word(self, name: str, known: Collection[str], expected: str | None = None) -> str | None:
        """Return a string member that must be one of ``known``; ``expected`` lists them in an error."""
        value = self.text(name)
        if value is not None and value not in known:
            raise wrong_value(self.at(name), value, expected or ", ".join(f"'{one}'" for one in known))
        return value

    def required_word(self, name: str, known: Collection[str], expected: str | None = None) -> str:
        """Return a string member that must be present and one of ``known``."""
        self.required_text(name)
        return self.word(name, known, expected) or ""

    def object(self, name: str) -> Self | None:
        """Return an object member, wrapped."""
        value = self.members.get(name)
        return None if value is None else self.of(value, self.at(name))

    def required_object(self, name: str) -> Self:
        """Return an object member that must be present, wrapped."""
        value = self.object(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return an object member as plain JSON."""
        value = self.object(name)
        return None if value is None else dict(value.members)

    def items(self, name: str) -> list[Any] | None:
        """Return an array member as plain JSON."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, list):
            raise wrong_type(self.at(name), "an array", value)
        return value

    def required_items(self, name: str) -> list[Any]:
        """Return an array member that must be present, as plain JSON."""
        value = self.items(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def objects(self, name: str) -> Iterator[Self]:
        """Yield the objects of an array member, wrapped; nothing when it is absent."""
        for index, value in enumerate(self.items(name) or ()):
            yield self.of(value, f"{self.at(name)}[{index}]")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a member that is a string or an array of strings; empty when absent."""
        value = self.members.get(name)
        if isinstance(value, str):
            return (value,)
        found = self.items(name) or []
        for index, item in enumerate(found):
            if not isinstance(item, str):
                raise wrong_type(f"{self.at(name)}[{index}]", "a string", item)
        return tuple(found)
