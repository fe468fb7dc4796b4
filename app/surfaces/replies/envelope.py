"""Envelopes: what a surface adds to an answer, a chunk, an event or an error.

That is ``extra_fields`` (docs/surfaces.md, "Envelopes"), which has both generations of names, or the one member ``provider``.
All values come from the outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.canonical.response import Finish, Usage
from app.dialects import dialect
from app.dialects.base import Frame, encode_error
from app.dialects.responses.echo import echo_tool
from app.dialects.shared.losses import warning_rows
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.cost import move_details_to_cost
from app.gateway.outcome import Outcome
from app.operations import request_type
from app.surfaces.mounts import Mount

_PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_output_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
}


def model_params(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters of a body, under the names that ``extra_fields`` has for them."""
    text = body.get("text")
    limit = {"max_tokens": text.get("max_tokens")} if isinstance(text, Mapping) else {}
    members = {
        **limit,
        **{label: body.get(name) for name, label in _PARAMS.items() if body.get(name) is not None},
    }
    params = {name: _SHOWN[name](value) if name in _SHOWN else value for name, value in members.items()}
    return {name: value for name, value in params.items() if value is not None}


def _nest(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool with the members of a function nested."""
    kind = tool["type"]
    if kind not in _NESTING:
        return dict(tool)
    return {"type": kind, kind: {k: v for k, v in tool.items() if k != "type" and v is not None}}


_NESTING: Final = frozenset({"function", "custom"})
_SHOWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "tools": lambda tools: [_nest(echo_tool(tool)) for tool in tools],
    "stop_sequences": lambda stop: [stop] if isinstance(stop, str) else stop,
}


def billed_usage(usage: Usage | None) -> dict[str, int] | None:
    """Return the tokens on which the cost is based."""
    if usage is None:
        return None
    return {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}


def bare_fields(operation: str | None, provider: str | None) -> dict[str, Any]:
    """Return the ``extra_fields`` of an answer without a call to a model; ``operation`` may be None."""
    names = ("model_requested", "original_model_requested", "model_deployment", "resolved_model_used")
    return {
        "request_type": request_type(operation, False) if operation is not None else None,
        "provider": provider,
        **dict.fromkeys(names),
        "latency": 0,
        "chunk_index": 0,
    }


def seal_bare(
    mount: Mount, operation: str, body: dict[str, Any], provider: str | None = None
) -> dict[str, Any]:
    """Return a JSON answer without a call in its surface's envelope."""
    if mount.envelope == "provider":
        return {**body, "provider": provider}
    if mount.envelope == "headers":
        return body
    return {**body, "extra_fields": bare_fields(operation, provider)}


def base_fields(call: Call, outcome: Outcome | None) -> dict[str, Any]:
    """Return the members of ``extra_fields`` that do not change during a call."""
    target = outcome.target if outcome else None
    provider, model = (target.provider.name, target.model) if target else last_attempt(call)
    return {
        "request_type": request_type(call.operation, call.stream and call.shown_stream),
        "provider": provider,
        "model_requested": call.model or None,
        "original_model_requested": call.model or None,
        "model_deployment": model,
        "resolved_model_used": model,
    }


def last_attempt(call: Call) -> tuple[str | None, str | None]:
    """Return provider and model of the last attempt, or None twice."""
    return (call.attempts[-1].provider, call.attempts[-1].model) if call.attempts else (None, None)


def _attempts(call: Call) -> dict[str, Any]:
    """Return the member ``attempts``, if there was more than one."""
    return {"attempts": [attempt.row() for attempt in call.attempts]} if len(call.attempts) > 1 else {}


def extra_fields(outcome: Outcome, *, latency: int, chunk_index: int = 0) -> dict[str, Any]:
    """Return the whole ``extra_fields`` of a JSON answer or of the last frame of a stream."""
    call = outcome.call
    fields = base_fields(call, outcome)
    fields["latency"], fields["chunk_index"] = latency, chunk_index
    if call.operation == "responses":
        fields["model_params"] = model_params(call.body)
        fields["billed_usage"] = billed_usage(outcome.usage)
    fields |= _outcome_members(outcome)
    return fields


def _outcome_members(outcome: Outcome) -> dict[str, Any]:
    members = _attempts(outcome.call)
    if outcome.losses:
        members["warnings"] = warning_rows(outcome.losses)
    if outcome.call.progress.cache_debug is not None:
        members["cache_debug"] = outcome.call.progress.cache_debug
    for name in sorted(outcome.call.keep_raw):
        members[name] = getattr(outcome, name)
    return members


def seal_answer(mount: Mount, outcome: Outcome, body: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON answer in its surface's envelope."""
    if mount.envelope == "headers":
        return body
    _form_cost(mount, outcome, body)
    if mount.envelope == "provider":
        return {**body, "provider": outcome.target.provider.name if outcome.target else None}
    if mount.summary_members and outcome.call.operation == "responses":
        body = body | summary_members(body, outcome.finish)
    latency = outcome.upstream_ms if outcome.upstream_ms is not None else outcome.call.elapsed_ms()
    return {**body, "extra_fields": extra_fields(outcome, latency=latency)}


def summary_members(body: Mapping[str, Any], finish: Finish | None) -> dict[str, Any]:
    """Return the members that some surfaces add to the response object (docs/surfaces.md, "Envelopes")."""
    conversation = body.get("conversation")
    return {
        "conversation_id": conversation.get("id") if isinstance(conversation, dict) else conversation,
        "stop_reason": (finish.raw or finish.reason) if finish else None,
        "stop_sequence": finish.stop_sequence if finish else None,
        "finish_reason": finish.reason if finish else None,
        "created": body.get("created_at"),
        **({"stop_details": dict(finish.details)} if finish and finish.details else {}),
    }


def seal_error(
    mount: Mount | None,
    error: GatewayError,
    call: Call | None,
    operation: str | None,
    request_id: str,
    *,
    provider: str | None,
    plain: bool,
) -> dict[str, Any]:
    """Return the body of an error in its surface's form and envelope; ``plain``: without the envelope; ``provider``: the one
    that was asked where there is no call."""
    encode = encode_error if mount is None or mount.dialect is None else dialect(mount.dialect).encode_error
    body = encode(error)
    if mount is not None and mount.error_id is not None:
        body[mount.error_id] = request_id
    if plain or mount is None or mount.envelope != "extra_fields":
        return body
    body |= {"is_bifrost_error": error.kind.name not in _OF_PROVIDERS, "status_code": error.status}
    fields = bare_fields(operation, provider)
    if call is not None:
        fields = base_fields(call, None) | {"latency": call.elapsed_ms(), "chunk_index": 0} | _attempts(call)
    return body | {"extra_fields": fields}


_OF_PROVIDERS: Final = frozenset(
    {
        "upstream_rejected",
        "upstream_error",
        "upstream_auth",
        "upstream_quota",
        "upstream_rate_limited",
        "upstream_overloaded",
        "context_length",
        "content_filter",
    }
)
"""Kinds of a provider's errors, for which ``is_bifrost_error`` (the gateway's own error) is false."""


def _form_cost(mount: Mount, outcome: Outcome, body: dict[str, Any]) -> None:
    if mount.cost_object and outcome.call.operation == "chat" and isinstance(body.get("usage"), dict):
        move_details_to_cost(body["usage"])


class FrameEnvelope:
    """Decorates the frames of one stream in place."""

    def __init__(self, mount: Mount, outcome: Outcome) -> None:
        self._mount = mount
        self._outcome = outcome
        self._index = 0
        self._last = outcome.call.started
        self._base: dict[str, Any] = {}
        self._target: Target | None = None
        self.numbers = 2 if mount.envelope == "extra_fields" else 0
        """How many numbers differ from frame to frame."""

    def seal(self, frames: list[Frame], *, last: bool) -> list[Frame]:
        """Add the envelope to each frame that has data; ``last`` marks the terminal ones."""
        if self._mount.envelope == "headers":
            return frames
        ending = None
        if last:
            ending = next((frame for frame in reversed(frames) if isinstance(frame.data, dict)), None)
        for frame in frames:
            if isinstance(frame.data, dict):
                self._seal_one(frame.data, last=frame is ending)
        return frames

    def next_numbers(self) -> tuple[int, ...]:
        """Count one more frame; return its numbers: milliseconds since the last one, and its place."""
        if not self.numbers:
            return ()
        now, before, index = time.monotonic(), self._last, self._index
        self._last, self._index = now, index + 1
        return round((now - before) * 1000), index

    def seal_with(self, data: dict[str, Any], numbers: Sequence[Any]) -> None:
        """Add the envelope to a frame that is not the last, with ``numbers`` for those of ``next_numbers``."""
        outcome = self._outcome
        if self._mount.envelope == "provider":
            response = data.get("response", data)
            if isinstance(response, dict) and "object" in response:
                response["provider"] = outcome.target.provider.name if outcome.target else None
        elif self._mount.envelope == "extra_fields":
            if not self._base or outcome.target is not self._target:  # another one may have taken over
                self._base, self._target = base_fields(outcome.call, outcome), outcome.target
            latency, index = numbers
            data["extra_fields"] = {**self._base, "latency": latency, "chunk_index": index}

    def _seal_one(self, data: dict[str, Any], *, last: bool) -> None:
        outcome = self._outcome
        if data.get("usage") is not None:
            _form_cost(self._mount, outcome, data)
        if last and self._mount.envelope == "extra_fields":
            latency = outcome.upstream_ms if outcome.upstream_ms is not None else 0
            data["extra_fields"] = extra_fields(outcome, latency=latency, chunk_index=self._index)
            return
        is_first = self._index == 0
        self.seal_with(data, self.next_numbers())
        if is_first and self._mount.envelope == "extra_fields":
            data["extra_fields"] |= _outcome_members(outcome)
