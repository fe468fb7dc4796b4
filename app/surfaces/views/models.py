"""The views of the model list, in the form of each surface."""

from __future__ import annotations

from typing import Final

from flask import Response, g, request

from app.dialects.model_forms import MODEL_FORMS, ModelForm
from app.dialects.models import DIALECT, page
from app.surfaces.body import queries
from app.surfaces.calls import current_gateway
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.envelope import bare_fields

_CLIENT_HEADERS: Final = (("anthropic-version", "messages"), ("x-goog-api-client", "gemini"))
"""Headers that only the clients of one API send, with the form that they read; the unified surface looks at them."""


def list_models(mount: Mount, deployment: str | None = None) -> Response:
    """List models: all of them, or a page."""
    form, provider = _form(mount), request.args.get("provider") or None
    models = current_gateway().catalogue.models(g.principal, provider)
    if form is not None:
        return json_response(form.encode_list(models, request.args))
    limit = queries.integer("limit", None, least=1)
    rows, more = page(models, limit, request.args.get("after") or None)
    body = DIALECT.encode_list(rows, has_more=more)
    if mount.envelope == "extra_fields":
        body["extra_fields"] = bare_fields("models", provider)
    return json_response(body)


def retrieve(mount: Mount, model_id: str, deployment: str | None = None) -> Response:
    """Retrieve a model; its id may hold slashes."""
    form, gateway = _form(mount), current_gateway()
    model = gateway.catalogue.model(
        g.principal, model_id, mount.provider_of_bare_name(gateway.registry.configured)
    )
    if form is not None:
        return json_response(form.encode_model(model))
    body = DIALECT.encode_model(model)
    if mount.envelope == "extra_fields":
        provider, slash, _ = model.id.partition("/")
        body["extra_fields"] = bare_fields("models", provider if slash else None)
    return json_response(body)


def _form(mount: Mount) -> ModelForm | None:
    """Return the form of the surface, or of the client; None for OpenAI's."""
    if mount.dialect is not None:
        return MODEL_FORMS[mount.dialect]
    return next((MODEL_FORMS[form] for header, form in _CLIENT_HEADERS if header in request.headers), None)
