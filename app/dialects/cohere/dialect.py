"""Cohere's v2 chat API, server and client half."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import DONE, Dialect, Frame, status_of_error
from app.dialects.chat.chunks import call_ids
from app.dialects.cohere.options import NAME
from app.dialects.cohere.request_in import decode_request
from app.dialects.cohere.request_out import encode_count, encode_request
from app.dialects.cohere.response_in import decode_error, decode_response, decode_usage
from app.dialects.cohere.response_out import encode_error, encode_response, encode_usage
from app.dialects.cohere.stream_in import CohereDecoder
from app.dialects.cohere.stream_out import CohereEncoder
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.plain_patch import Body, PlainPatch
from app.dialects.shared.usage_repair import counts_only
from app.dialects.shared.usage_sides import lacks_side
from app.errors import GatewayError


def decode_count(body: Any) -> int:
    """Return the number of tokens in a response of ``/v1/tokenize``.

    Raises ``upstream_invalid`` if the response has no list of tokens.
    """
    tokens = as_dict(body).get("tokens")
    if not isinstance(tokens, list):
        raise GatewayError("upstream_invalid", "The provider's answer has no tokens.", raw=body)
    return len(tokens)


class _Patch(PlainPatch):
    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame unchanged; ``message-end`` is held back if it reports no valid usage."""
        self.is_steady = data.get("type") != "message-end" and not self._waiting
        usage = as_dict(data.get("delta")).get("usage")
        has_usage = not lacks_side(decode_usage(usage)) and counts_only(as_dict(usage))
        return self._forward(
            Frame(event, data), lacks_usage=data.get("type") == "message-end" and not has_usage
        )

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the frames held back, and ``[DONE]``, which some of Cohere's hosts do not send."""
        return [*super().closing(usage), DONE]

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["delta"] = {**as_dict(data.get("delta")), "usage": encode_usage(usage)}


CoherePatch: Final = partial(_Patch, fit=lambda body, passage: {**body, "model": passage.client.model})


DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=CohereEncoder,
    reports_cost=False,
    encode_error=encode_error,
    error_status=status_of_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=CohereDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=decode_count,
    is_opening=lambda frame: frame.event == "message-start",
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=CoherePatch,
)
