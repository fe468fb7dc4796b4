"""The pages of stored responses and conversations: tables, and one response with its thread as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from flask import request

from app.surfaces.ui import rendering, requests

FILTERS: Final = (
    ("tenant", "Tenant"),
    ("key", "Key"),
    ("model", "Model"),
    ("status", "Status"),
    ("conversation", "Conversation"),
    ("from", "From"),
    ("to", "To"),
)
_ROWS: Final = 50
_TURNS: Final = 100
_ITEMS: Final = 100


def responses() -> str:
    """List stored responses, the newest first."""
    return _table("responses", "/responses", FILTERS)


def conversations() -> str:
    """List conversations, the newest first."""
    return _table("conversations", "/conversations", (FILTERS[0], *FILTERS[-2:]))


def response(response_id: str) -> str:
    """Show one response and its thread."""
    answer = requests.get(f"/responses/{quote(response_id, safe='')}")
    thread = requests.get("/responses", thread=answer["thread"], limit=_TURNS)
    return rendering.page(
        "response", one=answer, turns=_tree(thread["data"]), more=thread["has_more"], here_id=answer["id"]
    )


def conversation(conversation_id: str) -> str:
    """Show one conversation with its items and its responses."""
    path = f"/conversations/{quote(conversation_id, safe='')}"
    items = requests.get(f"{path}/items", limit=_ITEMS, order="asc")
    turns = requests.get("/responses", conversation=conversation_id, limit=_TURNS)["data"]
    return rendering.page(
        "conversation",
        one=requests.get(path),
        items=items["data"],
        more=items["has_more"],
        turns=_tree(turns),
    )


def _table(name: str, path: str, filters: Sequence[tuple[str, str]]) -> str:
    values = {name: request.args.get(name, "").strip() for name, _ in filters}
    after = request.args.get("after")
    page = requests.get(path, limit=_ROWS, after=after, **values)
    return rendering.page(
        name,
        rows=page["data"],
        filters=[(name, label, values[name]) for name, label in filters],
        filtered=any(values.values()),
        paged=bool(after),
        older=requests.older_rows(page, values),
    )


def _tree(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the responses of a thread with their depth, each below the one that it continues, the oldest first."""
    ids = {row["id"] for row in rows}
    children: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in reversed(rows):
        parent = row["previous_response_id"]
        children.setdefault(parent if parent in ids else None, []).append(row)
    tree: list[tuple[int, Mapping[str, Any]]] = []
    waiting = [(0, row) for row in reversed(children.get(None, []))]
    while waiting:
        depth, row = waiting.pop()
        tree.append((depth, row))
        waiting += [(depth + 1, child) for child in reversed(children.get(row["id"], []))]
    return tree
