"""The views of Google's API, on the paths of Gemini and of Vertex; the URL names the model and the verb."""

from __future__ import annotations

from typing import NoReturn

from flask import Response, g, request

from app.dialects.model_forms import MODEL_FORMS
from app.errors import GatewayError
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.framing import Events, Framing, GrowingArray
from app.surfaces.views import generation, media, token_counts

_GOOGLE = "google"
_SILENCE = b"\n"  # Google's SDKs read a comment as the beginning of an error


def generate_content(mount: Mount, deployment: str, **place: str) -> Response:
    """Generate content."""
    return _generate(mount, deployment, place)


def stream_generate_content(mount: Mount, deployment: str, **place: str) -> Response:
    """Generate content, streamed: events with ``alt=sse``, else an array."""
    events = request.args.get("alt") == "sse"
    return _generate(mount, deployment, place, Events(silence=_SILENCE) if events else GrowingArray())


def raw_predict(mount: Mount, deployment: str, **place: str) -> Response:
    """Create a message by Claude from a Messages body."""
    return _generate(mount, deployment, place)


def stream_raw_predict(mount: Mount, deployment: str, **place: str) -> Response:
    """Create a message by Claude from a Messages body, streamed."""
    return _generate(mount, deployment, place, Events())


def _generate(
    mount: Mount, deployment: str, place: dict[str, str], framing: Framing | None = None
) -> Response:
    model = _model(deployment, place)
    body = {**read_body(), "model": model, "stream": framing is not None}
    return generation.generate(mount, model, body, framing=framing)


def count_tokens(mount: Mount, deployment: str, **place: str) -> Response:
    """Count a request's tokens: the provider's count, else an estimate."""
    model = _model(deployment, place)
    return token_counts.answer(mount, {**read_body(), "model": model}, model)


def count_raw(mount: Mount, **place: str) -> Response:
    """Count the tokens of a Messages body that names its model."""
    body = read_body()
    model = body.get("model")
    body["model"] = _model(model, place) if isinstance(model, str) else None
    return token_counts.answer(mount, body, None)


def embed_content(mount: Mount, deployment: str, **place: str) -> Response:
    """Create an embedding."""
    return _embed(mount, deployment, place)


def batch_embed_contents(mount: Mount, deployment: str, **place: str) -> Response:
    """Create several embeddings."""
    return _embed(mount, deployment, place)


def predict(mount: Mount, deployment: str, **place: str) -> Response:
    """Create embeddings from a body of the older model families."""
    return _embed(mount, deployment, place)


def _embed(mount: Mount, deployment: str, place: dict[str, str]) -> Response:
    model = _model(deployment, place)
    return media.embedding(mount, model, {**read_body(), "model": model})


def publisher_models(mount: Mount, publisher: str, **place: str) -> Response:
    """List a publisher's models."""
    models = current_gateway().catalogue.models(g.principal, _provider(mount, publisher))
    return json_response(MODEL_FORMS["publishers"].encode_list(models, request.args))


def publisher_model(mount: Mount, publisher: str, model_id: str, **place: str) -> Response:
    """Retrieve a publisher's model."""
    model = current_gateway().catalogue.model(g.principal, f"{_provider(mount, publisher)}/{model_id}")
    return json_response(MODEL_FORMS["publishers"].encode_model(model))


def unknown_verb(mount: Mount, **place: str) -> NoReturn:
    """Refuse a verb that is not served."""
    raise GatewayError(
        "not_found",
        f"Invalid URL ({request.method} {request.path}): a path ends in a model, a colon and a verb that is "
        "served here, such as ':generateContent'.",
    )


def _model(deployment: str, place: dict[str, str]) -> str:
    """Return the model string of a path; any publisher but Google is the name of a provider."""
    model = deployment.removeprefix("models/")
    publisher = place.get("publisher", _GOOGLE)
    return model if publisher == _GOOGLE else f"{publisher}/{model}"


def _provider(mount: Mount, publisher: str) -> str | None:
    """Return the provider of a publisher's models; for Google it is the surface's own provider."""
    return mount.default_provider if publisher == _GOOGLE else publisher
