"""The playground: one prompt at two targets side by side, streamed as a door streams it.

A request goes through the doors of this process, as a key that the administrator picks or as the administrator's
own. Tests: tests/surfaces/test_playground.py, tests/surfaces/test_browser.py.
"""

from __future__ import annotations

from typing import Final

from flask import Response, g, request

from app.errors import GatewayError
from app.surfaces.body.reader import json_body
from app.surfaces.ui import gateway_client, rendering, requests
from app.wire.json import dumps

PATHS: Final = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
_MOST: Final = 100


def index() -> str:
    """Show the form."""
    settings, providers = requests.get("/settings"), requests.get("/providers", limit=_MOST)["data"]
    names = [*settings["models"], "sandbox/echo"]
    names += [f"{row['id']}/{model}" for row in providers for model in row["models"]]
    keys = requests.get("/keys", limit=_MOST)["data"]
    model = request.args.get("model", "sandbox/echo")
    return rendering.page("playground", models=list(dict.fromkeys(names)), keys=keys, model=model)


def run() -> Response:
    """Put a request to a door: ``{"api", "body", "key"}``; the answer is the door's own.

    ``key`` is ``tenant/name`` of a client key, whose limits and budgets then count; empty: the administrator's own."""
    if g.actor.role != "admin":
        raise GatewayError("forbidden", "A viewer may not ask models.")
    settings = requests.gateway().settings
    order = json_body(request, limit=settings.max_body_bytes, deadline=settings.body_deadline)
    path, body = PATHS.get(str(order.get("api"))), order.get("body")
    if path is None or not isinstance(body, dict):
        raise GatewayError("bad_request", "Send 'api' (chat or responses) and 'body', an object.")
    tenant, _, name = str(order.get("key") or "").partition("/")
    principal = gateway_client.holder(tenant, name) if tenant else gateway_client.own()
    return gateway_client.ask("POST", path, principal, dumps(body))
