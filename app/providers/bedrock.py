"""Amazon Bedrock: Converse for chat, InvokeModel for embeddings, text, rankings and pictures, one region a provider.

``BEDROCK_BASE_URL`` serves the control plane (the list of models) too. Model ids go into the
path percent-encoded, ARNs of inference profiles with their colons and slashes
(contract/providers.md 3.5, recorded traffic).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.completions.bedrock_invoke import completes_text
from app.dialects.media.bedrock_images import draws, edits, varies
from app.dialects.media.rerank_bedrock import ranks
from app.providers import anthropic
from app.providers.auth import BearerAuth
from app.providers.aws_auth import DEFAULT_REGION, MISSING, AwsAuth, AwsSession
from app.providers.base import Spec, UrlMaker, Wire
from app.wire.egress import host_label, segment

_EVENT_STREAM: Final = {"x-amzn-bedrock-accept": "application/json"}
_INVOKE: Final = "/model/{model}/invoke"
_CONTROL: Final = "/foundation-models"

_WIRES: Final[dict[str, Wire]] = {
    "chat": Wire(
        "converse",
        "/model/{model}/converse",
        stream_path="/model/{model}/converse-stream",
        framing="eventstream",
        passes=True,
        reads=anthropic.BETAS,
    ),
    "completion": Wire(
        "bedrock_invoke",
        _INVOKE,
        stream_path="/model/{model}/invoke-with-response-stream",
        framing="eventstream",
        headers=_EVENT_STREAM,
    ),
    "embedding": Wire("embeddings_bedrock", _INVOKE, streams=False),
    "rerank": Wire("rerank_bedrock", _INVOKE, streams=False),
    **dict.fromkeys(
        ("image_generation", "image_edit", "image_variation"), Wire("images_bedrock", _INVOKE, streams=False)
    ),
    "models": Wire("models", _CONTROL, method="GET", streams=False, options=models.BEDROCK),
    "count_tokens": Wire("converse", "/model/{model}/count-tokens", streams=False),
}


_ALONE: Final = (
    (draws, frozenset({"image_generation", "image_edit", "image_variation"})),
    (ranks, frozenset({"rerank"})),
)
"""What tells whether a model is of a family of its own, and what such models do."""

_SOME: Final[Mapping[str, Callable[[str], bool]]] = {
    "completion": completes_text,
    "image_edit": edits,
    "image_variation": varies,
}
"""Operations that some models of a family cannot do."""


def host(plane: str, region: str) -> str:
    """Return the URL of a plane (``bedrock-runtime``, ``bedrock``) in a region, which is one DNS label."""
    label = host_label(region, name="region")
    return f"https://{plane}.{label}.amazonaws.com{'.cn' if label.startswith('cn-') else ''}"


def _url(
    session: AwsSession | None, settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool
) -> str:
    if wire.path == _CONTROL and not settings.base_url:
        base = host("bedrock", session.region() if session else DEFAULT_REGION)
    path = wire.stream_path if stream and wire.stream_path is not None else wire.path
    if "{model}" in path:
        path = path.replace("{model}", segment(model, allow=":/", name="model"))
    query = f"?{urlencode(wire.query)}" if wire.query else ""
    return f"{base.rstrip('/')}{path}{query}"


def _choose(settings: ProviderSettings, operation: str, model: str) -> Wire | None:
    """Models that only chat have no completion wire: those go over Converse. Models that draw or rank do
    nothing else."""
    if operation in _SOME and not _SOME[operation](model):
        return None
    if operation != "models" and any(knows(model) is not (operation in does) for knows, does in _ALONE):
        return None
    return _WIRES.get(operation)


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec with these settings' credentials and region."""
    session = AwsSession(settings)
    return _spec(
        AwsAuth(session), lambda given: host("bedrock-runtime", session.region()), partial(_url, session)
    )


def _spec(auth: Any, base_url: Any, url: UrlMaker) -> Spec:
    return Spec(
        name="bedrock",
        auth=auth,
        wires=_WIRES,
        choose=_choose,
        base_url=base_url,
        url=url,
        price_as="aws",
        missing=MISSING,
    )


SPEC: Final = _spec(BearerAuth(), host("bedrock-runtime", DEFAULT_REGION), partial(_url, None))
