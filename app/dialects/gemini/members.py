"""Members of Google's JSON in a client's request: in camelCase or snake_case, one object or a list.

Both are read, as protobuf's JSON mapping demands; the path in an error has the client's spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from app.dialects.shared.lenient_json import decode_base64
from app.dialects.shared.strict_json import ClientObject, wrong_value

_LETTER: Final = re.compile(r"_([a-z0-9])")
_STANDARD: Final = str.maketrans("-_", "+/")


def camel(name: str) -> str:
    """Return a member's name in camelCase."""
    return _LETTER.sub(lambda match: match.group(1).upper(), name) if "_" in name else name


class Members(ClientObject):
    """A client's JSON object; members are found by their names in camelCase."""

    __slots__ = ("_spellings",)

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        super().__init__({camel(name): value for name, value in members.items()}, path)
        self._spellings = {camel(name): name for name in members}

    def at(self, name: str) -> str:
        """Return the path of the member ``name`` in the client's spelling."""
        return super().at(self._spellings.get(name, name))

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return an object member with the names that the client wrote."""
        value = self.members.get(name)
        return None if value is None else dict(ClientObject.of(value, self.at(name)).members)

    def objects(self, name: str) -> Iterator[Self]:
        """Yield the objects of an array member, wrapped; a single object counts as an array of one."""
        value = self.members.get(name)
        if isinstance(value, Mapping):
            yield self.of(value, self.at(name))
        else:
            yield from super().objects(name)

    def base64(self, name: str) -> str | None:
        """Return bytes as standard base64 text; Google's SDK for Python sends URL-safe base64."""
        text = self.text(name)
        if text is None:
            return None
        if "-" in text or "_" in text:
            text = text.translate(_STANDARD)
        return text + "=" * (-len(text) % 4)

    def choice(self, name: str, values: Mapping[str, Any], default: Any = None) -> Any:
        """Return the value of an enum's word, in any case; raises ``bad_request`` for an unknown one."""
        word = self.text(name)
        if word is None:
            return default
        if word.upper() not in values:
            raise wrong_value(self.at(name), word, ", ".join(f"'{option}'" for option in values))
        return values[word.upper()]


def unpack(value: str) -> str | None:
    """Return the ASCII text in a member of bytes, None if it holds anything else."""
    return decode_base64(value.translate(_STANDARD), "ascii")
