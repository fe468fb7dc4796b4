"""Anthropic's Messages API: its views, the schemas of its bodies and the shapes of its answers."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.dialects.messages.stream_out import PING
from app.surfaces.body.schemas.base import Array, Either, Flag, ModelBody, Number, Table, Text, Whole
from app.surfaces.body.schemas.chat import MOST_MESSAGES, MOST_TOKENS
from app.surfaces.body.schemas.parts import string
from app.surfaces.body.validation import read_body
from app.surfaces.calls import make_call
from app.surfaces.mounts import Mount
from app.surfaces.openapi.shapes import (
    FLAG,
    TABLE,
    TEXT,
    TEXT_OR_NULL,
    WHOLE,
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
    system = Either(Text(), Array())
    tools = Array(longest=10_000)
    tool_choice = Table()
    thinking = Table()
    output_config = Table()
    fallbacks = Either(Text(), Array(longest=16))


class MessagesBody(MessagesCountBody):
    """The members of a whole request."""

    max_tokens = Whole(least=1, most=MOST_TOKENS, required=True)
    temperature = Number(least=0, most=1)
    top_p = Number(least=0, most=1)
    top_k = Whole(least=0)
    stop_sequences = Array(each=string, longest=64)
    stream = Flag()
    metadata = Table()
    service_tier = Text()


Message: Final[Shape] = record(
    {
        "id": TEXT,
        "type": always("message"),
        "role": always("assistant"),
        "model": TEXT,
        "content": array_of(TABLE),
        "stop_reason": TEXT_OR_NULL,
        "stop_sequence": TEXT_OR_NULL,
        "usage": TABLE,
    }
)
MessageTokens: Final[Shape] = record({"input_tokens": WHOLE, "estimated": FLAG}, optional=("estimated",))
_LIMIT: Final[Shape] = {"type": ["integer", "null"]}
MessagesModel: Final[Shape] = record(
    {
        "type": always("model"),
        "id": TEXT,
        "display_name": TEXT,
        "created_at": TEXT,
        "lifecycle": TEXT,
        "max_input_tokens": _LIMIT,
        "max_tokens": _LIMIT,
        "capabilities": {"type": ["object", "null"]},
    }
)
MessagesModelList: Final[Shape] = record(
    {"data": array_of(MessagesModel), "has_more": FLAG, "first_id": TEXT_OR_NULL, "last_id": TEXT_OR_NULL}
)


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a message."""
    return generate(mount, deployment, framing=Events(silence=_PING))


def count(mount: Mount, deployment: str | None = None) -> Response:
    """Count a message's tokens: the provider's count, else a marked estimate."""
    return answer_call(mount, make_call(mount, read_body(), deployment=deployment))
