"""Bedrock's InvokeModel for Claude as a server speaks it: Messages bodies in AWS's clothes.

Bodies and answers are those of Messages; a stream's events are wrapped in base64 inside
``chunk`` messages, the last with the invocation's counts; errors are AWS's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import Frame
from app.dialects.messages.betas import BETA_HEADER
from app.dialects.shared.lenient_json import as_dict, as_str
from app.errors import GatewayError

EXCEPTION: Final = "exception:"  # begins the name of a frame that is an exception message
METRICS: Final = "amazon-bedrock-invocationMetrics"

_FAMILIES: Final = (
    # member of the body, dialect that reads it
    ("anthropic_version", "messages"),
    ("inputText", "embeddings_bedrock"),
    ("texts", "embeddings_bedrock"),
    ("inputs", "embeddings_bedrock"),
    ("images", "embeddings_bedrock"),
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
        "with 'max_tokens', Titan's 'inputText', Cohere's 'texts', 'inputs' or 'images'.",
        param="body",
    )


def lead_betas(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a body without ``anthropic_beta``, and the header that says the same to Claude's own API."""
    flags = body.get("anthropic_beta")
    if not isinstance(flags, list):
        return dict(body), {}
    listed = ",".join(flag for flag in flags if isinstance(flag, str))
    others = {name: value for name, value in body.items() if name != "anthropic_beta"}
    return others, {BETA_HEADER: listed} if listed else {}


def wrap_frames(frames: Iterable[Frame], usage: Usage | None) -> list[Frame]:
    """Return the events of a Messages stream as messages of InvokeModelWithResponseStream.

    ``usage`` is told with the last one; an error is the exception that its type means.
    """
    return [_wrap_frame(frame.data, usage) for frame in frames if isinstance(frame.data, dict)]


def _wrap_frame(data: Mapping[str, Any], usage: Usage | None) -> Frame:
    kind = data.get("type")
    if kind == "error":
        error = as_dict(data.get("error"))
        name = _EXCEPTIONS.get(as_str(error.get("type")), "modelStreamErrorException")
        return Frame(f"{EXCEPTION}{name}", {"message": as_str(error.get("message"))})
    if kind == "message_stop" and METRICS not in data:
        data = {**data, METRICS: _metrics(usage or Usage())}
    text = json.dumps(data, separators=(",", ":"))  # escaped, so that half a character is no fault
    return Frame("chunk", {"bytes": base64.b64encode(text.encode()).decode("ascii")})


_EXCEPTIONS: Final = {
    "invalid_request_error": "validationException",
    "rate_limit_error": "throttlingException",
    "overloaded_error": "serviceUnavailableException",
    "timeout_error": "modelTimeoutException",
    "api_error": "internalServerException",
}
"""Types of Messages' errors as the exceptions that the service model knows in this stream."""


def _metrics(usage: Usage) -> dict[str, int]:
    return {"inputTokenCount": usage.input_tokens, "outputTokenCount": usage.output_tokens}
