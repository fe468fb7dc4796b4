"""Responses items: how they are written to tables and read from them.

An item that came without an id gets one of ours, which is stored in the row and not in the body: a client that fetches the
item sees it, and an upstream that gets the item as history never sees an id that it did not make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from app.canonical.record import record
from app.responses_form.items import normalise
from app.state.blobs import Blob, attach, detach, holds_marks, may_detach
from app.state.ids import new_item_id, storable
from app.wire.json import dumps, loads_lenient
from app.wire.offload import ITEM, aside


@record
class ItemRow:
    """An item as it is stored: its id, and its JSON without an id of ours."""

    item_id: str
    body: bytes


@record
class PackedItems:
    """Items ready for the tables, and the blobs taken out of them."""

    rows: tuple[ItemRow, ...]
    blobs: tuple[Blob, ...]


def storable_form(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``item`` in normal form, without an id that may not reach the database."""
    normal = normalise(item)
    if not storable(normal.get("id")):
        normal.pop("id", None)
    return normal


def pack(items: Iterable[Mapping[str, Any]]) -> PackedItems:
    """Normalise ``items``, make missing ids and take large data URLs out."""
    blobs: dict[str, Blob] = {}
    rows = []
    for item in items:
        normal = storable_form(item)
        item_id = normal.get("id") or new_item_id(normal["type"])
        body = dumps(normal)
        if may_detach(body):
            body = dumps(detach(normal, blobs))
        rows.append(ItemRow(item_id, body))
    return PackedItems(tuple(rows), tuple(blobs.values()))


def pack_aside(items: Sequence[Mapping[str, Any]]) -> PackedItems:
    """Return ``pack(items)``, made beside the loop if they are many."""
    return aside(ITEM * len(items), partial(pack, items))


def unpack(body: bytes, blobs: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a stored item as an upstream may see it: without an id of ours."""
    value: dict[str, Any] = loads_lenient(body)
    return attach(value, blobs) if holds_marks(body) else value


def show_item(item_id: str, body: bytes, blobs: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a stored item as its owner sees it: always with its id."""
    value = unpack(body, blobs)
    return value if "id" in value else {"id": item_id, **value}
