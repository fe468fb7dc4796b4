"""Tenants and keys: made, rotated, disabled, revoked, with what is left of their limits and budgets.

A new secret stands on the page that answers the form, once; no address shows it again.
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
_TEXTS: Final = ("tenant", "name")
_LISTS: Final = ("models", "operations")
_TABLES: Final = ("limits", "budgets")


def index() -> str:
    """List tenants and keys, with forms to make one of each."""
    tenant = request.args.get("tenant", "").strip()
    return _page(tenant)


def create() -> str:
    """Make a key, and show its secret."""
    made = requests.change("POST", "/keys", _members(_TEXTS))
    return _key(made["id"], secret=made["key"])


def create_tenant() -> Response:
    """Make a tenant."""
    made = requests.change("POST", "/tenants", _members(("name",)))
    return _to(f"/keys?{urlencode({'tenant': made['name']})}")


def show(key_id: str) -> str:
    """Show a key, with what is left of its limits and budgets."""
    return _key(key_id)


def rotate(key_id: str) -> str:
    """Give a key a new secret, and show it."""
    grace = requests.form().get("grace", "").strip() or "0"
    if not grace.isdecimal():
        raise GatewayError("bad_request", "The grace is a whole number of seconds.")
    rotated = requests.change(
        "POST", f"/keys/{_part(key_id)}/rotate", {"grace": int(grace[:9])}, now=_now_flag()
    )
    return _key(key_id, secret=rotated["key"])


def enable(key_id: str) -> Response:
    """Enable a key, or disable it."""
    enabled = requests.form().get("enabled") == "yes"
    requests.change(
        "PATCH", f"/keys/{_part(key_id)}", {"enabled": enabled}, now=None if enabled else _now_flag()
    )
    return _to(f"/keys/{_part(key_id)}")


def revoke(key_id: str) -> Response:
    """Revoke a key."""
    requests.change("DELETE", f"/keys/{_part(key_id)}", now=_now_flag())
    return _to("/keys")


def delete_tenant(name: str) -> Response:
    """Delete a tenant whose name was typed once more."""
    typed = requests.form().get("confirm", "").strip() or None
    requests.change("DELETE", f"/tenants/{_part(name)}", confirm=typed)
    return _to("/keys")


def _page(tenant: str) -> str:
    query = {"tenant": tenant, "after": request.args.get("after")}
    page = requests.get("/keys", limit=_ROWS, **query)
    older = {"tenant": tenant, "after": page["last_id"]}
    return rendering.page(
        "keys",
        keys=page["data"],
        tenants=requests.get("/tenants", limit=100)["data"],
        tenant=tenant,
        one=requests.get(f"/tenants/{_part(tenant)}") if tenant else None,
        older=urlencode({name: value for name, value in older.items() if value})
        if page["has_more"]
        else None,
    )


def _key(key_id: str, secret: str | None = None) -> str:
    key = requests.get(f"/keys/{_part(key_id)}")
    return rendering.page("key", key=key, secret=secret, left=_own_limits(key))


def _own_limits(key: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the key as it sees itself, at every level; None for one that is not in force."""
    try:
        principal = gateway_client.holder(key["tenant"], key["name"])
    except GatewayError:
        return None
    answer = gateway_client.ask("GET", "/v1/key", principal)
    answer.direct_passthrough = False
    found: Mapping[str, Any] | None = answer.get_json(silent=True) if answer.status_code == 200 else None
    return found


def _members(texts: tuple[str, ...]) -> dict[str, Any]:
    """Return the members that a form gives; what is empty is left out."""
    fields = {name: value.strip() for name, value in requests.form().items() if value.strip()}
    found: dict[str, Any] = {name: fields.get(name, "") for name in texts}
    for name in _LISTS:
        if name in fields:
            found[name] = [word for word in fields[name].replace(",", " ").split() if word]
    for name in _TABLES:
        if name in fields:
            found[name] = _json(name, fields[name])
    return found


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise GatewayError("bad_request", f"'{name}' is no JSON: {error}.", param=name) from error


def _now_flag() -> str | None:
    return "true" if requests.form().get("now") == "yes" else None


def _part(text: str) -> str:
    return quote(text, safe="")


def _to(path: str) -> Response:
    return redirect(rendering.url(path), 303)  # type: ignore[return-value]
