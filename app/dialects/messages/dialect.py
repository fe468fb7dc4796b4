"""Anthropic Messages, both halves.

Spoken by Anthropic's API, and with small deviations (``MessagesOptions``) by Claude on
Azure, on Vertex (rawPredict) and on Bedrock (InvokeModel). Requests are written in
``request_out`` and read in ``request_in``; answers in ``response``;
streams in ``stream_in`` and ``stream_out``.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.dialects.base import Dialect
from app.dialects.messages.count import decode_count_request, encode_count_response
from app.dialects.messages.opening import call_ids, is_opening
from app.dialects.messages.options import NAME
from app.dialects.messages.patch import MessagesPatch
from app.dialects.messages.request_in import decode_request
from app.dialects.messages.request_out import encode_count, encode_request
from app.dialects.messages.response import (
    decode_error,
    decode_response,
    encode_error,
    encode_response,
    encode_usage,
    error_status,
    limit_headers,
)
from app.dialects.messages.stream_in import MessagesDecoder
from app.dialects.messages.stream_out import MessagesEncoder
from app.dialects.shared.decoder_parts import token_count

DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=MessagesEncoder,
    decode_count_request=decode_count_request,
    encode_count_response=encode_count_response,
    reports_cost=False,
    encode_error=encode_error,
    error_status=error_status,
    own_fallbacks=True,
    limit_headers=limit_headers,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=MessagesDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=partial(token_count, member="input_tokens"),
    is_opening=is_opening,
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=MessagesPatch,
)
