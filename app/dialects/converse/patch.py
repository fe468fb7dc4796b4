"""Pass: a Converse body on its way to Bedrock."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from app.dialects.base import Passage
from app.dialects.converse.blocks_in import unpack
from app.dialects.converse.options import NAME
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch

_THOUGHT: Final = "reasoningContent"


def fit(body: Body, passage: Passage) -> Body:
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


ConversePatch: Final = partial(PlainPatch, fit=fit)
