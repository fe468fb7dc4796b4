"""The headers of a client that may be forwarded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

from app.surfaces.credentials import SUBPROTOCOLS

_VALUE: Final = re.compile(r"[\x20-\x7e]{1,1024}")


class ClientHeaders(Mapping[str, str]):
    """The headers in an environ by lower-case name. They are read when one is first asked for, as few calls need."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    @cached_property
    def _headers(self) -> dict[str, str]:
        pairs = ((_name(key), value) for key, value in self._environ.items())
        return {name: value for name, value in pairs if name and _VALUE.fullmatch(value)}

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """Return the name of the header at ``key`` of an environ, "" if it may not be forwarded."""
    name = key.removeprefix("HTTP_").replace("_", "-").lower()
    is_bare = name in ("content-type", "content-length")  # their keys have no prefix
    return name if is_bare != key.startswith("HTTP_") and name != SUBPROTOCOLS else ""
