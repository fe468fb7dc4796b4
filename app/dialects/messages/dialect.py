"""Anthropic Messages, both halves: ``DIALECT`` joins the parts.

Spoken by Anthropic's API, and with small deviations (``MessagesOptions``) by Claude on
Azure, on Vertex (rawPredict) and on Bedrock (InvokeModel). Requests are written in
``request_out`` and read in ``request_in``; answers in ``response``;
streams in ``stream_in`` and ``stream_out``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects.base import ClientContext, Encoded, ServerContext, StreamDecoder, StreamEncoder
from app.dialects.messages import request_in as messages_decode
from app.dialects.messages import request_out as messages_request
from app.dialects.messages import response as messages_response
from app.dialects.messages.options import NAME
from app.dialects.messages.stream_in import MessagesDecoder
from app.dialects.messages.stream_out import MessagesEncoder
from app.dialects.shared.reading import as_dict, count
from app.errors import GatewayError

_COUNTED: Final = frozenset(
    {
        "anthropic_version",
        "cache_control",
        "context_management",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)
"""Members that the token counter takes (the anthropic SDK's ``MessageCountTokensParams``)."""


class MessagesDialect:
    """The Messages wire, usable from both ends."""

    name = NAME

    # client half

    def encode_request(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body and the beta flags for a Messages call."""
        return messages_request.encode_request(request, context)

    def decode_response(self, body: Any, context: ClientContext) -> Response:
        """Return the answer of a JSON call."""
        return messages_response.decode_response(body, context)

    def stream_decoder(self, context: ClientContext) -> StreamDecoder:
        """Return a decoder of one stream."""
        return MessagesDecoder(context)

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Return the error that a body of status 400 and above says."""
        return messages_response.decode_error(status, body, headers)

    def encode_count(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body that has a prompt's tokens counted (``/v1/messages/count_tokens``)."""
        encoded = self.encode_request(request, context)
        return Encoded(
            {name: value for name, value in encoded.body.items() if name in _COUNTED}, encoded.headers
        )

    def decode_count(self, body: Any) -> int:
        """Return the counted input tokens; ``upstream_invalid`` when the answer has none."""
        tokens = count(as_dict(body).get("input_tokens"))
        if tokens is None:
            raise GatewayError("upstream_invalid", "The provider's answer has no token count.", raw=body)
        return tokens

    # server half

    def decode_request(self, body: Mapping[str, Any], context: ServerContext) -> Request:
        """Return what a Messages body asks for."""
        return messages_decode.decode_request(body, context)

    def encode_response(self, response: Response, request: Request, context: ServerContext) -> dict[str, Any]:
        """Return a Messages answer."""
        return messages_response.encode_response(response, context)

    def stream_encoder(self, request: Request, context: ServerContext) -> StreamEncoder:
        """Return an encoder of one stream."""
        return MessagesEncoder(context)

    def encode_error(self, error: GatewayError) -> dict[str, Any]:
        """Return Anthropic's error body."""
        return messages_response.encode_error(error)


DIALECT: Final = MessagesDialect()
