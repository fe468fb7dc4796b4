"""SGLang, self-hosted: OpenAI's paths at an address of the operator's, with or without a key."""

from __future__ import annotations

from app.dialects.media.embeddings_openai import LOCAL
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="sgl",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.SGL),
        "completion": openai_like.completion(),
        "embedding": openai_like.embedding(LOCAL),
        "rerank": openai_like.rerank(),
        "models": openai_like.models(),
    },
    missing="Set SGL_BASE_URL, such as http://host:30000/v1.",
    needs_key=False,
)
