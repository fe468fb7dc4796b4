"""Dialects: wire formats with a server and a client half, found by name and imported at first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, TypeVar

from app.dialects.base import Dialect, Row

_MODULES: Final = {
    "chat": "app.dialects.chat.dialect",
    "completions": "app.dialects.completions.dialect",
    "bedrock_invoke": "app.dialects.completions.bedrock_invoke",
    "responses": "app.dialects.responses.dialect",
    "messages": "app.dialects.messages.dialect",
    "gemini": "app.dialects.gemini.dialect",
    "converse": "app.dialects.converse.dialect",
    "cohere": "app.dialects.cohere.dialect",
    "embeddings_openai": "app.dialects.media.embeddings_openai",
    "embeddings_gemini": "app.dialects.media.embeddings_gemini",
    "embeddings_cohere": "app.dialects.media.embeddings_cohere",
    "embeddings_bedrock": "app.dialects.media.embeddings_bedrock",
    "rerank": "app.dialects.media.rerank",
    "rerank_bedrock": "app.dialects.media.rerank_bedrock",
    "rerank_cohere": "app.dialects.media.rerank_cohere",
    "rerank_vertex": "app.dialects.media.rerank_vertex",
    "moderations": "app.dialects.media.moderations",
    "images": "app.dialects.media.openai_images",
    "images_gemini": "app.dialects.media.gemini_images",
    "images_imagen": "app.dialects.media.imagen",
    "images_bedrock": "app.dialects.media.bedrock_images",
    "openai_speech": "app.dialects.media.openai_speech",
    "openai_transcription": "app.dialects.media.openai_transcription",
    "openai_translation": "app.dialects.media.openai_translation",
    "elevenlabs_speech": "app.dialects.media.elevenlabs_speech",
    "elevenlabs_transcription": "app.dialects.media.elevenlabs_transcription",
    "gemini_speech": "app.dialects.media.gemini_speech",
    "gemini_transcription": "app.dialects.media.gemini_transcription",
    "models": "app.dialects.models",
    "files": "app.dialects.files",
    "files_openai": "app.dialects.uploads.openai",
    "files_anthropic": "app.dialects.uploads.anthropic",
    "files_gemini": "app.dialects.uploads.gemini",
    "batches_openai": "app.dialects.uploads.batches",
}


Kind = TypeVar("Kind", bound=Row)


def dialect(name: str) -> Dialect:
    """Return the generation dialect called ``name``; raises KeyError for any other name."""
    return dialect_of(Dialect, name)


@cache
def dialect_of(kind: type[Kind], name: str) -> Kind:
    """Return the row of class ``kind`` called ``name``; raises KeyError if there is none.

    It is ``DIALECT`` of its module, which is imported at first use.
    """
    row = import_module(_MODULES[name]).DIALECT
    if not isinstance(row, kind):
        raise KeyError(f"{name} is no {kind.__name__}")
    return row
