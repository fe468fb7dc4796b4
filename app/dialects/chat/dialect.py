"""Chat completions, both halves: the row of the dialect.

The deviations of providers are data, ``options.ChatOptions``.
"""

from __future__ import annotations

from typing import Final

from app.dialects.base import Dialect
from app.dialects.chat.chunks import call_ids, identity, is_opening
from app.dialects.chat.errors import decode_error
from app.dialects.chat.patch import ChatPatch
from app.dialects.chat.request_in import decode_request
from app.dialects.chat.request_out import encode_request
from app.dialects.chat.response_in import decode_response
from app.dialects.chat.response_out import encode_response
from app.dialects.chat.stream_in import ChatStreamDecoder
from app.dialects.chat.stream_out import ChatStreamEncoder
from app.dialects.chat.usage import encode_usage

DIALECT: Final = Dialect(
    name="chat",
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=ChatStreamEncoder,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=ChatStreamDecoder,
    decode_error=decode_error,
    patch=ChatPatch,
    write_usage=encode_usage,
    is_opening=is_opening,
    identity=identity,
    call_ids=call_ids,
)
