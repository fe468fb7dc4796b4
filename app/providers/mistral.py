"""Mistral: chat completions with quirks of their own, embeddings, moderation, speech both ways."""

from __future__ import annotations

from app.dialects.media import moderations, openai_speech, openai_transcription
from app.dialects.media.embeddings_openai import MISTRAL
from app.dialects.uploads import openai as uploads
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="mistral",
    base_url="https://api.mistral.ai",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.MISTRAL, root="/v1"),
        "embedding": openai_like.embedding(MISTRAL, root="/v1"),
        "moderation": openai_like.moderation(moderations.MISTRAL, root="/v1"),
        "speech": openai_like.speech(openai_speech.MISTRAL, root="/v1"),
        "transcription": openai_like.transcription(openai_transcription.MISTRAL, root="/v1"),
        "file_upload": openai_like.files(uploads.MISTRAL, root="/v1"),
        "models": openai_like.models("/v1"),
    },
    price_as="mistral",
    missing="Set MISTRAL_API_KEY.",
)
