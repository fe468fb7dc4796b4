"""Responses items on their way into and out of the tables.

An item that came without an id gets one of ours, kept in the row and not in the
body: whoever fetches the item sees the id, while an upstream that receives the item
as history never sees an id it did not make. Normal form (contract/responses.md 2.1):
``type`` always present, string content as one part, ``status`` "completed" where
the type has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.state.blobs import Blob, attach, detach, holds_marks
from app.state.ids import new_item_id, storable
from app.wire.json import dumps, loads_lenient

_STATELESS: Final = frozenset(
    {
        "reasoning",
        "compaction",
        "item_reference",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
    }
)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item as stored: its id, and its JSON without an id that we made up."""

    item_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """Items ready for the tables, and the blobs taken out of them."""

    rows: tuple[ItemRow, ...]
    blobs: tuple[Blob, ...]


def as_items(value: str | Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return a request's ``input`` (string, list or absent) as a list of items."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [dict(item) for item in value]


def item_type(item: Mapping[str, Any]) -> str:
    """Return an item's type; a client may leave it out of messages and references."""
    if item.get("type"):
        return str(item["type"])
    return "message" if "role" in item else "item_reference"


def normalise(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``item`` in normal form, without minting an id."""
    kind = item_type(item)
    normal: dict[str, Any] = {}
    if storable(item.get("id")):
        normal["id"] = item["id"]
    normal["type"] = kind
    if kind not in _STATELESS:
        normal["status"] = item.get("status") or "completed"
    normal.update((key, value) for key, value in item.items() if key not in ("id", "type", "status"))
    if item.get("status") and kind in _STATELESS:
        normal["status"] = item["status"]
    if isinstance(normal.get("content"), str):
        normal["content"] = [_text_part(normal.get("role"), normal["content"])]
    return normal


def pack(items: Iterable[Mapping[str, Any]]) -> Packed:
    """Normalise ``items``, mint missing ids and take large data URLs out."""
    blobs: dict[str, Blob] = {}
    rows = []
    for item in items:
        normal = normalise(item)
        item_id = normal.get("id") or new_item_id(normal["type"])
        rows.append(ItemRow(item_id, dumps(detach(normal, blobs))))
    return Packed(tuple(rows), tuple(blobs.values()))


def unpack(body: bytes, blobs: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a stored item as an upstream may see it: without an id of our making."""
    value: dict[str, Any] = loads_lenient(body)
    return attach(value, blobs) if holds_marks(body) else value


def present(item_id: str, body: bytes, blobs: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a stored item as its owner sees it: always with its id."""
    value = unpack(body, blobs)
    return value if "id" in value else {"id": item_id, **value}


def _text_part(role: Any, text: str) -> dict[str, Any]:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}
