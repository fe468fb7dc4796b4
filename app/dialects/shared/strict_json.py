"""Strict reading of a client's JSON: an absent or null member is None, one of a wrong type is a 400.

The error has the path of the member and OpenAI's wording (``faults``). The surfaces check the top
level of a body before; a dialect reads the rest with these functions, so that no body can crash it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self, TypeVar

from app.dialects.shared import faults
from app.dialects.shared.lenient_json import number
from app.errors import GatewayError

T = TypeVar("T")


def wrong_type(path: str, expected: str, value: Any) -> GatewayError:
    """Return the error of a member whose JSON type is wrong; ``expected`` is e.g. ``a string``."""
    return faults.wrong_type(expected, value).error(path)


def wrong_value(path: str, value: str, expected: str) -> GatewayError:
    """Return the error of a member whose value is not supported; ``expected`` lists those that are."""
    return faults.unsupported(value, expected).error(path)


def missing(path: str) -> GatewayError:
    """Return the error of a required member that is absent."""
    return faults.MISSING.error(path)


def invalid(path: str, reason: str) -> GatewayError:
    """Return the error of a value that a rule of the gateway refuses; ``reason`` completes the sentence."""
    message = f"Invalid '{path}': {reason}"
    return GatewayError("bad_request", message, param=path, code="invalid_value")


class ClientObject:
    """An object in a client's JSON, and its path (``messages[0]``; empty for the body).

    Every method raises GatewayError ``bad_request`` with the member's path if its type is wrong.
    """

    __slots__ = ("members", "path")

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self.members = members
        self.path = path

    @classmethod
    def of(cls, value: Any, path: str) -> Self:
        """Wrap a JSON value that must be an object."""
        if not isinstance(value, Mapping):
            raise wrong_type(path, "an object", value)
        return cls(value, path)

    def at(self, name: str) -> str:
        """Return the path of the member ``name``."""
        return f"{self.path}.{name}" if self.path else name

    def _member(self, name: str, kind: type[T], expected: str) -> T | None:
        value = self.members.get(name)
        if value is None or isinstance(value, kind):
            return value
        raise wrong_type(self.at(name), expected, value)

    def _require(self, name: str, value: T | None) -> T:
        if value is None:
            raise missing(self.at(name))
        return value

    def text(self, name: str) -> str | None:
        """Return a string member."""
        value = self.members.get(name)
        if value is None or isinstance(value, str):
            return value
        raise wrong_type(self.at(name), "a string", value)

    def required_text(self, name: str) -> str:
        """Return a string member that must be present; it may be empty."""
        return self._require(name, self.text(name))

    def flag(self, name: str) -> bool | None:
        """Return a boolean member."""
        return self._member(name, bool, "a boolean")

    def number(self, name: str) -> float | None:
        """Return a finite number; an integer stays an integer."""
        value = self.members.get(name)
        if value is not None and number(value) is None:
            raise wrong_type(self.at(name), "a number", value)
        return value

    def integer(self, name: str) -> int | None:
        """Return an integer; ``5.0`` counts as one, ``"5"`` and ``true`` do not."""
        value = self.members.get(name)
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            return int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise wrong_type(self.at(name), "an integer", value)
        return value

    def word(self, name: str, options: Collection[str], expected: str | None = None) -> str | None:
        """Return a string member that must be one of ``options``; ``expected`` lists them in an error."""
        value = self.text(name)
        if value is not None and value not in options:
            raise wrong_value(self.at(name), value, expected or ", ".join(f"'{one}'" for one in options))
        return value

    def required_word(self, name: str, options: Collection[str], expected: str | None = None) -> str:
        """Return a string member that must be present and one of ``options``."""
        self.required_text(name)
        return self.word(name, options, expected) or ""

    def object(self, name: str) -> Self | None:
        """Return an object member, wrapped."""
        value = self.members.get(name)
        return None if value is None else self.of(value, self.at(name))

    def required_object(self, name: str) -> Self:
        """Return an object member that must be present, wrapped."""
        return self._require(name, self.object(name))

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return an object member as a plain dict."""
        value = self.object(name)
        return None if value is None else dict(value.members)

    def items(self, name: str) -> list[Any] | None:
        """Return an array member as a plain list."""
        return self._member(name, list, "an array")

    def required_items(self, name: str) -> list[Any]:
        """Return an array member that must be present, as a plain list."""
        return self._require(name, self.items(name))

    def objects(self, name: str) -> Iterator[Self]:
        """Yield the members of an array of objects, wrapped; nothing if it is absent."""
        for index, value in enumerate(self.items(name) or ()):
            yield self.of(value, f"{self.at(name)}[{index}]")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a member that is a string or an array of strings; ``()`` if it is absent."""
        value = self.members.get(name)
        texts = [value] if isinstance(value, str) else self.items(name) or []
        for index, item in enumerate(texts):
            if not isinstance(item, str):
                raise wrong_type(f"{self.at(name)}[{index}]", "a string", item)
        return tuple(texts)
