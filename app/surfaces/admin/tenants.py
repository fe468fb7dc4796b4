"""The views of ``/admin/tenants``."""

from __future__ import annotations

from flask import Response, request

from app.config_loading.tenancy import NewTenantSchema, TenantSchema
from app.errors import GatewayError
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response


def index() -> Response:
    """List the tenants."""
    return requests.list_response(requests.owners().tenants(*requests.page_query()))


def create() -> Response:
    """Create a tenant."""
    tenant = requests.owners().create_tenant(requests.actor(), requests.valid_body(NewTenantSchema))
    return requests.creation_response(tenant)


def get(name: str) -> Response:
    """Show a tenant."""
    return json_response(requests.owners().tenant(name))


def change(name: str) -> Response:
    """Change a tenant."""
    changes = requests.valid_body(TenantSchema)
    return json_response(requests.owners().change_tenant(requests.actor(), name, changes))


def delete(name: str) -> Response:
    """Delete a tenant if ``?confirm=`` repeats its name; otherwise report what is stored for it."""
    owners = requests.owners()
    if request.args.get("confirm") != name:
        counts = owners.stored_of_tenant(name)
        raise GatewayError(
            "bad_request",
            f"Stored for the tenant '{name}' are {counts['keys']} keys, {counts['responses']} responses and "
            f"{counts['conversations']} conversations. Repeat the request with ?confirm={name} (in a terminal: --confirm) to delete them.",
            param="confirm",
            code="confirmation_required",
        )
    return requests.deletion_response("tenant", name, stored=owners.delete_tenant(requests.actor(), name))
