"""Anthropic's Messages, server and client half.

This is the format of Anthropic's API and, with small deviations (``MessagesOptions``), of
Claude on Azure, on Vertex (rawPredict) and on Bedrock (InvokeModel).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.dialects.base import Dialect
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
from app.dialects.shared.lenient_json import dicts


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for block in dicts(message.get("content")):
            if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                yield block["id"]


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count, with ``estimated`` beside it if it is an estimate."""
    return {"input_tokens": tokens, **({"estimated": True} if estimated else {})}


DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=MessagesEncoder,
    decode_count_request=decode_request,
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
    is_opening=lambda frame: frame.event in {"message_start", "ping"},
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=MessagesPatch,
)
