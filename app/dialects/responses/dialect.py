"""The OpenAI Responses dialect, both halves.

Requests, items, answers, streams and the echo each have a module of their own
(``responses_*``); this one puts them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects.base import ClientContext, Encoded, ServerContext
from app.dialects.responses import request_in as responses_request
from app.dialects.responses import response as responses_response
from app.dialects.responses.items_in import NAME
from app.dialects.responses.request_out import encode_request
from app.dialects.responses.stream_in import ResponsesDecoder
from app.dialects.responses.stream_out import ResponsesEncoder
from app.dialects.shared.reading import as_dict, count
from app.errors import GatewayError

_COUNTED: Final = frozenset(
    {
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
"""Members of the counter's request type (``TokenCountsBody``) that a stateless call has."""


class ResponsesDialect:
    """Both halves of the Responses wire; see ``app.dialects.base`` for what each does."""

    name: Final = NAME

    def decode_request(self, body: Mapping[str, Any], context: ServerContext) -> Request:
        """Read a create body. ``input_tokens`` and ``compact`` bodies are read alike."""
        return responses_request.decode_request(body, context)

    def encode_response(self, response: Response, request: Request, context: ServerContext) -> dict[str, Any]:
        """Write a whole response object."""
        return responses_response.encode_response(response, request, context)

    def stream_encoder(
        self, request: Request, context: ServerContext, *, first: int = 0, background: bool = False
    ) -> ResponsesEncoder:
        """Return the encoder of one stream; ``first`` is its first sequence number."""
        return ResponsesEncoder(request, context, first=first, background=background)

    def encode_error(self, error: GatewayError) -> dict[str, Any]:
        """Write the error envelope."""
        return responses_response.encode_error(error)

    def encode_request(self, request: Request, context: ClientContext) -> Encoded:
        """Write a create body for a provider."""
        return encode_request(request, context)

    def encode_count(self, request: Request, context: ClientContext) -> Encoded:
        """Write the body that has a prompt's tokens counted (``/responses/input_tokens``)."""
        encoded = encode_request(request, context)
        body = {name: value for name, value in encoded.body.items() if name in _COUNTED}
        return Encoded(body, encoded.headers)

    def decode_count(self, body: Any) -> int:
        """Read the counted input tokens; ``upstream_invalid`` when the answer has none."""
        tokens = count(as_dict(body).get("input_tokens"))
        if tokens is None:
            raise GatewayError("upstream_invalid", "The provider's answer has no token count.", raw=body)
        return tokens

    def decode_response(self, body: Any, context: ClientContext) -> Response:
        """Read a whole response object."""
        return responses_response.decode_response(body, context)

    def stream_decoder(self, context: ClientContext) -> ResponsesDecoder:
        """Return the decoder of one stream."""
        return ResponsesDecoder(context)

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read an HTTP error answer."""
        return responses_response.decode_error(status, body, headers)


DIALECT: Final = ResponsesDialect()
