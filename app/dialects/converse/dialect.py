"""Bedrock's Converse and ConverseStream, server and client half.

The event of a frame is the header ``:event-type``, its data the parsed payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.dialects.base import Dialect, status_of_error
from app.dialects.converse.count import decode_count_request, encode_count_response
from app.dialects.converse.options import NAME
from app.dialects.converse.patch import ConversePatch
from app.dialects.converse.request_in import decode_request
from app.dialects.converse.request_out import encode_count, encode_request
from app.dialects.converse.response_in import decode_error, decode_response
from app.dialects.converse.response_out import encode_error, encode_response, encode_usage, error_name
from app.dialects.converse.stream_in import ConverseDecoder
from app.dialects.converse.stream_out import ConverseEncoder
from app.dialects.shared.decoder_parts import token_count
from app.dialects.shared.lenient_json import as_dict, dicts, opt_str


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for block in dicts(message.get("content")):
            if (call_id := opt_str(as_dict(block.get("toolUse")).get("toolUseId"))) is not None:
                yield call_id


DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=ConverseEncoder,
    decode_count_request=decode_count_request,
    encode_count_response=encode_count_response,
    reports_cost=False,
    encode_error=encode_error,
    error_status=status_of_error,
    error_headers=lambda error: {"x-amzn-errortype": error_name(error)},
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=ConverseDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=partial(token_count, member="inputTokens"),
    is_opening=lambda frame: frame.event == "messageStart",
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=ConversePatch,
)
