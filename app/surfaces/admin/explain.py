"""The view of ``POST /admin/explain``: what a request would do, without sending it.

The request goes through the doors' own routes, checks and views, in a separate application whose
gateway explains a call instead of running it.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, Response, current_app
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from app.config_loading import value_kinds
from app.config_loading.tables import Strict
from app.config_loading.value_kinds import Checked
from app.errors import GatewayError
from app.gateway.call import Call, Principal
from app.gateway.core import Gateway
from app.gateway.explanation import explain, refused_before
from app.gateway.run import Run
from app.surfaces.admin import requests
from app.surfaces.mounts import Credentials, mount_of
from app.surfaces.replies.answers import json_response
from app.surfaces.rules import matched_rule
from app.wire.json import dumps

DOORS: Final = "sluice_explain_doors"
"""Extension name of the function that builds doors over a gateway."""
_BUILT: Final = "sluice_explain_made"
_PRINCIPAL: Final = "sluice.principal"


class ExplainSchema(Strict):
    """A request as a client would send it, and its caller."""

    path = Checked(value_kinds.TEXT, required=True)
    key = Checked(value_kinds.TEXT)
    tenant = Checked(value_kinds.NAME)
    body = fields.Dict(required=True)


_SCHEMA: Final = ExplainSchema()


class _CallPlanned(Exception):
    """Raised in place of running a call."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.id)
        self.call = call


class _ExplainingGateway:
    """A gateway that runs no call."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def run(self, call: Call) -> Run:
        """Raise ``_CallPlanned`` with the call."""
        raise _CallPlanned(call)


class _FixedKeyRing:
    """A key ring for requests whose caller is known."""

    def authenticate(self, places: Credentials, request: Any) -> Principal:
        """Return the caller that the administrator named."""
        principal: Principal = request.environ[_PRINCIPAL]
        return principal


def run() -> Response:
    """Explain a request."""
    members = requests.checked_body(_SCHEMA)
    gateway = requests.gateway()
    principal = _principal(gateway, members.get("key"), members.get("tenant"))
    path = members["path"]
    with _doors(gateway).test_request_context(
        path,
        method="POST",
        data=dumps(members["body"]),
        content_type="application/json",
        environ_overrides={_PRINCIPAL: principal},
    ) as context:
        try:
            shown = explain(gateway, _call(context.app, path))
        except GatewayError as error:
            mount = mount_of(path.partition("?")[0])
            status = error.status if mount is None else mount.restated(error).status
            shown = refused_before(gateway, principal, error, status)
    return json_response(shown)


def _call(doors: Flask, path: str) -> Call:
    """Return the call that the request would make; raise GatewayError if a door refuses it."""
    rule = matched_rule()
    if rule is None or rule.operation is None or not rule.operation.exchange or rule.route.form:
        raise GatewayError(
            "bad_request",
            f"Invalid 'path': POST {path} does not take a JSON body for a model; try /v1/chat/completions.",
            param="path",
            code="invalid_value",
        )
    try:
        doors.preprocess_request()
        doors.dispatch_request()
    except _CallPlanned as planned:
        return planned.call
    except HTTPException as error:
        raise GatewayError("bad_request", error.description or error.name) from error
    raise GatewayError(
        "bad_request", f"POST {path} does not call a model.", param="path", code="invalid_value"
    )


def _doors(gateway: Gateway) -> Flask:
    """Return doors over a gateway that runs no call, built once."""
    extensions = current_app.extensions
    if _BUILT not in extensions:
        doors: Flask = extensions[DOORS](_ExplainingGateway(gateway))
        doors.extensions["sluice_keys"] = _FixedKeyRing()
        extensions[_BUILT] = doors
    found: Flask = extensions[_BUILT]
    return found


def _principal(gateway: Gateway, key: str | None, tenant: str | None) -> Principal:
    """Return the caller for ``key`` (id or name), or the anonymous caller without one.

    Raises ``bad_request`` for an unknown key or an ambiguous name."""
    if key is None:
        return gateway.keys.keyless("open", tenant or "default")
    owners = requests.owners()
    found = [row for row in _rows(owners, tenant) if key in (row["id"], row["name"])]
    exact = [row for row in found if row["id"] == key] or found
    if len(exact) != 1:
        why = "several tenants have such a key; add 'tenant'" if exact else "there is no such key"
        raise GatewayError("bad_request", f"Invalid 'key': {why}.", param="key", code="invalid_value")
    principal = gateway.keys.of_name(exact[0]["tenant"], exact[0]["name"])
    if principal is None:
        raise GatewayError(
            "bad_request", "Invalid 'key': it is disabled or has expired.", param="key", code="invalid_value"
        )
    return principal


def _rows(owners: Any, tenant: str | None) -> list[dict[str, Any]]:
    """Return the keys of one tenant, or of all."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = owners.keys(100, after, tenant)
        rows += page.rows
        if not page.has_more:
            return rows
        after = rows[-1]["id"]
