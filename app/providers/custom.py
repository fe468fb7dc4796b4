"""Providers that the operator names: an address and one of our dialects.

Options: ``passes = true`` forwards requests in that dialect as they are; ``auth_header`` names
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


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec that a custom provider's settings declare."""
    row = _DIALECTS[settings.dialect or "chat"](settings)
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


def _chat(settings: ProviderSettings) -> Spec:
    """Return a spec of OpenAI's common paths, with chat completions as the settings say."""
    max_tokens = settings.options.get("max_tokens", chat_rows.CUSTOM.max_tokens)
    options = replace(chat_rows.CUSTOM, max_tokens=max_tokens)
    wires = {
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
    return Spec(name=settings.name, auth=BearerAuth(), wires=wires)


def _responses(settings: ProviderSettings) -> Spec:
    options = ResponsesOptions(reasoning_models=openai.REASONERS)
    passes = settings.options.get("passes", False)
    wires = {
        "responses": Wire("responses", "/responses", options=options, passes=passes),
        "models": openai_like.models(),
    }
    return Spec(name=settings.name, auth=BearerAuth(), wires=wires)


_DIALECTS: Final[Mapping[str, Callable[[ProviderSettings], Spec]]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": lambda settings: anthropic.SPEC,
    "gemini": lambda settings: gemini.SPEC,
    "cohere": lambda settings: cohere.SPEC,
}
