"""The views of ``/admin/keys``."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from app.config_loading.ownership import KeyChangeSchema, NewKeySchema, RotationSchema
from app.surfaces.admin import asking
from app.surfaces.body import queries
from app.surfaces.replies.answers import json_response

_NEW: Final = NewKeySchema()
_CHANGE: Final = KeyChangeSchema()
_ROTATION: Final = RotationSchema()


def listed() -> Response:
    """List the keys, of one tenant where the query says so."""
    limit, after = asking.page_query()
    return asking.listed(asking.owners().keys(limit, after, request.args.get("tenant") or None))


def create() -> Response:
    """Make a key."""
    members = asking.checked_body(_NEW)
    return asking.made(asking.owners().create_key(asking.actor(), members))


def get(key_id: str) -> Response:
    """Show a key."""
    return json_response(asking.owners().key(key_id))


def change(key_id: str) -> Response:
    """Change a key; ``?now=true`` ends its calls when it is disabled."""
    now = queries.boolean("now", False)
    changes = asking.checked_body(_CHANGE)
    return json_response(asking.owners().change_key(asking.actor(), key_id, changes, end_now=now))


def delete(key_id: str) -> Response:
    """Revoke a key; ``?now=true`` ends its calls."""
    asking.owners().delete_key(asking.actor(), key_id, end_now=queries.boolean("now", False))
    return asking.deleted("key", key_id)


def rotate(key_id: str) -> Response:
    """Give a key a new secret; ``?now=true`` ends the calls of the old one."""
    now = queries.boolean("now", False)
    grace = asking.checked_body(_ROTATION, optional=True).get("grace") or 0
    return json_response(asking.owners().rotate_key(asking.actor(), key_id, grace, end_now=now))
