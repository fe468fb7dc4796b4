"""Entries as the bytes that processes share, and back. Tests: tests/gateway/test_cache_records.py."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from app.canonical.serialization import pack, unpack
from app.gateway.cache.memory import Entry
from app.wire.json import dumps, loads_lenient

_FORM: Final = 1
_NAMES: Final = tuple(one.name for one in fields(Entry))


def bytes_of(entry: Entry) -> bytes:
    """Return the bytes of an entry; raises ``TypeError`` or ``ValueError`` for one that has no such form."""
    members: dict[str, Any] = {name: getattr(entry, name) for name in _NAMES}
    members["body"] = entry.body.decode()
    return dumps({"form": _FORM, **{name: pack(value) for name, value in members.items()}})


def entry_of_bytes(data: bytes) -> Entry | None:
    """Return the entry in ``data``, None if another version of the gateway wrote it in another form.

    Raises ``ValueError``, ``TypeError`` or ``KeyError`` for data that no version wrote."""
    members = loads_lenient(data)
    if members.pop("form") != _FORM:
        return None
    entry = {name: unpack(value) for name, value in members.items()}
    return Entry(**{**entry, "body": entry["body"].encode()})
