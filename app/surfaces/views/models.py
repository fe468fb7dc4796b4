"""The views of the model list."""

from __future__ import annotations

from flask import Response, g, request

from app.dialects.models import DIALECT, page
from app.surfaces.body import queries
from app.surfaces.calls import current_gateway
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.envelope import bare_fields


def listed(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``GET models``: the whole list, or a page with ``limit`` and ``after``."""
    limit = queries.integer("limit", None, least=1)
    gateway = current_gateway()
    models = gateway.catalogue.models(g.principal, request.args.get("provider") or None)
    shown, more = page(models, limit, request.args.get("after") or None)
    body = DIALECT.encode_list(shown, has_more=more)
    if mount.envelope == "extra_fields":
        body["extra_fields"] = bare_fields("models", request.args.get("provider") or None)
    return json_response(body)


def one(mount: Mount, model_id: str, deployment: str | None = None) -> Response:
    """Serve ``GET models/{id}``; the id may hold slashes."""
    model = current_gateway().catalogue.model(g.principal, model_id)
    body = DIALECT.encode_model(model)
    if mount.envelope == "extra_fields":
        body["extra_fields"] = bare_fields("models", model.id.partition("/")[0])
    return json_response(body)
