"""The views of conversations and their items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, g

from app.dialects.responses.echo import strip_encrypted
from app.state.conversations import Conversations
from app.surfaces.body import queries
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response


def _conversations() -> Conversations:
    return current_gateway().state().conversations


def _resolve(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the items with copies in place of references."""
    return current_gateway().state().history.resolve(g.principal.tenant, items)


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a conversation; the body may be absent."""
    body = read_body()
    items = _resolve(body.get("items") or ())
    return json_response(
        _conversations().create(g.principal.tenant, metadata=body.get("metadata"), items=items)
    )


def get(mount: Mount, conversation_id: str, deployment: str | None = None) -> Response:
    """Retrieve a conversation."""
    return json_response(_conversations().get(g.principal.tenant, conversation_id))


def update(mount: Mount, conversation_id: str, deployment: str | None = None) -> Response:
    """Update a conversation: its metadata is replaced."""
    metadata = read_body().get("metadata") or {}
    return json_response(_conversations().update(g.principal.tenant, conversation_id, metadata))


def delete(mount: Mount, conversation_id: str, deployment: str | None = None) -> Response:
    """Delete a conversation."""
    return json_response(_conversations().delete(g.principal.tenant, conversation_id))


def add_items(mount: Mount, conversation_id: str, deployment: str | None = None) -> Response:
    """Add items to a conversation."""
    include, items = queries.include(), _resolve(read_body()["items"])
    page = _conversations().add_items(g.principal.tenant, conversation_id, items)
    return json_response(strip_encrypted(page, include))


def list_items(mount: Mount, conversation_id: str, deployment: str | None = None) -> Response:
    """List a conversation's items."""
    include, query = queries.include(), queries.page()
    page = _conversations().list_items(g.principal.tenant, conversation_id, query)
    return json_response(strip_encrypted(page, include))


def get_item(mount: Mount, conversation_id: str, item_id: str, deployment: str | None = None) -> Response:
    """Retrieve an item of a conversation."""
    include = queries.include()
    item = _conversations().get_item(g.principal.tenant, conversation_id, item_id)
    return json_response(strip_encrypted(item, include))


def delete_item(mount: Mount, conversation_id: str, item_id: str, deployment: str | None = None) -> Response:
    """Delete an item of a conversation; the conversation is returned."""
    return json_response(_conversations().delete_item(g.principal.tenant, conversation_id, item_id))
