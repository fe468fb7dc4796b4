"""Groq: chat completions, and OpenAI's speech, transcription and translation paths."""

from __future__ import annotations

from app.dialects.media import openai_speech, openai_transcription
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="groq",
    base_url="https://api.groq.com/openai/v1",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.GROQ),
        "speech": openai_like.speech(openai_speech.GROQ),
        "transcription": openai_like.transcription(openai_transcription.GROQ),
        "translation": openai_like.translation(),
        "batch_create": openai_like.batches("/chat/completions"),
        "models": openai_like.models(),
    },
    price_as="groq",
    missing="Set GROQ_API_KEY.",
)
