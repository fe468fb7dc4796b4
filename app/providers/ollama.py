"""Ollama, self-hosted: OpenAI's paths below ``/v1``, its own list of models beside them."""

from __future__ import annotations

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.media.embeddings_openai import OLLAMA
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec, Wire, default_url

_TAGS = "/api/tags"


def _url(settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool) -> str:
    root = base.rstrip("/").removesuffix("/v1") if wire.path == _TAGS else base
    return default_url(settings, root, wire, model, stream)


SPEC = Spec(
    name="ollama",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.OLLAMA),
        "completion": openai_like.completion(),
        "embedding": openai_like.embedding(OLLAMA),
        "models": Wire("models", _TAGS, method="GET", streams=False, options=models.OLLAMA),
    },
    url=_url,
    missing="Set OLLAMA_BASE_URL, such as http://host:11434/v1.",
    needs_key=False,
)
