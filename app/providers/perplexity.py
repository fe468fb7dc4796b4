"""Perplexity: chat completions that search.

Its Responses API is left aside: citations, search results, videos and the cost exist on
chat completions only.
"""

from __future__ import annotations

from app.dialects.media.embeddings_openai import PERPLEXITY
from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="perplexity",
    base_url="https://api.perplexity.ai",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.PERPLEXITY),
        "embedding": openai_like.embedding(PERPLEXITY, root="/v1"),
        "models": openai_like.models("/v1"),
    },
    price_as="perplexity",
    missing="Set PERPLEXITY_API_KEY.",
)
