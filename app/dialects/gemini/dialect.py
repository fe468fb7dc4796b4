"""Google's generateContent and streamGenerateContent, both halves.

Spoken by the Gemini API and by Vertex; what differs between the two is
``GeminiOptions``. Streams are asked for with ``alt=sse``; model and stream belong to the URL.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from app.canonical.events import Accumulator
from app.canonical.response import Response
from app.dialects.base import ClientContext, Dialect
from app.dialects.gemini.contents_out import NAME
from app.dialects.gemini.count import decode_count_request, encode_count_response
from app.dialects.gemini.errors import decode_error
from app.dialects.gemini.opening import call_ids, identity
from app.dialects.gemini.patch import GeminiPatch
from app.dialects.gemini.request_in import decode_request
from app.dialects.gemini.request_out import encode_count, encode_request
from app.dialects.gemini.response_out import encode_error, encode_response, encode_usage, error_status
from app.dialects.gemini.stream_in import GeminiStreamDecoder
from app.dialects.gemini.stream_out import GeminiEncoder
from app.dialects.shared.decoder_parts import token_count
from app.errors import GatewayError


def decode_response(body: Any, context: ClientContext) -> Response:
    """Read a whole answer, which has the shape of a single chunk.

    Raises what the body says as an error, and ``upstream_invalid`` for a body that
    is no answer at all.
    """
    if not isinstance(body, dict | list):
        raise GatewayError("upstream_invalid", "The provider's answer is no JSON object.", raw=body)
    decoder, fold = GeminiStreamDecoder(context), Accumulator()
    for event in (*decoder.feed(None, body), *decoder.end_whole()):
        fold.feed(event)
    if fold.error is None:
        return fold.response()
    if fold.error.kind.name == "upstream_cut":
        raise GatewayError("upstream_invalid", "The provider's answer has no finished candidate.", raw=body)
    raise fold.error


DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=GeminiEncoder,
    decode_count_request=decode_count_request,
    encode_count_response=encode_count_response,
    reports_cost=False,
    encode_error=encode_error,
    error_status=error_status,
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
