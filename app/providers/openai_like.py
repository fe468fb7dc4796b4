"""Make the wires that OpenAI's API and similar ones have in common.

Paths are below a base URL that ends in ``/v1``; a provider whose SDK takes the bare host passes
``root="/v1"``.
"""

from __future__ import annotations

from typing import Any

from app.dialects.chat.options import ChatOptions
from app.dialects.media import openai_translation
from app.dialects.media.embeddings_openai import EmbeddingOptions
from app.dialects.media.moderations import ModerationOptions
from app.dialects.media.openai_images import ImageOptions
from app.dialects.media.openai_speech import SpeechOptions
from app.dialects.media.openai_transcription import TranscriptionOptions
from app.dialects.models import OPENAI
from app.dialects.uploads.batches import BatchOptions
from app.dialects.uploads.openai import FileOptions
from app.providers.base import Wire


def chat(options: ChatOptions, *, root: str = "", passes: bool = False) -> Wire:
    """Return the chat-completions wire."""
    return Wire("chat", f"{root}/chat/completions", options=options, passes=passes)


def completion(root: str = "") -> Wire:
    """Return the legacy text-completions wire."""
    return Wire("completions", f"{root}/completions")


def embedding(options: EmbeddingOptions | None = None, *, root: str = "") -> Wire:
    """Return the embeddings wire."""
    options = options or EmbeddingOptions()
    return Wire("embeddings_openai", f"{root}/embeddings", options=options, streams=False)


def rerank(*, root: str = "") -> Wire:
    """Return the rerank wire: Cohere's body, beside OpenAI's paths."""
    return Wire("rerank", f"{root}/rerank", streams=False)


def moderation(options: ModerationOptions | None = None, *, root: str = "") -> Wire:
    """Return the moderation wire."""
    return Wire("moderations", f"{root}/moderations", options=options or ModerationOptions(), streams=False)


def speech(options: SpeechOptions | None = None, *, root: str = "") -> Wire:
    """Return the speech wire: a JSON body, audio back as bytes or in events."""
    return Wire("openai_speech", f"{root}/audio/speech", options=options or SpeechOptions())


def transcription(options: TranscriptionOptions, *, root: str = "") -> Wire:
    """Return the transcription wire: a multipart body."""
    return Wire("openai_transcription", f"{root}/audio/transcriptions", options=options)


def translation(*, root: str = "") -> Wire:
    """Return the wire of translations into English: a multipart body, never streamed."""
    return Wire(
        "openai_translation", f"{root}/audio/translations", options=openai_translation.OPTIONS, streams=False
    )


def images(options: ImageOptions | None = None, *, root: str = "") -> dict[str, Wire]:
    """Return the wires that draw pictures from a prompt and edit pictures."""
    options = options or ImageOptions()
    return {
        "image_generation": Wire("images", f"{root}/images/generations", options=options),
        "image_edit": Wire("images", f"{root}/images/edits", options=options),
    }


def variation() -> Wire:
    """Return the wire of variations of a picture; it never streams."""
    return Wire("images", "/images/variations", options=ImageOptions(), streams=False)


def files(options: FileOptions | None = None, *, root: str = "") -> Wire:
    """Return the wire of files."""
    return Wire("files_openai", f"{root}/files", options=options or FileOptions(), streams=False)


def batches(*endpoints: str, root: str = "", version: str = "/v1") -> Wire:
    """Return the wire of batches. Their lines may name ``endpoints`` (``/chat/completions`` …), which have
    ``version`` before them there."""
    options = BatchOptions(f"{root}/files", {f"/v1{path}": f"{version}{path}" for path in endpoints})
    return Wire("batches_openai", f"{root}/batches", options=options, streams=False)


def models(root: str = "", options: Any = OPENAI) -> Wire:
    """Return the wire of the model list."""
    return Wire("models", f"{root}/models", method="GET", streams=False, options=options)
