"""Providers of the operator's own: a name, an address and one of our dialects.

Options: ``passes = true`` forwards requests in the very dialect whole; ``auth_header`` names
the header of the key where it is not a bearer token; ``max_tokens`` names the member that
limits a chat answer where the server wants the newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.config import ProviderSettings
from app.dialects.media.openai_transcription import TranscriptionOptions
from app.dialects.responses.compatibility import ResponsesOptions
from app.providers import anthropic, chat_rows, cohere, gemini, openai, openai_like
from app.providers.auth import BearerAuth, HeaderAuth
from app.providers.base import Spec, Wire


def spec(settings: ProviderSettings) -> Spec:
    """Return what a custom provider's settings declare."""
    dialect = settings.dialect or "chat"
    row = _DIALECTS[dialect](settings)
    header = settings.options.get("auth_header")
    return replace(
        row,
        name=settings.name,
        auth=HeaderAuth(header.lower()) if header else row.auth,
        base_url=None,
        price_as=None,
        needs_key=False,
        missing=f"Set providers.{settings.name}.base_url in the configuration file.",
    )


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec of these settings; nothing here needs the way out."""
    return spec(settings)


def _likes(settings: ProviderSettings) -> dict[str, Wire]:
    """Return OpenAI's common paths with this server's own chat wire."""
    options = replace(
        chat_rows.CUSTOM, max_tokens=settings.options.get("max_tokens", chat_rows.CUSTOM.max_tokens)
    )
    return {
        "chat": openai_like.chat(options, passes=settings.options.get("passes", False)),
        "completion": openai_like.completion(),
        "embedding": openai_like.embedding(),
        "rerank": openai_like.rerank(),
        "moderation": openai_like.moderation(),
        "speech": openai_like.speech(),
        "transcription": openai_like.transcription(TranscriptionOptions()),
        "translation": openai_like.translation(),
        **openai_like.images(),
        "image_variation": openai_like.variation(),
        "file_upload": openai_like.files(),
        "models": openai_like.models(),
    }


def _chat(settings: ProviderSettings) -> Spec:
    return Spec(name=settings.name, auth=BearerAuth(), wires=_likes(settings))


def _responses(settings: ProviderSettings) -> Spec:
    passes = settings.options.get("passes", False)
    wire = Wire(
        "responses", "/responses", options=ResponsesOptions(reasoning_models=openai.REASONERS), passes=passes
    )
    return Spec(
        name=settings.name, auth=BearerAuth(), wires={"responses": wire, "models": openai_like.models()}
    )


def _like(row: Spec) -> Callable[[ProviderSettings], Spec]:
    return lambda settings: row


_DIALECTS: Final[Mapping[str, Callable[[ProviderSettings], Spec]]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _like(anthropic.SPEC),
    "gemini": _like(gemini.SPEC),
    "cohere": _like(cohere.SPEC),
}
