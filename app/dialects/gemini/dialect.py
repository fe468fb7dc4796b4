"""Google's generateContent and streamGenerateContent, server and client half.

This is the format of the Gemini API and of Vertex; their differences are ``GeminiOptions``.
Streams are requested with ``alt=sse``; model and streaming are part of the URL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.canonical.events import Accumulator
from app.canonical.response import Response
from app.dialects.base import ClientContext, Dialect, Frame, status_of_error
from app.dialects.gemini.errors import decode_error
from app.dialects.gemini.options import NAME
from app.dialects.gemini.patch import GeminiPatch
from app.dialects.gemini.request_in import decode_count_request, decode_request
from app.dialects.gemini.request_out import encode_count, encode_request
from app.dialects.gemini.response_out import encode_error, encode_response, encode_usage
from app.dialects.gemini.stream_in import GeminiStreamDecoder
from app.dialects.gemini.stream_out import GeminiEncoder
from app.dialects.shared.decoder_parts import token_count
from app.dialects.shared.lenient_json import as_dict, objects_of, opt_str
from app.errors import GatewayError


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical response of a body, which has the format of a single chunk.

    Raises the error of a body that has one, and ``upstream_invalid`` for a body without a
    finished candidate.
    """
    if not isinstance(body, dict | list):
        raise GatewayError("upstream_invalid", "The provider's answer is not a JSON object.", raw=body)
    decoder, accumulator = GeminiStreamDecoder(context), Accumulator()
    for event in (*decoder.feed(None, body), *decoder.end_whole()):
        accumulator.feed(event)
    if accumulator.error is None:
        return accumulator.response()
    if accumulator.error.kind.name == "upstream_cut":
        raise GatewayError("upstream_invalid", "The provider's answer has no finished candidate.", raw=body)
    raise accumulator.error


def identity(frame: Frame) -> dict[str, Any]:
    """Return the members that all chunks of one stream have in common."""
    data = as_dict(frame.data)
    return {name: data[name] for name in ("responseId", "modelVersion") if name in data}


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns, in camelCase or snake_case."""
    for content in objects_of(body.get("contents")):
        for part in objects_of(content.get("parts")):
            call = as_dict(part.get("functionCall") or part.get("function_call"))
            if (call_id := opt_str(call.get("id"))) is not None:
                yield call_id


DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=GeminiEncoder,
    decode_count_request=decode_count_request,
    encode_count_response=lambda tokens, *, estimated=False: {"totalTokens": tokens},
    reports_cost=False,
    encode_error=encode_error,
    error_status=status_of_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=GeminiStreamDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=partial(token_count, member="totalTokens"),
    identity=identity,
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=GeminiPatch,
    usage_member="usageMetadata",
)
