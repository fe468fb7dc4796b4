"""Bedrock Converse and ConverseStream, client half.

Frames of a stream are ``:event-type`` and the parsed payload.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.dialects.base import Dialect
from app.dialects.converse.options import NAME
from app.dialects.converse.request import encode_count, encode_request
from app.dialects.converse.response import decode_error, decode_response
from app.dialects.converse.stream import ConverseDecoder
from app.dialects.shared.answers import token_count

DIALECT: Final = Dialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=ConverseDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=partial(token_count, member="inputTokens"),
)
