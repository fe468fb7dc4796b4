"""The pages of tenants and keys: to create, rotate, disable and revoke them, with what is left of their limits and budgets.

A new secret is shown once, on the page that answers the form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from flask import Response, redirect, request

from app.errors import GatewayError
from app.surfaces.ui import gateway_client, rendering, requests

_ROWS: Final = 50
_LISTS: Final = ("models", "operations")
_TABLES: Final = ("limits", "budgets")


def index() -> str:
    """List tenants and keys, with forms to create them."""
    tenant = request.args.get("tenant", "").strip()
    page = requests.get("/keys", limit=_ROWS, tenant=tenant, after=request.args.get("after"))
    return rendering.page(
        "keys",
        keys=page["data"],
        tenants=requests.get("/tenants", limit=100)["data"],
        tenant=tenant,
        one=requests.get(f"/tenants/{_part(tenant)}") if tenant else None,
        older=requests.older_rows(page, {"tenant": tenant}),
    )


def create() -> str:
    """Create a key, and show its secret."""
    key = requests.ask("POST", "/keys", _members("tenant", "name"))
    return show(key["id"], secret=key["key"])


def create_tenant() -> Response:
    """Create a tenant."""
    tenant = requests.ask("POST", "/tenants", _members("name"))
    return _to(f"/keys?{urlencode({'tenant': tenant['name']})}")


def show(key_id: str, secret: str | None = None) -> str:
    """Show a key, with what is left of its limits and budgets, and its new secret."""
    key = requests.get(f"/keys/{_part(key_id)}")
    return rendering.page("key", key=key, secret=secret, left=_own_limits(key))


def rotate(key_id: str) -> str:
    """Give a key a new secret, and show it."""
    grace = requests.form().get("grace", "").strip() or "0"
    if not grace.isdecimal():
        raise GatewayError("bad_request", "The grace is a whole number of seconds.")
    key = requests.ask("POST", f"/keys/{_part(key_id)}/rotate", {"grace": int(grace[:9])}, now=_now_flag())
    return show(key_id, secret=key["key"])


def enable(key_id: str) -> Response:
    """Enable a key, or disable it."""
    enabled = requests.form().get("enabled") == "yes"
    path = f"/keys/{_part(key_id)}"
    requests.ask("PATCH", path, {"enabled": enabled}, now=None if enabled else _now_flag())
    return _to(path)


def revoke(key_id: str) -> Response:
    """Revoke a key."""
    requests.ask("DELETE", f"/keys/{_part(key_id)}", now=_now_flag())
    return _to("/keys")


def delete_tenant(name: str) -> Response:
    """Delete a tenant; the form repeats its name."""
    confirm = requests.form().get("confirm", "").strip()
    requests.ask("DELETE", f"/tenants/{_part(name)}", confirm=confirm)
    return _to("/keys")


def _own_limits(key: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what ``GET /v1/key`` answers the key: its limits at every level; None for a disabled or expired key."""
    try:
        principal = gateway_client.key_holder(key["tenant"], key["name"])
    except GatewayError:
        return None
    answer = gateway_client.ask("GET", "/v1/key", principal)
    answer.direct_passthrough = False
    limits: Mapping[str, Any] | None = answer.get_json(silent=True) if answer.status_code == 200 else None
    return limits


def _members(*texts: str) -> dict[str, Any]:
    """Return the members of a form: ``texts``, and those lists and tables that are not empty."""
    fields = {name: value.strip() for name, value in requests.form().items() if value.strip()}
    return {
        **{name: fields.get(name, "") for name in texts},
        **{name: fields[name].replace(",", " ").split() for name in _LISTS if name in fields},
        **{name: _json(name, fields[name]) for name in _TABLES if name in fields},
    }


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise GatewayError("bad_request", f"'{name}' is not JSON: {error}.", param=name) from error


def _now_flag() -> str | None:
    return "true" if requests.form().get("now") == "yes" else None


def _part(text: str) -> str:
    return quote(text, safe="")


def _to(path: str) -> Response:
    return redirect(rendering.url(path), 303)  # type: ignore[return-value]
