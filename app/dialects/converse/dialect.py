"""Bedrock Converse and ConverseStream, both halves.

Frames of a stream are ``:event-type`` and the parsed payload.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.dialects.base import Dialect
from app.dialects.converse.count import decode_count_request, encode_count_response
from app.dialects.converse.opening import call_ids, is_opening
from app.dialects.converse.options import NAME
from app.dialects.converse.patch import ConversePatch
from app.dialects.converse.request_in import decode_request
from app.dialects.converse.request_out import encode_count, encode_request
from app.dialects.converse.response_in import decode_error, decode_response
from app.dialects.converse.response_out import (
    encode_error,
    encode_response,
    encode_usage,
    error_name,
    error_status,
)
from app.dialects.converse.stream_in import ConverseDecoder
from app.dialects.converse.stream_out import ConverseEncoder
from app.dialects.shared.decoder_parts import token_count

DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=ConverseEncoder,
    decode_count_request=decode_count_request,
    encode_count_response=encode_count_response,
    reports_cost=False,
    encode_error=encode_error,
    error_status=error_status,
    error_headers=lambda error: {"x-amzn-errortype": error_name(error)},
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=ConverseDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=partial(token_count, member="inputTokens"),
    is_opening=is_opening,
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=ConversePatch,
)
