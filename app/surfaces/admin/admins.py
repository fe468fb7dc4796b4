"""The views of ``/admin/admins``."""

from __future__ import annotations

from flask import Response

from app.config_loading.tenancy import NewAdminSchema
from app.state import admins
from app.state.lookup import Page
from app.surfaces.admin import requests


def index() -> Response:
    """List the administrators without the master key."""
    page = requests.state().admins.page(*requests.page_query())
    return requests.list_response(Page([admins.show(row) for row in page.rows], page.has_more))


def create() -> Response:
    """Create an administrator's key."""
    members = requests.valid_body(NewAdminSchema)
    admin, secret = requests.state().admins.create(requests.actor(), members["name"], members["role"])
    return requests.creation_response({**admins.show(admin), "key": secret})


def delete(admin_id: str) -> Response:
    """Delete an administrator's key."""
    requests.state().admins.delete(requests.actor(), admin_id)
    return requests.deletion_response("admin", admin_id)
