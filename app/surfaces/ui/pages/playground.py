"""The playground: one prompt to two targets side by side, streamed.

Requests go to the surfaces of this process, with a client key that the administrator chooses or as the administrator.
Tests: tests/surfaces/test_playground.py, tests/surfaces/test_browser.py.
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
    """Send the request ``{"api", "body", "key"}`` to a surface, and return its answer.

    ``key`` is ``tenant/name`` of a client key, whose limits and budgets then count; without one the administrator calls."""
    if g.actor.role != "admin":
        raise GatewayError("forbidden", "A viewer may not ask models.")
    settings = requests.gateway().settings
    form = json_body(request, limit=settings.max_body_bytes, deadline=settings.body_deadline)
    path, body = PATHS.get(str(form.get("api"))), form.get("body")
    if path is None or not isinstance(body, dict):
        raise GatewayError("bad_request", "Send 'api' (chat or responses) and 'body', an object.")
    tenant, _, name = str(form.get("key") or "").partition("/")
    principal = gateway_client.key_holder(tenant, name) if tenant else gateway_client.administrator()
    return gateway_client.ask("POST", path, principal, dumps(body))
