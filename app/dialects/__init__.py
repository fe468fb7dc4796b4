"""Wire formats, each usable from both ends; looked up by name, imported at first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

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
    "openai_speech": "app.dialects.media.openai_speech",
    "openai_transcription": "app.dialects.media.openai_transcription",
    "elevenlabs_speech": "app.dialects.media.elevenlabs_speech",
    "elevenlabs_transcription": "app.dialects.media.elevenlabs_transcription",
    "gemini_speech": "app.dialects.media.gemini_speech",
    "gemini_transcription": "app.dialects.media.gemini_transcription",
    "models": "app.dialects.models",
}


@cache
def dialect(name: str) -> Any:
    """Return the dialect called ``name``: an object with the halves it has (``base``).

    Each module offers its single instance as ``DIALECT``. Raises KeyError for a name that
    is no dialect's.
    """
    return import_module(_MODULES[name]).DIALECT
