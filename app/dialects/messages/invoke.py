"""Bedrock's InvokeModel for Claude (server half): Messages bodies with AWS's framing.

Bodies and responses are those of Messages. A stream's events are base64 in ``chunk``
messages, the last with the token counts; errors are AWS's. Source: botocore's service model
of ``bedrock-runtime``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import Frame
from app.dialects.messages.request_out import BETA_HEADER
from app.dialects.shared.lenient_json import as_dict, as_str, encode_base64, rest
from app.errors import GatewayError

METRICS: Final = "amazon-bedrock-invocationMetrics"

_EMBEDDINGS: Final = frozenset({"inputText", "texts", "inputs", "images"})
"""Members of Titan's and Cohere's embedding requests."""


def family_of_body(body: Mapping[str, Any]) -> str:
    """Return the dialect of an InvokeModel body: ``messages`` or ``embeddings_bedrock``.

    Raises ``bad_request`` for the body of another model family.
    """
    if "anthropic_version" in body:
        return "messages"
    if not _EMBEDDINGS.isdisjoint(body):
        return "embeddings_bedrock"
    if "messages" in body and "max_tokens" in body:
        return "messages"
    raise GatewayError(
        "bad_request",
        "The body is of no family that is served here: Claude's has 'anthropic_version' or 'messages' "
        "with 'max_tokens', Titan's 'inputText', Cohere's 'texts', 'inputs' or 'images'.",
        param="body",
    )


def lead_betas(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a body without ``anthropic_beta``, and the header that replaces it on Anthropic's own API."""
    flags = body.get("anthropic_beta")
    if not isinstance(flags, list):
        return dict(body), {}
    header = ",".join(flag for flag in flags if isinstance(flag, str))
    return rest(body, frozenset({"anthropic_beta"})), {BETA_HEADER: header} if header else {}


def wrap_frames(frames: Iterable[Frame], usage: Usage | None) -> list[Frame]:
    """Return the events of a Messages stream as messages of InvokeModelWithResponseStream.

    The last one has the token counts of ``usage``; an error becomes an exception by its type.
    """
    return [_wrap_frame(frame.data, usage) for frame in frames if isinstance(frame.data, dict)]


def _wrap_frame(data: Mapping[str, Any], usage: Usage | None) -> Frame:
    kind = data.get("type")
    if kind == "error":
        error = as_dict(data.get("error"))
        name = _EXCEPTIONS.get(as_str(error.get("type")), "modelStreamErrorException")
        return Frame(f"exception:{name}", {"message": as_str(error.get("message"))})
    if kind == "message_stop" and METRICS not in data:
        total = usage or Usage()
        counts = {"inputTokenCount": total.input_tokens, "outputTokenCount": total.output_tokens}
        data = {**data, METRICS: counts}
    text = json.dumps(data, separators=(",", ":"))  # ASCII only: UTF-8 has no lone surrogates
    return Frame("chunk", {"bytes": encode_base64(text)})


_EXCEPTIONS: Final = {
    "invalid_request_error": "validationException",
    "rate_limit_error": "throttlingException",
    "overloaded_error": "serviceUnavailableException",
    "timeout_error": "modelTimeoutException",
    "api_error": "internalServerException",
}
"""The exceptions of this stream (botocore's service model) by the type of a Messages error."""
