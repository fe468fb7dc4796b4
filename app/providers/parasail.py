"""Parasail: chat completions by vLLM behind a key."""

from __future__ import annotations

from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="parasail",
    base_url="https://api.parasail.io/v1",
    auth=BearerAuth(),
    wires={"chat": openai_like.chat(chat_rows.SGL), "models": openai_like.models()},
    missing="Set PARASAIL_API_KEY.",
)
