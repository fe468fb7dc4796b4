"""Cerebras: chat and text completions."""

from __future__ import annotations

from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="cerebras",
    base_url="https://api.cerebras.ai/v1",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.CEREBRAS),
        "completion": openai_like.completion(),
        "models": openai_like.models(),
    },
    price_as="cerebras",
    missing="Set CEREBRAS_API_KEY.",
)
