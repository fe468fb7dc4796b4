"""Cohere's v2 chat and embeddings: their views, the schemas of their bodies and the shapes of their answers."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.surfaces.body.schemas.base import Array, Flag, ModelBody, Number, Table, Text, Whole
from app.surfaces.body.schemas.chat import MOST_MESSAGES, MOST_TOKENS
from app.surfaces.body.schemas.parts import string
from app.surfaces.mounts import Mount
from app.surfaces.openapi.shapes import FLAG, NUMBER, TABLE, TEXT, Shape, always, array_of, record
from app.surfaces.views.generation import generate
from app.surfaces.views.media import embedding


class CohereChatBody(ModelBody):
    """``POST v2/chat``: the members of the top level; the dialect reads what is deeper."""

    messages = Array(required=True, longest=MOST_MESSAGES)
    stream = Flag()
    tools = Array(longest=10_000)
    strict_tools = Flag()
    tool_choice = Text(choices=("REQUIRED", "NONE"))
    documents = Array(longest=10_000)
    citation_options = Table()
    response_format = Table()
    safety_mode = Text()
    max_tokens = Whole(least=1, most=MOST_TOKENS)
    stop_sequences = Array(each=string, longest=64)
    temperature = Number(least=0)
    seed = Whole()
    frequency_penalty = Number()
    presence_penalty = Number()
    k = Whole(least=0)
    p = Number(least=0, most=1)
    logprobs = Flag()
    thinking = Table()


class CohereEmbedBody(ModelBody):
    """``POST v2/embed``."""

    input_type = Text()
    texts = Array(each=string, longest=100_000)
    inputs = Array(longest=100_000)
    images = Array(each=string)
    embedding_types = Array(each=string)
    output_dimension = Whole(least=1)
    truncate = Text()
    max_tokens = Whole(least=1)


CohereAnswer: Final[Shape] = record(
    {
        "id": TEXT,
        "message": record(
            {
                "role": always("assistant"),
                "content": array_of(TABLE),
                "tool_plan": TEXT,
                "tool_calls": array_of(TABLE),
                "citations": array_of(TABLE),
            },
            optional=("content", "tool_plan", "tool_calls", "citations"),
        ),
        "finish_reason": TEXT,
        "usage": TABLE,
        "logprobs": array_of(TABLE),
    },
    optional=("usage", "logprobs"),
)
CohereEmbeddings: Final[Shape] = record(
    {"id": TEXT, "embeddings": TABLE, "texts": array_of(TEXT), "response_type": TEXT, "meta": TABLE}
)
CohereRanking: Final[Shape] = record({"id": TEXT, "results": array_of(TABLE), "meta": TABLE})
CohereModel: Final[Shape] = record(
    {
        "name": TEXT,
        "is_deprecated": FLAG,
        "endpoints": array_of(TEXT),
        "finetuned": FLAG,
        "context_length": NUMBER,
    },
    optional=("context_length",),
)
CohereModelList: Final[Shape] = record(
    {"models": array_of(CohereModel), "next_page_token": TEXT}, optional=("next_page_token",)
)


def chat(mount: Mount, deployment: str | None = None) -> Response:
    """Create a chat message."""
    return generate(mount, deployment)


def embed(mount: Mount, deployment: str | None = None) -> Response:
    """Create embeddings."""
    return embedding(mount, deployment)
