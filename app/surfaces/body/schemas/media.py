"""The bodies of embeddings, rerankings, moderation, speech and images; the dialect reads the form of transcription."""

from __future__ import annotations

from typing import Final

from app.surfaces.body.schemas.base import (
    Array,
    Boolean,
    Either,
    Integer,
    ModelBody,
    Number,
    Object,
    String,
)


class EmbeddingBody(ModelBody):
    """``POST embeddings``."""

    input = Either(String(), Array(longest=100_000), required=True)
    dimensions = Integer(least=1)
    encoding_format = String(choices=("float", "base64"))
    user = String()


class RerankBody(ModelBody):
    """``POST rerank``: Cohere's v2 body, or Jina's."""

    query = String(required=True)
    documents = Array(required=True, longest=10_000)
    top_n = Integer(least=1)
    max_tokens_per_doc = Integer(least=1)
    return_documents = Boolean()


class ModerationBody(ModelBody):
    """``POST moderations``: a text, a list of texts, or the text and image parts of one message."""

    input = Either(String(), Array(longest=10_000), required=True)


class SpeechBody(ModelBody):
    """``POST audio/speech``."""

    input = String(required=True, longest=1_000_000)
    voice = Either(String(), Object())
    response_format = String(choices=("mp3", "opus", "aac", "flac", "wav", "pcm"))
    speed = Number(least=0.25, most=4)
    instructions = String()
    stream_format = String(choices=("sse", "audio"))
    stream = Boolean()


MOST_PICTURES: Final = 10


class ImageVariationBody(ModelBody):
    """``POST images/variations``: the fields beside the file."""

    n = Integer(least=1, most=MOST_PICTURES)
    size = String()
    response_format = String(choices=("url", "b64_json"))
    user = String()


class ImageBody(ImageVariationBody):
    """``POST images/generations``."""

    prompt = String(required=True, longest=32_000)
    quality = String(longest=32)
    background = String(choices=("transparent", "opaque", "auto"))
    output_format = String(choices=("png", "webp", "jpeg", "gif", "svg"))
    output_compression = Integer(least=0, most=100)
    moderation = String(longest=32)
    style = String(longest=32)
    partial_images = Integer(least=0, most=3)
    stream = Boolean()


class ImageEditBody(ImageBody):
    """``POST images/edits``: the fields beside the files."""

    input_fidelity = String(longest=32)
