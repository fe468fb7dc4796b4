"""OpenAI: the home of chat completions and Responses, which therefore pass whole."""

from __future__ import annotations

import re
from typing import Final

from app.dialects.media import openai_transcription
from app.dialects.responses.compatibility import ResponsesOptions
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec, Wire

RESPONSES: Final = ResponsesOptions(dropped_when_reasoning=frozenset({"top_p"}))

REASONERS: Final = re.compile(r"(?:^|[^a-z0-9])(?:o[1-9]|gpt-5|codex)", re.IGNORECASE)
"""Names of models that reason, for hosts whose other names are aliases that may hide any model."""

SPEC = Spec(
    name="openai",
    base_url="https://api.openai.com/v1",
    auth=BearerAuth(),
    wires={
        "responses": Wire("responses", "/responses", options=RESPONSES, passes=True),
        "chat": openai_like.chat(chat_rows.OPENAI, passes=True),
        "completion": openai_like.completion(),
        "embedding": openai_like.embedding(),
        "moderation": openai_like.moderation(),
        "speech": openai_like.speech(),
        "transcription": openai_like.transcription(openai_transcription.OPENAI),
        "translation": openai_like.translation(),
        **openai_like.images(),
        "image_variation": openai_like.variation(),
        "file_upload": openai_like.files(),
        "batch_create": openai_like.batches("/chat/completions", "/embeddings", "/completions"),
        "models": openai_like.models(),
        "count_tokens": Wire("responses", "/responses/input_tokens", options=RESPONSES, streams=False),
    },
    price_as="openai",
    missing="Set OPENAI_API_KEY.",
)
