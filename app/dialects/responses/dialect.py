"""OpenAI's Responses, both halves: the row of the dialect."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.dialects.base import Dialect
from app.dialects.chat.errors import decode_error
from app.dialects.responses.items_in import NAME
from app.dialects.responses.patch import ResponsesPatch
from app.dialects.responses.request_in import decode_request
from app.dialects.responses.request_out import encode_count, encode_request
from app.dialects.responses.response import (
    decode_response,
    encode_count_response,
    encode_response,
    encode_usage,
)
from app.dialects.responses.stream_in import ResponsesDecoder
from app.dialects.responses.stream_out import ResponsesEncoder
from app.dialects.shared.decoder_parts import token_count
from app.responses_form.events import OPENING
from app.responses_form.items import call_ids

DIALECT: Final = Dialect(
    name=NAME,
    reports_failure=True,
    echoes=True,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=ResponsesEncoder,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=ResponsesDecoder,
    decode_error=decode_error,
    patch=ResponsesPatch,
    write_usage=encode_usage,
    is_opening=lambda frame: frame.event in OPENING,
    call_ids=call_ids,
    encode_count=encode_count,
    decode_count_request=decode_request,
    encode_count_response=encode_count_response,
    decode_count=partial(token_count, member="input_tokens"),
)
