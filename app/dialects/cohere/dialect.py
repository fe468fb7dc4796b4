"""Cohere's v2 chat, client half: ``DIALECT`` joins the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Request, TextPart
from app.canonical.response import Response
from app.dialects.base import ClientContext, Encoded, StreamDecoder
from app.dialects.cohere import request as cohere_request
from app.dialects.cohere import response as cohere_response
from app.dialects.cohere.options import NAME
from app.dialects.cohere.stream import CohereDecoder
from app.dialects.shared.reading import as_dict
from app.errors import GatewayError


class CohereDialect:
    """The v2 chat wire, as providers are called with it."""

    name = NAME

    def encode_request(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body of a chat call."""
        return cohere_request.encode_request(request, context)

    def decode_response(self, body: Any, context: ClientContext) -> Response:
        """Return the answer of a chat call."""
        return cohere_response.decode_response(body, context)

    def stream_decoder(self, context: ClientContext) -> StreamDecoder:
        """Return a decoder of one stream."""
        return CohereDecoder(context)

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Return the error that a body of status 400 and above says."""
        return cohere_response.decode_error(status, body, headers)

    def encode_count(self, request: Request, context: ClientContext) -> Encoded:
        """Return the body that has a prompt's words cut into tokens (``/v1/tokenize``).

        The wire counts plain text alone: instructions and all texts, one a line.
        """
        texts = [request.instructions] if request.instructions else []
        texts += [p.text for m in request.messages for p in m.parts if isinstance(p, TextPart)]
        return Encoded({"model": context.model, "text": "\n".join(texts)})

    def decode_count(self, body: Any) -> int:
        """Return the number of tokens; ``upstream_invalid`` when the answer lists none."""
        tokens = as_dict(body).get("tokens")
        if not isinstance(tokens, list):
            raise GatewayError("upstream_invalid", "The provider's answer has no tokens.", raw=body)
        return len(tokens)


DIALECT: Final = CohereDialect()
