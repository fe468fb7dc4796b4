"""Pass: a Messages body on its way to a host of Claude."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app.canonical.request import Sampling
from app.canonical.response import Usage
from app.dialects.base import Frame, PassThrough
from app.dialects.messages.options import NAME, options_of
from app.dialects.messages.response import decode_usage, encode_usage, head, stop_members
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.claude_thinking import sampling_of
from app.dialects.shared.lenient_json import as_dict, count, number, opt_str
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch
from app.dialects.shared.usage_repair import counts_only

_SLOTS: Final = {"thinking": "signature", "redacted_thinking": "data"}
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_THINKING_TYPES: Final = frozenset({"enabled", "adaptive"})


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target: its model and version, what its family takes of sampling, and
    the signatures of its own making."""
    target, options = passage.client, options_of(passage.client.options)
    body = {name: value for name, value in body.items() if name not in {"model", "anthropic_version"}}
    if options.model_in_body:
        body = {"model": target.model, **body}
    if options.anthropic_version is not None:
        body["anthropic_version"] = options.anthropic_version
    if not options.stream_in_body:
        body.pop("stream", None)
    _fit_sampling(body, passage)
    if isinstance(body.get("messages"), list):
        opener = Opener(passage, NAME, "messages")
        body["messages"] = [fitted for message in body["messages"] for fitted in _message(message, opener)]
    return body


def _fit_sampling(body: Body, passage: PassThrough) -> None:
    """Take out, with its warning, what the family does not take."""
    wanted = Sampling(
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=count(body.get("top_k")),
    )
    family = options_of(passage.client.options).family_for(passage.client.model)
    thinks = as_dict(body.get("thinking")).get("type") in _THINKING_TYPES
    sent = sampling_of(wanted, family, thinks, passage.client.losses)
    for name in _SAMPLING:
        if getattr(wanted, name) is not None and name not in sent:
            del body[name]


def _message(message: Any, opener: Opener) -> Iterator[Any]:
    """Yield a message with its signatures opened; one of which nothing is left is left out."""
    content = as_dict(message).get("content")
    if not isinstance(content, list):
        yield message
        return
    blocks = [block for block in (_block(block, opener) for block in content) if block is not None]
    if blocks or not content:
        yield {**message, "content": blocks}


def _block(block: Any, opener: Opener) -> Any:
    slot = _SLOTS.get(str(as_dict(block).get("type")))
    if slot is None:
        return block
    ours, value = opener.open(block.get(slot))
    if not ours:
        return block
    return None if value is None else {**block, slot: value.removeprefix(OMITTED)}


def _is_told(usage: Any) -> bool:
    return decode_usage(usage) is not None and counts_only(usage)


class MessagesPatch(PlainPatch):
    """The patch of this wire. Its clients add up what they read: a member they need is there."""

    def __init__(self, passage: PassThrough) -> None:
        super().__init__(passage, fit)

    def answer(self, body: Body) -> Body:
        """Return the answer, and whatever a message must have."""
        self._fill(body, {**head(None, None, self._passage.server), **stop_members(None)})
        return body

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame, named by its type, and whatever a message must have."""
        kind = data.get("type")
        if kind == "message_start":
            data["message"] = message = as_dict(data.get("message"))
            self._fill(message, {**head(None, None, self._passage.server), "content": []})
            self._fill(message, stop_members(None))
            if not _is_told(message.get("usage")):
                message["usage"] = encode_usage(decode_usage(message.get("usage")))
        lacks = kind == "message_delta" and not _is_told(data.get("usage"))
        return self._forward(Frame(event or opt_str(kind), data), lacks_usage=lacks)

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["usage"] = encode_usage(usage)

    def _fill(self, holder: Body, wanted: Body) -> None:
        holder |= {name: value for name, value in wanted.items() if holder.get(name) is None}
