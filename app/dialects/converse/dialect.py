"""Bedrock's Converse and ConverseStream, server and client half.

The event of a frame is the header ``:event-type``, its data the parsed payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import Dialect, Frame, PassThrough, status_of_error
from app.dialects.converse.options import NAME
from app.dialects.converse.request_in import decode_count_request, decode_request, encode_count_response
from app.dialects.converse.request_out import encode_count, encode_request
from app.dialects.converse.response_in import decode_error, decode_response, decode_usage
from app.dialects.converse.response_out import encode_error, encode_response, encode_usage, error_name
from app.dialects.converse.stream_in import ConverseDecoder
from app.dialects.converse.stream_out import ConverseEncoder
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.decoder_parts import token_count
from app.dialects.shared.lenient_json import as_dict, decode_base64, dicts, opt_str
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch, open_messages
from app.dialects.shared.usage_repair import counts_only
from app.dialects.shared.usage_sides import lacks_side


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for block in dicts(message.get("content")):
            if (call_id := opt_str(as_dict(block.get("toolUse")).get("toolUseId"))) is not None:
                yield call_id


_METADATA: Final = "metadata"
_THOUGHT: Final = "reasoningContent"


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target: without model and stream, which the URL has, and with the
    signatures that the target made."""
    body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    if isinstance(body.get("messages"), list):
        open_messages(body, Opener(passage, NAME, "messages"), _open_block)
    return body


def _open_block(block: Any, opener: Opener) -> Any:
    thought = as_dict(as_dict(block).get(_THOUGHT))
    text, redacted = as_dict(thought.get("reasoningText")), thought.get("redactedContent")
    token = decode_base64(redacted, "ascii") if isinstance(redacted, str) else text.get("signature")
    ours, value = opener.open(token)
    if not ours:
        return block
    if value is None:
        return None
    if redacted is not None:
        return {_THOUGHT: {"redactedContent": value}}
    return {_THOUGHT: {"reasoningText": {**text, "signature": value.removeprefix(OMITTED)}}}


class _Patch(PlainPatch):
    _has_metadata = False

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame unchanged; ``metadata`` is held back if it reports no valid usage."""
        if event != _METADATA:
            return [Frame(event, data)]
        self._has_metadata = True
        usage = data.get("usage")
        lacks = lacks_side(decode_usage(usage)) or not counts_only(as_dict(usage))
        return self._forward(Frame(event, data), lacks_usage=lacks)

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the ``metadata`` held back, or one of our own if the upstream sent none."""
        if not self._has_metadata and usage is not None:
            self._waiting.append(Frame(_METADATA, {}))
        return super().closing(usage)

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["usage"] = encode_usage(usage)


ConversePatch: Final = partial(_Patch, fit=fit)


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
