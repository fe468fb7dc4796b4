"""Anthropic's Messages API: its views, the schemas of its bodies and the shapes of its answers."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.dialects.messages.stream_out import PING
from app.surfaces.body.schemas.base import Array, Boolean, Either, Integer, ModelBody, Number, Object, String
from app.surfaces.body.schemas.chat import MOST_MESSAGES, MOST_TOKENS
from app.surfaces.body.schemas.parts import string
from app.surfaces.body.validation import read_body
from app.surfaces.calls import make_call
from app.surfaces.mounts import Mount
from app.surfaces.openapi.shapes import (
    BOOLEAN,
    INTEGER,
    OBJECT,
    STRING,
    STRING_OR_NULL,
    Shape,
    always,
    array_of,
    record,
)
from app.surfaces.replies.framing import Events
from app.surfaces.replies.runs import answer_call
from app.surfaces.views.generation import generate
from app.wire.json import dumps_ascii
from app.wire.sse import encode_frame

_PING: Final = encode_frame(PING.event, dumps_ascii(PING.data))


class MessagesCountBody(ModelBody):
    """The members of a prompt, at the top level; the dialect reads what is deeper."""

    messages = Array(required=True, longest=MOST_MESSAGES)
    system = Either(String(), Array())
    tools = Array(longest=10_000)
    tool_choice = Object()
    thinking = Object()
    output_config = Object()
    fallbacks = Either(String(), Array(longest=16))


class MessagesBody(MessagesCountBody):
    """The members of a whole request."""

    max_tokens = Integer(least=1, most=MOST_TOKENS, required=True)
    temperature = Number(least=0, most=1)
    top_p = Number(least=0, most=1)
    top_k = Integer(least=0)
    stop_sequences = Array(each=string, longest=64)
    stream = Boolean()
    metadata = Object()
    service_tier = String()


Message: Final[Shape] = record(
    {
        "id": STRING,
        "type": always("message"),
        "role": always("assistant"),
        "model": STRING,
        "content": array_of(OBJECT),
        "stop_reason": STRING_OR_NULL,
        "stop_sequence": STRING_OR_NULL,
        "usage": OBJECT,
    }
)
MessageTokens: Final[Shape] = record({"input_tokens": INTEGER, "estimated": BOOLEAN}, optional=("estimated",))
_LIMIT: Final[Shape] = {"type": ["integer", "null"]}
MessagesModel: Final[Shape] = record(
    {
        "type": always("model"),
        "id": STRING,
        "display_name": STRING,
        "created_at": STRING,
        "lifecycle": STRING,
        "max_input_tokens": _LIMIT,
        "max_tokens": _LIMIT,
        "capabilities": {"type": ["object", "null"]},
    }
)
MessagesModelList: Final[Shape] = record(
    {
        "data": array_of(MessagesModel),
        "has_more": BOOLEAN,
        "first_id": STRING_OR_NULL,
        "last_id": STRING_OR_NULL,
    }
)


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a message."""
    return generate(mount, deployment, framing=Events(silence=_PING))


def count(mount: Mount, deployment: str | None = None) -> Response:
    """Count a message's tokens: the provider's count, else a marked estimate."""
    return answer_call(mount, make_call(mount, read_body(), deployment=deployment))
