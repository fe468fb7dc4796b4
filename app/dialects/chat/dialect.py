"""Chat completions: the dialect that most providers speak and most clients write.

This module only names the halves; each lies in a module of its own (``request_in``,
``stream_out`` …). A wire's deviations are data: ``options.ChatOptions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects.base import ClientContext, Encoded, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.chat.request_in import decode_request
from app.dialects.chat.request_out import encode_request
from app.dialects.chat.response_in import decode_response
from app.dialects.chat.response_out import encode_response
from app.dialects.chat.stream_in import ChatStreamDecoder
from app.dialects.chat.stream_out import ChatStreamEncoder
from app.errors import GatewayError


class ChatDialect:
    """Both halves of the chat-completions wire."""

    name = "chat"

    def decode_request(self, body: Mapping[str, Any], context: ServerContext) -> Request:
        """Read a client's body; raises ``bad_request`` with the member's path."""
        return decode_request(body, context)

    def encode_response(self, response: Response, request: Request, context: ServerContext) -> dict[str, Any]:
        """Write a ``chat.completion`` object."""
        return encode_response(response, request, context)

    def stream_encoder(self, request: Request, context: ServerContext) -> ChatStreamEncoder:
        """Return the encoder of one ``chat.completion.chunk`` stream."""
        return ChatStreamEncoder(request, context)

    def encode_error(self, error: GatewayError) -> dict[str, Any]:
        """Write the error envelope."""
        return {"error": error.body()}

    def encode_request(self, request: Request, context: ClientContext) -> Encoded:
        """Write the body for an upstream by ``context.options`` (a ``ChatOptions``)."""
        return encode_request(request, context)

    def decode_response(self, body: Any, context: ClientContext) -> Response:
        """Read an upstream's whole answer."""
        return decode_response(body, context)

    def stream_decoder(self, context: ClientContext) -> ChatStreamDecoder:
        """Return the decoder of one upstream stream."""
        return ChatStreamDecoder(context)

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read an upstream's error answer."""
        return decode_error(status, body, headers)


DIALECT = ChatDialect()
