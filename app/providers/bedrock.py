"""Amazon Bedrock: Converse for chat, InvokeModel for embeddings, text, rankings and pictures, one region a provider.

``BEDROCK_BASE_URL`` serves the control plane (the list of models) too. Model ids go into the
path percent-encoded, ARNs of inference profiles with their colons and slashes
(docs/contract/providers.md, recorded traffic).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.completions.bedrock_invoke import completes_text
from app.dialects.media.bedrock_images import draws, edits, varies
from app.dialects.media.rerank_bedrock import ranks
from app.providers import anthropic
from app.providers.auth import BearerAuth
from app.providers.aws_auth import DEFAULT_REGION, MISSING, AwsAuth, AwsSession
from app.providers.base import Spec, Wire, default_url
from app.wire.egress import host_label

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
        body_headers=anthropic.BETAS,
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


_SPECIALISTS: Final = (
    (draws, frozenset({"image_generation", "image_edit", "image_variation"})),
    (ranks, frozenset({"rerank"})),
)
"""How to recognize a model that has operations of its own, and these operations."""

_CAPABILITIES: Final[Mapping[str, Callable[[str], bool]]] = {
    "completion": completes_text,
    "image_edit": edits,
    "image_variation": varies,
}
"""Operations that not all models can do: how to recognize one that can."""


def host(plane: str, region: str) -> str:
    """Return the URL of a plane (``bedrock-runtime``, ``bedrock``) in a region, which is one DNS label."""
    label = host_label(region, name="region")
    return f"https://{plane}.{label}.amazonaws.com{'.cn' if label.startswith('cn-') else ''}"


def _url(
    session: AwsSession | None, settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool
) -> str:
    if wire.path == _CONTROL and not settings.base_url:
        base = host("bedrock", session.region() if session else DEFAULT_REGION)
    return default_url(settings, base, wire, model, stream, allow=":/")


def _choose(settings: ProviderSettings, operation: str, model: str) -> Wire | None:
    """Return the wire of ``operation``, None where the model cannot do it.

    Models that only chat have no completion wire; their completions go over Converse.
    """
    if operation in _CAPABILITIES and not _CAPABILITIES[operation](model):
        return None
    if operation != "models" and any(
        matches(model) is not (operation in operations) for matches, operations in _SPECIALISTS
    ):
        return None
    return _WIRES.get(operation)


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec with these settings' credentials and region."""
    session = AwsSession(settings)
    return replace(
        SPEC,
        auth=AwsAuth(session),
        base_url=lambda settings: host("bedrock-runtime", session.region()),
        url=partial(_url, session),
    )


SPEC: Final = Spec(
    name="bedrock",
    auth=BearerAuth(),
    wires=_WIRES,
    choose=_choose,
    base_url=host("bedrock-runtime", DEFAULT_REGION),
    url=partial(_url, None),
    price_as="aws",
    missing=MISSING,
)
