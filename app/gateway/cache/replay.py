"""Make an entry of an answer, and answer another call with an entry, whole or as a stream.

Tests: tests/governance/test_cache.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import replay
from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects import dialect
from app.dialects.base import Frame
from app.dialects.shared.losses import Loss, warning_rows
from app.gateway.cache.memory import Entry
from app.gateway.cache.semantics import Meaning
from app.gateway.call import Call, Target
from app.gateway.exchange import Answer
from app.gateway.outcome import Outcome
from app.gateway.run import Batch, Run
from app.gateway.translation import decode_call, server_context
from app.state.ids import mint
from app.wire.json import dumps, loads_own

_COMPLETE: Final = frozenset({"stop", "tool_calls"})
_OWN: Final = (
    *("id", "responseId", "created", "created_at", "completed_at", "metadata", "user", "safety_identifier"),
    *("store", "previous_response_id", "conversation", "prompt_cache_key", "prompt_cache_retention"),
)
"""Members of an answer that belong to the call that it answers."""
_FREE: Final = ("input_tokens_cost", "output_tokens_cost", "total_cost")


def entry_of(name: str, outcome: Outcome) -> Entry | None:
    """Return the entry of a complete answer of success, None for any other."""
    call, response = outcome.call, outcome.response
    if outcome.error is not None or outcome.media_type is not None or outcome.target is None:
        return None
    finishes = [choice.finish for choice in response.choices] if response else [outcome.finish]
    if any(finish is not None and finish.reason not in _COMPLETE for finish in finishes):
        return None
    body = outcome.body
    if body is None and response is not None:
        unnamed = replace(copy.deepcopy(response), id=None, created=None)
        body = _encode(call, unnamed, outcome.target.model)
    if not isinstance(body, dict):
        return None
    return Entry(
        id=name,
        tenant=call.principal.tenant,
        label=outcome.target.label,
        body=dumps(body),
        response=copy.deepcopy(response),
        usage=outcome.usage,
        finish=outcome.finish,
        cost=outcome.cost,
        response_id=call.response_id if getattr(call.host, "store", False) else None,
        warnings=warning_rows(outcome.losses[len(call.left_out) :]),
    )


def source_of(entry: Entry, target: Target) -> Callable[[Run], Generator[Batch, None, None]]:
    """Return what feeds a run from an entry."""

    def source(run: Run) -> Generator[Batch, None, None]:
        call, outcome = run.call, run.outcome
        call.abort.check()
        outcome.target, outcome.upstream_ms = target, 0
        outcome.losses = [
            *call.left_out,
            *(Loss(row["param"], row["message"] or "") for row in entry.warnings),
        ]
        if call.stream:
            frames = _frames(call, entry, target)
            yield Batch(frames, last=True, content=True, answer=_answer(entry, None))
        else:
            yield Batch([], last=True, answer=_answer(entry, _body(call, entry, target)))

    return source


def debug_of(name: str, entry: Entry | None) -> dict[str, Any]:
    """Return the object ``cache_debug`` of a call whose own question was looked up."""
    if entry is None:
        return {"cache_hit": False, "cache_id": name}
    return {"cache_hit": True, "cache_id": name, "hit_type": "direct", **_target_members(entry.label)}


def semantic_debug_of(
    name: str, meaning: Meaning, threshold: float, similarity: float | None
) -> dict[str, Any]:
    """Return that of a call for which similar questions were looked up; ``similarity`` is None if none was similar enough."""
    near = {} if similarity is None else {"hit_type": "semantic", "similarity": similarity}
    return {
        "cache_hit": similarity is not None,
        "cache_id": name,
        **near,
        **_target_members(meaning.target),
        "input_tokens": meaning.input_tokens,
        "threshold": threshold,
    }


def _target_members(label: str) -> dict[str, str]:
    provider, _, model = label.partition("/")
    return {"provider_used": provider, "model_used": model}


def _answer(entry: Entry, body: Any) -> Answer:
    source = entry.cost.get("source") if entry.cost else None
    cost = {**dict.fromkeys(_FREE, 0.0), "source": source or "catalogue"}
    return Answer(body, response=entry.response, usage=entry.usage, finish=entry.finish, cost=cost)


def _body(call: Call, entry: Entry, target: Target) -> dict[str, Any]:
    """Return the JSON of an entry as the answer of ``call``: with its own id and members."""
    body: dict[str, Any] = loads_own(entry.body)
    if entry.response is None:
        if isinstance(body.get("id"), str):
            body["id"] = mint(body["id"].partition("-")[0] + "-" if "-" in body["id"] else "emb")
        return body
    head = Response(None, entry.response.model, ())
    row = dialect(call.dialect)
    request = decode_call(call) if row.echoes else Request(call.model)
    fresh = row.encode_response(head, request, server_context(call, target.model))
    return {**body, **{name: copy.deepcopy(fresh[name]) for name in _OWN if name in fresh}}


def _encode(call: Call, response: Response, model: str) -> dict[str, Any]:
    return dialect(call.dialect).encode_response(response, decode_call(call), server_context(call, model))


def _frames(call: Call, entry: Entry, target: Target) -> list[Frame]:
    if entry.response is None:
        raise LookupError("an answer that was never decoded makes no stream")
    encoder = dialect(call.dialect).stream_encoder(decode_call(call), server_context(call, target.model))
    unnamed = replace(copy.deepcopy(entry.response), id=None, created=None, usage=entry.usage)
    return [frame for event in replay(unnamed) for frame in encoder.feed(event)]
