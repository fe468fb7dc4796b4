"""OpenRouter: chat completions and Responses of many makers' models, with its own price in each usage."""

from __future__ import annotations

from app.dialects.media import openai_images, openai_transcription
from app.dialects.responses.compatibility import ResponsesOptions
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec, Wire

SPEC = Spec(
    name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    auth=BearerAuth(),
    wires={
        "responses": Wire(
            "responses", "/responses", options=ResponsesOptions(reasoning_budget=True), passes=True
        ),
        "chat": openai_like.chat(chat_rows.OPENROUTER, passes=True),
        "completion": openai_like.completion(),
        "embedding": openai_like.embedding(),
        "rerank": openai_like.rerank(),
        "transcription": openai_like.transcription(openai_transcription.OPENROUTER),
        "image_generation": Wire("images", "/images", options=openai_images.OPENROUTER),
        "image_edit": Wire("images", "/images", options=openai_images.OPENROUTER),
        "models": openai_like.models(),
    },
    forwards=("http-referer", "x-title"),
    price_as="openrouter",
    missing="Set OPENROUTER_API_KEY.",
)
