"""Anthropic's Messages, server and client half.

This is the format of Anthropic's API and, with small deviations (``MessagesOptions``), of
Claude on Azure, on Vertex (rawPredict) and on Bedrock (InvokeModel).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.canonical.request import Sampling
from app.canonical.response import Usage
from app.dialects.base import Dialect, Frame, PassThrough
from app.dialects.messages.options import NAME, MessagesOptions
from app.dialects.messages.request_in import decode_request, refuse_thread
from app.dialects.messages.request_out import encode_count, encode_request
from app.dialects.messages.response import (
    decode_error,
    decode_response,
    decode_usage,
    encode_error,
    encode_response,
    encode_usage,
    error_status,
    head,
    limit_headers,
    stop_members,
)
from app.dialects.messages.stream_in import MessagesDecoder
from app.dialects.messages.stream_out import MessagesEncoder
from app.dialects.shared.claude import OMITTED, family_of
from app.dialects.shared.claude_thinking import sampling_of
from app.dialects.shared.decoder_parts import token_count
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, number, opt_str, without_nulls
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch, open_messages
from app.dialects.shared.usage_repair import counts_only
from app.dialects.shared.usage_sides import lacks_side

Members = Mapping[str, Any]


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for block in dicts(message.get("content")):
            if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                yield block["id"]


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count, with ``estimated`` beside it if it is an estimate."""
    return {"input_tokens": tokens, **({"estimated": True} if estimated else {})}


_SIGNATURES: Final = {"thinking": "signature", "redacted_thinking": "data"}
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_THINKING_TYPES: Final = frozenset({"enabled", "adaptive"})


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target: with its model and version, the sampling that its family takes,
    and the signatures that it made."""
    refuse_thread(body)
    target, options = passage.client, passage.client.options_as(MessagesOptions)
    body = {name: value for name, value in body.items() if name not in {"model", "anthropic_version"}}
    if options.model_in_body:
        body = {"model": target.model, **body}
    if options.anthropic_version is not None:
        body["anthropic_version"] = options.anthropic_version
    _fit_sampling(body, passage)
    if isinstance(body.get("messages"), list):
        open_messages(body, Opener(passage, NAME, "messages"), _open_block)
    return body


def _fit_sampling(body: Body, passage: PassThrough) -> None:
    """Remove the sampling parameters that the family does not take, with a warning."""
    sampling = Sampling(
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=count(body.get("top_k")),
    )
    family = family_of(passage.client.model)
    thinks = as_str(as_dict(body.get("thinking")).get("type")) in _THINKING_TYPES
    supported = sampling_of(sampling, family, thinks, passage.client.losses)
    for name in _SAMPLING:
        if getattr(sampling, name) is not None and name not in supported:
            del body[name]


def _open_block(block: Any, opener: Opener) -> Any:
    member = _SIGNATURES.get(str(as_dict(block).get("type")))
    if member is None:
        return block
    ours, value = opener.open(block.get(member))
    if not ours:
        return block
    return None if value is None else {**block, member: value.removeprefix(OMITTED)}


def _is_valid(usage: Any, before: Members) -> bool:
    """Tell whether the usage of a ``message_delta`` has valid counts, with those that came ``before``."""
    members = as_dict(usage)
    return not lacks_side(decode_usage({**before, **without_nulls(members)})) and counts_only(members)


class MessagesPatch(PlainPatch):
    """The patch of a Messages body. Anthropic's SDK requires some members: missing ones are added."""

    def __init__(self, passage: PassThrough) -> None:
        super().__init__(passage, fit)
        self._before: Members = {}

    def answer(self, body: Body) -> Body:
        """Return the response with the members that a message must have."""
        self._fill(body, {**head(None, None, self._passage.server), **stop_members(None)})
        return body

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame, named by its type; a ``message_start`` gets the members that a message must have."""
        kind = data.get("type")
        if kind == "message_start":
            data["message"] = message = as_dict(data.get("message"))
            self._fill(message, {**head(None, None, self._passage.server), "content": []})
            self._fill(message, stop_members(None))
            self._open_usage(message)
        lacks = kind == "message_delta" and not _is_valid(data.get("usage"), self._before)
        self.is_steady = kind == "content_block_delta" and not self._waiting
        return self._forward(Frame(event or opt_str(kind), data), lacks_usage=lacks)

    def _open_usage(self, message: Body) -> None:
        usage = message.get("usage")
        self._before = {"input_tokens": as_dict(usage).get("input_tokens")}
        if decode_usage(usage) is None or not counts_only(as_dict(usage)):
            message["usage"] = encode_usage(decode_usage(usage))

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["usage"] = encode_usage(usage)

    def _fill(self, holder: Body, members: Body) -> None:
        holder |= {name: value for name, value in members.items() if holder.get(name) is None}


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
