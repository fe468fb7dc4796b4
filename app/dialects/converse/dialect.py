"""Bedrock Converse and ConverseStream, client half: ``DIALECT`` joins the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects.base import ClientContext, Encoded, StreamDecoder
from app.dialects.converse import request as converse_request
from app.dialects.converse import response as converse_response
from app.dialects.converse.options import NAME
from app.dialects.converse.stream import ConverseDecoder
from app.dialects.shared.reading import as_dict, count
from app.errors import GatewayError


class ConverseDialect:
    """The Converse wire, as providers are called with it."""

    name = NAME

    def encode_request(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body of a Converse call; the URL says the model and the streaming."""
        return converse_request.encode_request(request, context)

    def decode_response(self, body: Any, context: ClientContext) -> Response:
        """Return the answer of a Converse call."""
        return converse_response.decode_response(body, context)

    def stream_decoder(self, context: ClientContext) -> StreamDecoder:
        """Return a decoder of one stream (frames: ``:event-type`` and parsed payload)."""
        return ConverseDecoder(context)

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Return the error that a body of status 400 and above says."""
        return converse_response.decode_error(status, body, headers)

    def encode_count(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body that has a prompt's tokens counted (``/count-tokens``)."""
        return converse_request.encode_count(request, context)

    def decode_count(self, body: Any) -> int:
        """Return the counted input tokens; ``upstream_invalid`` when the answer has none."""
        tokens = count(as_dict(body).get("inputTokens"))
        if tokens is None:
            raise GatewayError("upstream_invalid", "The provider's answer has no token count.", raw=body)
        return tokens


DIALECT: Final = ConverseDialect()
