"""Faults in a client's JSON: an error code and a message in OpenAI's wording.

The schemas of the surfaces collect all faults of a body; a dialect raises the first one. Codes and
messages are those of OpenAI's own 400 answers.
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
_MAX_VALUE: Final = 64  # characters of a wrong value that are quoted


class Fault(str):
    """One fault: a message with the placeholder ``{path}``, and its error code."""

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
        members = self.at(path)
        return GatewayError("bad_request", **members, details=(members,))


Faults = Mapping[Any, Any] | list[Fault] | None
"""Result of checking a value: None, a list of its own faults, or a mapping of member or index to ``Faults``."""


def wrong_type(expected: str, value: Any) -> Fault:
    """Return the fault of a value whose type is not ``expected``."""
    actual = _NAMES.get(type(value), "an unknown value")
    return Fault(
        "invalid_type", f"Invalid type for '{{path}}': expected {expected}, but got {actual} instead."
    )


def wrong_value(value: Any, supported: Sequence[str]) -> Fault:
    """Return the fault of a value that is not one of ``supported``."""
    return unsupported(value, ", ".join(f"'{name}'" for name in supported))


def unsupported(value: Any, supported: str) -> Fault:
    """Return the fault of a value that is not supported; ``supported`` lists the others in words."""
    text = str(value)[:_MAX_VALUE].replace("{", "(").replace("}", ")")
    return Fault("invalid_value", f"Invalid value: '{text}'. Supported values are: {supported}.")


MISSING: Final = Fault("missing_required_parameter", "Missing required parameter: '{path}'.")


def missing(member: str) -> dict[str, list[Fault]]:
    """Return the faults of an object that lacks the required ``member``."""
    return {member: [MISSING]}


def raise_first(faults: Faults, path: str) -> None:
    """Raise GatewayError ``bad_request`` for the first fault of the value at ``path``, if there is one."""
    for place, fault in walk(faults or {}, path):
        raise fault.error(place)


def walk(errors: Any, path: str = "") -> Iterator[tuple[str, Fault]]:
    """Yield the path and the Fault of each of nested faults or marshmallow messages, in the body's order."""
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
