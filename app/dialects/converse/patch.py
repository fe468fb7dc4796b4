"""Pass: a Converse body on its way to Bedrock."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import Frame, PassThrough
from app.dialects.converse.blocks_in import unpack
from app.dialects.converse.options import NAME
from app.dialects.converse.response_in import decode_usage
from app.dialects.converse.response_out import encode_usage
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch
from app.dialects.shared.usage_repair import counts_only

_METADATA: Final = "metadata"
_THOUGHT: Final = "reasoningContent"


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target: model and stream are said by the URL, signatures are those of
    its own making."""
    body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    if isinstance(body.get("messages"), list):
        opener = Opener(passage, NAME, "messages")
        body["messages"] = [fitted for message in body["messages"] for fitted in _message(message, opener)]
    return body


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
    thought = as_dict(as_dict(block).get(_THOUGHT))
    shown, redacted = as_dict(thought.get("reasoningText")), thought.get("redactedContent")
    token = unpack(redacted) if isinstance(redacted, str) else shown.get("signature")
    ours, value = opener.open(token)
    if not ours:
        return block
    if value is None:
        return None
    if redacted is not None:
        return {_THOUGHT: {"redactedContent": value}}
    return {_THOUGHT: {"reasoningText": {**shown, "signature": value.removeprefix(OMITTED)}}}


class _Patch(PlainPatch):
    _is_told = False

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame as it came; ``metadata`` tells the usage."""
        if event != _METADATA:
            return [Frame(event, data)]
        self._is_told = True
        usage = data.get("usage")
        lacks = decode_usage(usage) is None or not counts_only(as_dict(usage))
        return self._forward(Frame(event, data), lacks_usage=lacks)

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the ``metadata`` that waited, or one of our own."""
        if not self._is_told and usage is not None:
            self._waiting.append(Frame(_METADATA, {}))
        return super().closing(usage)

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["usage"] = encode_usage(usage)


ConversePatch: Final = partial(_Patch, fit=fit)
