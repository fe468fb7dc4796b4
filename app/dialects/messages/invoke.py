"""Bedrock's InvokeModel for Claude as a server speaks it: Messages bodies in AWS's clothes.

Bodies and answers are those of Messages; a stream's events are wrapped in base64 inside
``chunk`` messages, the last with the invocation's counts; errors are AWS's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import Ended, Event, Failed
from app.canonical.request import Request
from app.canonical.response import Usage
from app.dialects.base import Dialect, Frame, ServerContext
from app.dialects.converse.response_out import encode_error, exception_of
from app.dialects.messages.dialect import DIALECT as MESSAGES
from app.dialects.messages.stream_out import MessagesEncoder
from app.errors import GatewayError

METRICS: Final = "amazon-bedrock-invocationMetrics"

_FAMILIES: Final = (
    # member of the body, dialect that reads it
    ("anthropic_version", "messages"),
    ("inputText", "embeddings_bedrock"),
    ("texts", "embeddings_bedrock"),
    ("inputs", "embeddings_bedrock"),
)


def family_of_body(body: Mapping[str, Any]) -> str:
    """Return the dialect that reads a body of InvokeModel: ``messages`` or ``embeddings_bedrock``.

    Raises ``bad_request`` for a body of a family that is not served.
    """
    for member, dialect in _FAMILIES:
        if member in body:
            return dialect
    if "messages" in body and "max_tokens" in body:
        return "messages"
    raise GatewayError(
        "bad_request",
        "The body is of no family that is served here: Claude's has 'anthropic_version' or 'messages' "
        "with 'max_tokens', Titan's 'inputText', Cohere's 'texts' or 'inputs'.",
        param="body",
    )


def wrap_event(data: Mapping[str, Any]) -> Frame:
    """Return one event of a Messages stream as a ``chunk``."""
    text = json.dumps(data, separators=(",", ":"))  # escaped, so that half a character is no fault
    return Frame("chunk", {"bytes": base64.b64encode(text.encode()).decode("ascii")})


class InvokeEncoder:
    """Events of one answer to the messages of InvokeModelWithResponseStream."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._messages = MessagesEncoder(request, context)

    def feed(self, event: Event) -> list[Frame]:
        """Return the messages that the event makes."""
        if isinstance(event, Failed):
            name, body = exception_of(event.error)
            return [Frame(f"exception:{name}", body)]
        frames = [frame.data for frame in self._messages.feed(event)]
        if isinstance(event, Ended):
            frames[-1] = {**frames[-1], METRICS: _metrics(event.usage or Usage())}
        return [wrap_event(data) for data in frames]


def _metrics(usage: Usage) -> dict[str, int]:
    return {"inputTokenCount": usage.input_tokens, "outputTokenCount": usage.output_tokens}


INVOKE: Final[Dialect] = replace(MESSAGES, stream_encoder=InvokeEncoder, encode_error=encode_error)
"""Messages as Bedrock's InvokeModel bears it; its name is Messages', so that it passes as that."""
