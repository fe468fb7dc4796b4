"""Cohere: chat, embeddings and transcription by its second API, tokens and models by its first."""

from __future__ import annotations

from app.dialects import models
from app.dialects.media import openai_transcription
from app.providers.auth import BearerAuth
from app.providers.base import Spec, Wire

SPEC = Spec(
    name="cohere",
    base_url="https://api.cohere.com",
    auth=BearerAuth(),
    wires={
        "chat": Wire("cohere", "/v2/chat", passes=True),
        "embedding": Wire("embeddings_cohere", "/v2/embed", streams=False),
        "rerank": Wire("rerank", "/v2/rerank", streams=False),
        "transcription": Wire(
            "openai_transcription",
            "/v2/audio/transcriptions",
            options=openai_transcription.COHERE,
            streams=False,
        ),
        "models": Wire(
            "models",
            "/v1/models",
            method="GET",
            streams=False,
            query={"page_size": "1000"},
            options=models.COHERE,
        ),
        "count_tokens": Wire("cohere", "/v1/tokenize", streams=False),
    },
    price_as="cohere",
    missing="Set COHERE_API_KEY.",
)
