"""Pass: a Messages body on its way to a host of Claude."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from app.canonical.request import Sampling
from app.dialects.base import Passage
from app.dialects.messages.options import NAME, options_of
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.claude_thinking import sampling_of
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch
from app.dialects.shared.reading import as_dict, count, number

_SLOTS: Final = {"thinking": "signature", "redacted_thinking": "data"}
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_THINKS: Final = frozenset({"enabled", "adaptive"})


def fit(body: Body, passage: Passage) -> Body:
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
        body["messages"] = [kept for message in body["messages"] for kept in _message(message, opener)]
    return body


def _fit_sampling(body: Body, passage: Passage) -> None:
    """Take out, with its warning, what the family does not take."""
    wanted = Sampling(
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=count(body.get("top_k")),
    )
    family = options_of(passage.client.options).family_for(passage.client.model)
    thinks = as_dict(body.get("thinking")).get("type") in _THINKS
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
    kept = [block for block in (_block(block, opener) for block in content) if block is not None]
    if kept or not content:
        yield {**message, "content": kept}


def _block(block: Any, opener: Opener) -> Any:
    slot = _SLOTS.get(str(as_dict(block).get("type")))
    if slot is None:
        return block
    ours, value = opener.open(block.get(slot))
    if not ours:
        return block
    return None if value is None else {**block, slot: value.removeprefix(OMITTED)}


MessagesPatch: Final = partial(PlainPatch, fit=fit)
