"""Google Cloud's models (Vertex): Gemini, Imagen, rankers, Claude, Mistral and others, chosen by the model's id.

Each maker's models speak their own dialect below their own path:
``publishers/google`` Gemini, ``publishers/anthropic`` Claude's Messages, ``publishers/mistralai``
chat, all others the OpenAI-compatible endpoint. A model of digits only is a tuned endpoint.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.gemini.options import VERTEX
from app.dialects.media import embeddings_gemini
from app.dialects.messages.options import MessagesOptions
from app.providers import anthropic, chat_rows
from app.providers.auth import BearerAuth
from app.providers.base import Spec, Wire, default_url, not_configured
from app.providers.google_auth import GoogleAuth
from app.wire.egress import host_label, segment

DEFAULT_LOCATION: Final = "global"
MISSING: Final = (
    "Set VERTEX_PROJECT and VERTEX_LOCATION, and GOOGLE_APPLICATION_CREDENTIALS or VERTEX_ACCESS_TOKEN."
)
_SSE: Final = {"alt": "sse"}
_PLACE: Final = "/v1/projects/{project}/locations/{location}"
_MULTI_REGIONS: Final = frozenset({"us", "eu"})

_CLAUDE: Final = MessagesOptions(
    model_in_body=False,
    anthropic_version="vertex-2023-10-16",
    native_schema=False,
    files=False,
    url_sources=False,
)


def _model_wire(verb: str, dialect: str, options: Any, *, where: str = "publishers/google/models") -> Wire:
    path = f"{_PLACE}/{where}/{{model}}"
    if verb != "generateContent":
        return Wire(dialect, f"{path}:{verb}", options=options, streams=False)
    return Wire(
        dialect,
        f"{path}:{verb}",
        stream_path=f"{path}:streamGenerateContent",
        stream_query=_SSE,
        options=options,
        passes=True,
    )


def _raw_predict_wire(maker: str, dialect: str, options: Any, **more: Any) -> Wire:
    path = f"{_PLACE}/publishers/{maker}/models/{{model}}"
    return Wire(
        dialect, f"{path}:rawPredict", stream_path=f"{path}:streamRawPredict", options=options, **more
    )


_GEMINI_IMAGES: Final = replace(
    _model_wire("generateContent", "images_gemini", None), stream_path=None, passes=False, streams=False
)

_GEMINI: Final[dict[str, Wire]] = {
    "image_generation": _GEMINI_IMAGES,
    "image_edit": _GEMINI_IMAGES,
    "chat": _model_wire("generateContent", "gemini", VERTEX),
    "count_tokens": _model_wire("countTokens", "gemini", VERTEX),
}
_IMAGEN: Final[dict[str, Wire]] = {"image_generation": _model_wire("predict", "images_imagen", None)}
_IMAGEN_CAPABILITY: Final = {**_IMAGEN, "image_edit": _model_wire("predict", "images_imagen", None)}
_RANKERS: Final[dict[str, Wire]] = {
    "rerank": Wire(
        "rerank_vertex",
        "/v1/projects/{project}/locations/global/rankingConfigs/default_ranking_config:rank",
        streams=False,
        base="https://discoveryengine.googleapis.com",
    )
}
_TUNED: Final[dict[str, Wire]] = {
    "chat": _model_wire("generateContent", "gemini", VERTEX, where="endpoints"),
    "count_tokens": _model_wire("countTokens", "gemini", VERTEX, where="endpoints"),
}
_CLAUDE_WIRES: Final[dict[str, Wire]] = {
    "chat": _raw_predict_wire(
        "anthropic", "messages", _CLAUDE, realm=anthropic.SIGNERS, passes=True, forwards=anthropic.BETAS
    ),
    "count_tokens": Wire(
        "messages",
        f"{_PLACE}/publishers/anthropic/models/count-tokens:rawPredict",
        options=replace(_CLAUDE, model_in_body=True),
        streams=False,
        passes=True,
        forwards=anthropic.BETAS,
    ),
}
_MISTRAL: Final[dict[str, Wire]] = {"chat": _raw_predict_wire("mistralai", "chat", chat_rows.MISTRAL)}
_OTHERS: Final[dict[str, Wire]] = {
    "chat": Wire("chat", f"{_PLACE}/endpoints/openapi/chat/completions", options=chat_rows.OTHER_MAKERS)
}
_MODELS: Final = Wire(
    "models",
    "/v1beta1/publishers/google/models",
    method="GET",
    streams=False,
    query={"pageSize": "300"},
    options=models.VERTEX,
)

_MAKERS: Final = (
    # what a model's id looks like, the prefix that may stand before it, its wires
    (re.compile(r"\d+"), "", _TUNED),
    (re.compile(r"(google/)?(gemini|gemma|learnlm)-.*"), "google/", _GEMINI),
    (re.compile(r"(google/)?imagen-.*-capability-.*"), "google/", _IMAGEN_CAPABILITY),
    (re.compile(r"(google/)?imagen-.*"), "google/", _IMAGEN),
    (re.compile(r"semantic-ranker-.*"), "", _RANKERS),
    (re.compile(r"(anthropic/)?claude-.*"), "anthropic/", _CLAUDE_WIRES),
    (re.compile(r"(mistralai/)?(mistral|ministral|codestral|magistral)-.*"), "mistralai/", _MISTRAL),
)

_EMBEDDINGS: Final = (
    # the newest take one content a call, at another verb; gemini-embedding-001 takes one instance
    (re.compile(r"gemini-embedding-([2-9]|\d\d).*"), "embedContent", embeddings_gemini.SINGLE),
    (re.compile(r"gemini-embedding-.*"), "predict", embeddings_gemini.PREDICT_ONE),
    (re.compile(r".*", re.DOTALL), "predict", embeddings_gemini.PREDICT),
)


def _choose(settings: ProviderSettings, operation: str, model: str) -> Wire | None:
    if operation == "models":
        return _MODELS
    wires = next((wires for form, _, wires in _MAKERS if form.fullmatch(model)), _OTHERS)
    if operation == "embedding" and wires in (_GEMINI, _OTHERS):
        return _embedding(_bare(model))
    return wires.get(operation)


def _embedding(name: str) -> Wire | None:
    """Return the wire of one of Google's embedding models; other makers' names hold a slash."""
    if "/" in name:
        return None
    verb, options = next((verb, options) for form, verb, options in _EMBEDDINGS if form.fullmatch(name))
    return _model_wire(verb, "embeddings_gemini", options)


def _bare(model: str) -> str:
    """Return a model's id without its maker, which the path says."""
    return next(
        (model.removeprefix(prefix) for form, prefix, _ in _MAKERS if form.fullmatch(model)),
        model.removeprefix("google/"),
    )


def location_of(settings: ProviderSettings) -> str:
    """Return the location, a DNS label: it is part of the host."""
    return host_label(settings.options.get("location") or DEFAULT_LOCATION, name="location")


def _base_url(settings: ProviderSettings) -> str | None:
    if not settings.options.get("project"):
        return None
    location = location_of(settings)
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def _url(settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool) -> str:
    if settings.base_url is not None:
        wire = replace(wire, base=None)  # the operator's own address serves all of Google's APIs
    url = default_url(settings, base, wire, _bare(model), stream, allow="@")
    if "{project}" not in wire.path:
        return url
    project = settings.options.get("project")
    if not project:
        raise not_configured(settings.name, MISSING)
    url = url.replace("{project}", segment(project, allow=":", name="project"))
    return url.replace("{location}", location_of(settings))


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec with these settings' credentials."""
    return replace(SPEC, auth=GoogleAuth(settings, transport))


SPEC: Final = Spec(
    name="vertex",
    auth=BearerAuth(),
    wires={**_GEMINI, "embedding": _model_wire("predict", "embeddings_gemini", None), "models": _MODELS},
    base_url=_base_url,
    choose=_choose,
    url=_url,
    price_as="google",
    missing=MISSING,
)
