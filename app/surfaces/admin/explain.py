"""The view of ``POST /admin/explain``: what a request would do, without doing it.

The request goes through the doors' own routes, checks and views, in an application of its own whose
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
"""Where the application finds what makes the doors over a gateway."""
_MADE: Final = "sluice_explain_made"
_PRINCIPAL: Final = "sluice.principal"


class ExplainSchema(Strict):
    """A request as a client would send it, and whose it is."""

    path = Checked(value_kinds.TEXT, required=True)
    key = Checked(value_kinds.TEXT)
    tenant = Checked(value_kinds.NAME)
    body = fields.Dict(required=True)


_SCHEMA: Final = ExplainSchema()


class _Planned(Exception):
    """A call that came as far as to be run."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.id)
        self.call = call


class _Explaining:
    """A gateway that runs nothing."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def run(self, call: Call) -> Run:
        """Stop here; raises the call."""
        raise _Planned(call)


class _Named:
    """The key ring of requests whose caller is known."""

    def authenticate(self, places: Credentials, request: Any) -> Principal:
        """Return who the administrator said it is."""
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
    """Return the call that the request would be; raises GatewayError for what a door refuses."""
    rule = matched_rule()
    if rule is None or rule.operation is None or not rule.operation.exchange or rule.route.form:
        raise GatewayError(
            "bad_request",
            f"Invalid 'path': POST {path} asks no model with a JSON body; try /v1/chat/completions.",
            param="path",
            code="invalid_value",
        )
    try:
        doors.preprocess_request()
        doors.dispatch_request()
    except _Planned as planned:
        return planned.call
    except HTTPException as error:
        raise GatewayError("bad_request", error.description or error.name) from error
    raise GatewayError(
        "bad_request", f"POST {path} is no call of a model.", param="path", code="invalid_value"
    )


def _doors(gateway: Gateway) -> Flask:
    """Return the doors over a gateway that runs nothing, made once."""
    extensions = current_app.extensions
    if _MADE not in extensions:
        doors: Flask = extensions[DOORS](_Explaining(gateway))
        doors.extensions["sluice_keys"] = _Named()
        extensions[_MADE] = doors
    found: Flask = extensions[_MADE]
    return found


def _principal(gateway: Gateway, key: str | None, tenant: str | None) -> Principal:
    """Return the caller that ``key`` (id or name) stands for; without one, whoever needs none.

    Raises ``bad_request`` for a key that is none, or a name of several tenants."""
    if key is None:
        return gateway.keys.keyless("open", tenant or "default")
    owners = requests.owners()
    found = [row for row in _rows(owners, tenant) if key in (row["id"], row["name"])]
    exact = [row for row in found if row["id"] == key] or found
    if len(exact) != 1:
        why = "several tenants have such a key; name the 'tenant'" if exact else "there is no such key"
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
