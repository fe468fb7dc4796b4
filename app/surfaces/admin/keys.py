"""The views of ``/admin/keys``."""

from __future__ import annotations

from flask import Response, request

from app.config_loading.tenancy import KeyChangeSchema, NewKeySchema, RotationSchema
from app.surfaces.admin import requests
from app.surfaces.body import queries
from app.surfaces.replies.answers import json_response


def index() -> Response:
    """List the keys, of one tenant where the query says so."""
    tenant = request.args.get("tenant") or None
    return requests.list_response(requests.owners().keys(*requests.page_query(), tenant))


def create() -> Response:
    """Create a key."""
    key = requests.owners().create_key(requests.actor(), requests.valid_body(NewKeySchema))
    return requests.creation_response(key)


def get(key_id: str) -> Response:
    """Show a key."""
    return json_response(requests.owners().key(key_id))


def change(key_id: str) -> Response:
    """Change a key; ``?now=true`` ends its calls when it is disabled."""
    now = queries.boolean("now", False)
    changes = requests.valid_body(KeyChangeSchema)
    return json_response(requests.owners().change_key(requests.actor(), key_id, changes, end_now=now))


def delete(key_id: str) -> Response:
    """Revoke a key; ``?now=true`` ends its calls."""
    requests.owners().delete_key(requests.actor(), key_id, end_now=queries.boolean("now", False))
    return requests.deletion_response("key", key_id)


def rotate(key_id: str) -> Response:
    """Give a key a new secret; ``?now=true`` ends the calls of the old one."""
    now = queries.boolean("now", False)
    grace = requests.valid_body(RotationSchema, optional=True).get("grace") or 0
    return json_response(requests.owners().rotate_key(requests.actor(), key_id, grace, end_now=now))
