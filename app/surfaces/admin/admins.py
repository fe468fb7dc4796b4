"""The views of ``/admin/admins``."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.config_loading.tenancy import NewAdminSchema
from app.state import admins
from app.state.listing import Page
from app.surfaces.admin import requests

_NEW: Final = NewAdminSchema()


def index() -> Response:
    """List the administrators; the master key is not one of them."""
    page = requests.gateway().state().admins.page(*requests.page_query())
    return requests.list_response(Page([admins.show(row) for row in page.rows], page.has_more))


def create() -> Response:
    """Make an administrator's key."""
    members = requests.checked_body(_NEW)
    admin, secret = (
        requests.gateway().state().admins.create(requests.actor(), members["name"], members["role"])
    )
    return requests.creation_response({**admins.show(admin), "key": secret})


def delete(admin_id: str) -> Response:
    """Take an administrator's key away."""
    requests.gateway().state().admins.delete(requests.actor(), admin_id)
    return requests.deletion_response("admin", admin_id)
