"""Members of Google's JSON as clients write them: camelCase or snake_case, one or a list.

Both spellings are read, as protobuf's JSON does; the path in an error is the client's own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.dialects.shared.strict_json import ClientObject, wrong_value

_LETTER: Final = re.compile(r"_([a-z0-9])")
_STANDARD: Final = str.maketrans("-_", "+/")


def camel(name: str) -> str:
    """Return a member's name in camelCase."""
    return _LETTER.sub(lambda match: match.group(1).upper(), name) if "_" in name else name


class Members(ClientObject):
    """A client's JSON object whose members are found by their camelCase name."""

    __slots__ = ("_spelled",)

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        super().__init__({camel(name): value for name, value in members.items()}, path)
        self._spelled = {camel(name): name for name in members}

    def at(self, name: str) -> str:
        """Return the path of the member ``name`` as the client spells it."""
        return super().at(self._spelled.get(name, name))

    def object(self, name: str) -> Members | None:
        """Return an object member, wrapped."""
        value = self.members.get(name)
        return None if value is None else Members.of(value, self.at(name))

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return an object member as the client wrote it: its names are the client's own."""
        value = self.members.get(name)
        return None if value is None else dict(ClientObject.of(value, self.at(name)).members)

    def objects(self, name: str) -> Iterator[Members]:
        """Yield the objects of an array member, wrapped; a single object is an array of one."""
        value = self.members.get(name)
        if isinstance(value, Mapping):
            yield Members.of(value, self.at(name))
            return
        for index, item in enumerate(self.items(name) or ()):
            yield Members.of(item, f"{self.at(name)}[{index}]")

    def base64(self, name: str) -> str | None:
        """Return bytes as standard base64 text; Google's SDK for Python writes the URL-safe one."""
        text = self.text(name)
        if text is None:
            return None
        if "-" in text or "_" in text:
            text = text.translate(_STANDARD)
        return text + "=" * (-len(text) % 4)

    def choice(self, name: str, values: Mapping[str, Any], default: Any = None) -> Any:
        """Return what a word of an enum stands for; raises ``bad_request`` for an unknown one."""
        word = self.text(name)
        if word is None:
            return default
        if word.upper() not in values:
            raise wrong_value(self.at(name), word, ", ".join(f"'{known}'" for known in values))
        return values[word.upper()]


def pack(token: str) -> str:
    """Return a text as the base64 that a member of bytes wants."""
    return base64.b64encode(token.encode()).decode("ascii")


def unpack(value: str) -> str | None:
    """Return the text in a member of bytes, None where it holds none."""
    try:
        return base64.b64decode(value.translate(_STANDARD), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
