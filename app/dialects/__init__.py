"""Wire formats, each usable from both ends; looked up by name, imported at first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

_MODULES: Final = {
    "chat": "app.dialects.chat",
    "completions": "app.dialects.completions",
    "bedrock_invoke": "app.dialects.bedrock_invoke",
    "responses": "app.dialects.responses",
    "messages": "app.dialects.messages",
    "gemini": "app.dialects.gemini",
    "converse": "app.dialects.converse",
    "cohere": "app.dialects.cohere",
    "embeddings_openai": "app.dialects.embeddings_openai",
    "embeddings_gemini": "app.dialects.embeddings_gemini",
    "embeddings_cohere": "app.dialects.embeddings_cohere",
    "embeddings_bedrock": "app.dialects.embeddings_bedrock",
    "openai_speech": "app.dialects.openai_speech",
    "openai_transcription": "app.dialects.openai_transcription",
    "elevenlabs_speech": "app.dialects.elevenlabs_speech",
    "elevenlabs_transcription": "app.dialects.elevenlabs_transcription",
    "gemini_speech": "app.dialects.gemini_speech",
    "gemini_transcription": "app.dialects.gemini_transcription",
    "models": "app.dialects.models",
}


@cache
def dialect(name: str) -> Any:
    """Return the dialect called ``name``: an object with the halves it has (``base``).

    Each module offers its single instance as ``DIALECT``. Raises KeyError for a name that
    is no dialect's.
    """
    return import_module(_MODULES[name]).DIALECT
