"""Cohere's v2 chat and embeddings: their views, the schemas of their bodies and the shapes of their answers."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.surfaces.body.schemas.base import Array, Boolean, Integer, ModelBody, Number, Object, String
from app.surfaces.body.schemas.chat import MOST_MESSAGES, MOST_TOKENS
from app.surfaces.body.schemas.parts import string
from app.surfaces.mounts import Mount
from app.surfaces.openapi.shapes import BOOLEAN, NUMBER, OBJECT, STRING, Shape, always, array_of, record
from app.surfaces.views.generation import generate
from app.surfaces.views.media import embedding


class CohereChatBody(ModelBody):
    """``POST v2/chat``: the members of the top level; the dialect reads what is deeper."""

    messages = Array(required=True, longest=MOST_MESSAGES)
    stream = Boolean()
    tools = Array(longest=10_000)
    strict_tools = Boolean()
    tool_choice = String(choices=("REQUIRED", "NONE"))
    documents = Array(longest=10_000)
    citation_options = Object()
    response_format = Object()
    safety_mode = String()
    max_tokens = Integer(least=1, most=MOST_TOKENS)
    stop_sequences = Array(each=string, longest=64)
    temperature = Number(least=0)
    seed = Integer()
    frequency_penalty = Number()
    presence_penalty = Number()
    k = Integer(least=0)
    p = Number(least=0, most=1)
    logprobs = Boolean()
    thinking = Object()


class CohereEmbedBody(ModelBody):
    """``POST v2/embed``."""

    input_type = String()
    texts = Array(each=string, longest=100_000)
    inputs = Array(longest=100_000)
    images = Array(each=string)
    embedding_types = Array(each=string)
    output_dimension = Integer(least=1)
    truncate = String()
    max_tokens = Integer(least=1)


CohereAnswer: Final[Shape] = record(
    {
        "id": STRING,
        "message": record(
            {
                "role": always("assistant"),
                "content": array_of(OBJECT),
                "tool_plan": STRING,
                "tool_calls": array_of(OBJECT),
                "citations": array_of(OBJECT),
            },
            optional=("content", "tool_plan", "tool_calls", "citations"),
        ),
        "finish_reason": STRING,
        "usage": OBJECT,
        "logprobs": array_of(OBJECT),
    },
    optional=("usage", "logprobs"),
)
CohereEmbeddings: Final[Shape] = record(
    {"id": STRING, "embeddings": OBJECT, "texts": array_of(STRING), "response_type": STRING, "meta": OBJECT}
)
CohereRanking: Final[Shape] = record({"id": STRING, "results": array_of(OBJECT), "meta": OBJECT})
CohereModel: Final[Shape] = record(
    {
        "name": STRING,
        "is_deprecated": BOOLEAN,
        "endpoints": array_of(STRING),
        "finetuned": BOOLEAN,
        "context_length": NUMBER,
    },
    optional=("context_length",),
)
CohereModelList: Final[Shape] = record(
    {"models": array_of(CohereModel), "next_page_token": STRING}, optional=("next_page_token",)
)


def chat(mount: Mount, deployment: str | None = None) -> Response:
    """Create a chat message."""
    return generate(mount, deployment)


def embed(mount: Mount, deployment: str | None = None) -> Response:
    """Create embeddings."""
    return embedding(mount, deployment)
