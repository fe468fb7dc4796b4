"""The views of ``/admin/admins``."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.config_loading.ownership import NewAdminSchema
from app.state import admins
from app.state.listing import Page
from app.surfaces.admin import asking

_NEW: Final = NewAdminSchema()


def listed() -> Response:
    """List the administrators; the master key is not one of them."""
    page = asking.gateway().state().admins.page(*asking.page_query())
    return asking.listed(Page([admins.shown(row) for row in page.rows], page.has_more))


def create() -> Response:
    """Make an administrator's key."""
    members = asking.checked_body(_NEW)
    admin, secret = asking.gateway().state().admins.create(asking.actor(), members["name"], members["role"])
    return asking.made({**admins.shown(admin), "key": secret})


def delete(admin_id: str) -> Response:
    """Take an administrator's key away."""
    asking.gateway().state().admins.delete(asking.actor(), admin_id)
    return asking.deleted("admin", admin_id)
