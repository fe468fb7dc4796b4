"""The bodies of embeddings, rerankings, moderation and speech; the dialect reads the form of transcription."""

from __future__ import annotations

from app.surfaces.body.schemas.base import (
    Array,
    Either,
    Flag,
    ModelBody,
    Number,
    Table,
    Text,
    Whole,
)


class EmbeddingBody(ModelBody):
    """``POST embeddings``."""

    input = Either(Text(), Array(longest=100_000), required=True)
    dimensions = Whole(least=1)
    encoding_format = Text(choices=("float", "base64"))
    user = Text()


class RerankBody(ModelBody):
    """``POST rerank``: Cohere's v2 body, or Jina's."""

    query = Text(required=True)
    documents = Array(required=True, longest=10_000)
    top_n = Whole(least=1)
    max_tokens_per_doc = Whole(least=1)
    return_documents = Flag()


class ModerationBody(ModelBody):
    """``POST moderations``: a text, a list of texts, or the text and image parts of one message."""

    input = Either(Text(), Array(longest=10_000), required=True)


class SpeechBody(ModelBody):
    """``POST audio/speech``."""

    input = Text(required=True, longest=1_000_000)
    voice = Either(Text(), Table())
    response_format = Text(choices=("mp3", "opus", "aac", "flac", "wav", "pcm"))
    speed = Number(least=0.25, most=4)
    instructions = Text()
    stream_format = Text(choices=("sse", "audio"))
    stream = Flag()
