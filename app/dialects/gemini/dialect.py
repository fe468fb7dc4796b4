"""Google's generateContent and streamGenerateContent, as the client speaks them.

Spoken by the Gemini API and by Vertex; what differs between the two is
``GeminiOptions``. Streams are asked for with ``alt=sse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import Accumulator
from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects.base import ClientContext, Encoded
from app.dialects.gemini.errors import decode_error
from app.dialects.gemini.parts import NAME
from app.dialects.gemini.request import encode_count, encode_request
from app.dialects.gemini.stream import GeminiStreamDecoder
from app.dialects.shared.reading import as_dict, count
from app.errors import GatewayError


class GeminiDialect:
    """The client half of generateContent."""

    name: Final = NAME

    def encode_request(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body; model and stream belong to the URL."""
        return encode_request(request, context)

    def decode_response(self, body: Any, context: ClientContext) -> Response:
        """Read a whole answer, which has the shape of a single chunk.

        Raises what the body says as an error, and ``upstream_invalid`` for a body that
        is no answer at all.
        """
        if not isinstance(body, dict | list):
            raise GatewayError("upstream_invalid", "The provider's answer is no JSON object.", raw=body)
        decoder, fold = GeminiStreamDecoder(context), Accumulator()
        for event in (*decoder.feed(None, body), *decoder.eof()):
            fold.feed(event)
        if fold.error is None:
            return fold.response()
        if fold.error.kind.name == "upstream_cut":
            raise GatewayError(
                "upstream_invalid", "The provider's answer has no finished candidate.", raw=body
            )
        raise fold.error

    def stream_decoder(self, context: ClientContext) -> GeminiStreamDecoder:
        """Return a decoder for one stream."""
        return GeminiStreamDecoder(context)

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read an answer that was no success."""
        return decode_error(status, body, headers)

    def encode_count(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body of countTokens."""
        return encode_count(request, context)

    def decode_count(self, body: Any) -> int:
        """Return the counted input tokens; raises ``upstream_invalid`` without a number."""
        total = count(as_dict(body).get("totalTokens"))
        if total is None:
            raise GatewayError("upstream_invalid", "The provider's count has no 'totalTokens'.", raw=body)
        return total


DIALECT: Final = GeminiDialect()
