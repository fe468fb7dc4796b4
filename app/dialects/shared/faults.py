"""Refusals of a client's JSON: a code, and OpenAI's sentence with the member's path still open.

The doors' schemas gather all faults of a body, a server half raises the first; both say it in
these words (contract/responses.md 1.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.errors import GatewayError

_NAMES: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}
_LONGEST_VALUE: Final = 64  # characters of a wrong value that are shown


class Fault(str):
    """One refusal: its code and a sentence with ``{path}`` still open."""

    code: str

    def __new__(cls, code: str, sentence: str) -> Fault:
        fault = super().__new__(cls, sentence)
        fault.code = code
        return fault

    def at(self, path: str) -> dict[str, Any]:
        """Return ``{message, param, code}`` for the member at ``path``."""
        return {"message": self.replace("{path}", path), "param": path, "code": self.code}

    def error(self, path: str) -> GatewayError:
        """Return the 400 for the member at ``path``."""
        told = self.at(path)
        return GatewayError("bad_request", **told, details=(told,))


Faults = Mapping[Any, Any] | list[Fault] | None
"""What a check of a value returns: nothing, its own faults, or faults by member or index."""


def type_name(value: Any) -> str:
    """Return a JSON value's type with its article."""
    return _NAMES.get(type(value), "an unknown value")


def wrong_type(expected: str, value: Any) -> Fault:
    """Return the refusal of a value of another type."""
    shown = type_name(value)
    return Fault(
        "invalid_type", f"Invalid type for '{{path}}': expected {expected}, but got {shown} instead."
    )


def wrong_value(value: Any, supported: Sequence[str]) -> Fault:
    """Return the refusal of a value outside an enumeration."""
    return unsupported(value, ", ".join(f"'{name}'" for name in supported))


def unsupported(value: Any, supported: str) -> Fault:
    """Return the same, the ``supported`` values in a sentence's words."""
    shown = str(value)[:_LONGEST_VALUE].replace("{", "(").replace("}", ")")
    return Fault("invalid_value", f"Invalid value: '{shown}'. Supported values are: {supported}.")


MISSING: Final = Fault("missing_required_parameter", "Missing required parameter: '{path}'.")


def missing(member: str) -> dict[str, list[Fault]]:
    """Return the fault of an absent member."""
    return {member: [MISSING]}


def raise_first(faults: Faults, path: str) -> None:
    """Raise GatewayError ``bad_request`` for the first of ``faults`` of the value at ``path``."""
    for place, fault in walk(faults or {}, path):
        raise fault.error(place)


def walk(errors: Any, path: str = "") -> Iterator[tuple[str, Fault]]:
    """Yield (client's path, Fault) of nested faults or marshmallow messages, in the body's order."""
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            if isinstance(key, int):
                yield from walk(inner, f"{path}[{key}]")
            elif key == "_schema":
                yield from walk(inner, path)
            else:
                yield from walk(inner, f"{path}.{key}" if path else str(key))
        return
    for one in errors if isinstance(errors, list) else [errors]:
        if isinstance(one, Fault):
            yield path, one
        elif isinstance(one, Mapping):
            yield from walk(one, path)
        elif "required" in str(one):
            yield path, MISSING
        else:
            yield path, Fault("invalid_value", f"Invalid '{{path}}': {one}")
