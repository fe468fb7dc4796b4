"""The bodies of embeddings, rankings, moderation and speech; the multipart form of transcription is read by its dialect."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, Either, Flag, Number, Table, Text, Whole
from app.surfaces.body.schemas.parts import string


class EmbeddingBody(Body):
    """``POST embeddings``."""

    model = Text(longest=512)
    input = Either(Text(), Array(longest=100_000), required=True)
    dimensions = Whole(least=1)
    encoding_format = Text(choices=("float", "base64"))
    user = Text()
    fallbacks = Array(each=string, longest=16)


class RerankBody(Body):
    """``POST rerank``: Cohere's v2 body, or Jina's."""

    model = Text(longest=512)
    query = Text(required=True)
    documents = Array(required=True, longest=10_000)
    top_n = Whole(least=1)
    max_tokens_per_doc = Whole(least=1)
    return_documents = Flag()
    fallbacks = Array(each=string, longest=16)


class ModerationBody(Body):
    """``POST moderations``: a text, texts, or the texts and pictures of one message."""

    model = Text(longest=512)
    input = Either(Text(), Array(longest=10_000), required=True)
    fallbacks = Array(each=string, longest=16)


class SpeechBody(Body):
    """``POST audio/speech``."""

    model = Text(longest=512)
    input = Text(required=True, longest=1_000_000)
    voice = Either(Text(), Table())
    response_format = Text(choices=("mp3", "opus", "aac", "flac", "wav", "pcm"))
    speed = Number(least=0.25, most=4)
    instructions = Text()
    stream_format = Text(choices=("sse", "audio"))
    stream = Flag()
    fallbacks = Array(each=string, longest=16)
