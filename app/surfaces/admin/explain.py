"""The view of ``POST /admin/explain``: what a request would do, without sending it.

The request goes through the routes, checks and views of the surfaces, in a separate application whose gateway runs no
call.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, Response, current_app
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from app.config_loading import value_kinds
from app.config_loading.tables import Strict
from app.config_loading.value_kinds import KindField
from app.errors import GatewayError
from app.gateway.call import Call, Principal
from app.gateway.core import Gateway
from app.gateway.explanation import explain, explain_rejection
from app.gateway.run import Run
from app.surfaces.admin import requests
from app.surfaces.credentials import PRINCIPAL
from app.surfaces.mounts import mount_of
from app.surfaces.replies.answers import json_response
from app.surfaces.rules import matched_rule
from app.wire.json import dumps

SURFACES: Final = "sluice_explain_surfaces"
"""Extension name of the function that returns surfaces over a gateway that runs no call."""


class ExplainSchema(Strict):
    """A request as a client would send it, and its caller."""

    path = KindField(value_kinds.TEXT, required=True)
    key = KindField(value_kinds.TEXT)
    tenant = KindField(value_kinds.NAME)
    body = fields.Dict(required=True, error_messages={"required": value_kinds.MISSING})


class _CallPlanned(Exception):
    """Raised in place of running a call."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.id)
        self.call = call


class ExplainingGateway:
    """A gateway that runs no call."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def run(self, call: Call) -> Run:
        """Raise ``_CallPlanned`` with the call."""
        raise _CallPlanned(call)


def run() -> Response:
    """Explain a request."""
    members = requests.valid_body(ExplainSchema)
    gateway = requests.gateway()
    principal = _principal(gateway, members.get("key"), members.get("tenant"))
    path = members["path"]
    surfaces: Flask = current_app.extensions[SURFACES]()
    with surfaces.test_request_context(
        path,
        method="POST",
        data=dumps(members["body"]),
        content_type="application/json",
        environ_overrides={PRINCIPAL: principal},
    ):
        try:
            return json_response(explain(gateway, _call(surfaces, path)))
        except GatewayError as error:
            mount = mount_of(path.partition("?")[0])
            status = error.status if mount is None else mount.status_of(error)
            return json_response(explain_rejection(gateway, principal, error, status))


def _call(surfaces: Flask, path: str) -> Call:
    """Return the call that the current request would make; raise GatewayError if the surface refuses it."""
    rule = matched_rule()
    if rule is None or rule.operation is None or not rule.operation.exchange or rule.route.form:
        raise GatewayError(
            "bad_request",
            f"Invalid 'path': POST {path} does not take a JSON body for a model; try /v1/chat/completions.",
            param="path",
            code="invalid_value",
        )
    try:
        surfaces.preprocess_request()
        surfaces.dispatch_request()
    except _CallPlanned as planned:
        return planned.call
    except HTTPException as error:
        raise GatewayError("bad_request", error.description or error.name) from error
    raise GatewayError(
        "bad_request", f"POST {path} does not call a model.", param="path", code="invalid_value"
    )


def _principal(gateway: Gateway, key: str | None, tenant: str | None) -> Principal:
    """Return the caller for ``key`` (id or name), or the anonymous caller without one.

    Raises ``bad_request`` for an unknown key or an ambiguous name."""
    if key is None:
        return gateway.keys.keyless("open", tenant or "default")
    rows = requests.owners().keys_called(key, tenant)
    if len(rows) != 1:
        why = "several tenants have such a key; add 'tenant'" if rows else "there is no such key"
        raise GatewayError("bad_request", f"Invalid 'key': {why}.", param="key", code="invalid_value")
    principal = gateway.keys.of_name(rows[0]["tenant"], rows[0]["name"])
    if principal is None:
        raise GatewayError(
            "bad_request", "Invalid 'key': it is disabled or has expired.", param="key", code="invalid_value"
        )
    return principal
