"""The views of ``/admin/tenants``."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from app.config_loading.ownership import NewTenantSchema, TenantSchema
from app.errors import GatewayError
from app.surfaces.admin import asking
from app.surfaces.replies.answers import json_response

_NEW: Final = NewTenantSchema()
_CHANGE: Final = TenantSchema()


def listed() -> Response:
    """List the tenants."""
    return asking.listed(asking.owners().tenants(*asking.page_query()))


def create() -> Response:
    """Make a tenant."""
    members = asking.checked_body(_NEW)
    return asking.made(asking.owners().create_tenant(asking.actor(), members))


def get(name: str) -> Response:
    """Show a tenant."""
    return json_response(asking.owners().tenant(name))


def change(name: str) -> Response:
    """Change a tenant."""
    changes = asking.checked_body(_CHANGE)
    return json_response(asking.owners().change_tenant(asking.actor(), name, changes))


def delete(name: str) -> Response:
    """Delete a tenant once ``?confirm=`` repeats its name; before, say what is stored of it."""
    owners = asking.owners()
    if request.args.get("confirm") != name:
        counts = owners.stored_of_tenant(name)
        raise GatewayError(
            "bad_request",
            f"Stored of the tenant '{name}' are {counts['keys']} keys, {counts['responses']} responses and "
            f"{counts['conversations']} conversations. Repeat this with ?confirm={name} to delete them.",
            param="confirm",
            code="confirmation_required",
        )
    return asking.deleted("tenant", name, stored=owners.delete_tenant(asking.actor(), name))
