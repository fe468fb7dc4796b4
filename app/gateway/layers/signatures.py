"""Restore what clients drop of a tool call and providers need: its signature, and the reasoning before it.

A plain chat client sends back only a call's id, name and arguments. So an answer's signatures, and its signed
reasoning with the first call after it, go into the vault under that call's id, and come back into the history
of the next turn; each dialect takes its own.

Tests: tests/lifecycle/test_sealing.py, tests/lifecycle/test_outage.py, tests/replay/test_continuing.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Message, ReasoningPart, Request, Signature, ToolCallPart
from app.canonical.response import Choice
from app.dialects import dialect
from app.dialects.base import Frame
from app.dialects.chat.options import ChatOptions
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.layers.base import CallLayer, Proceed, Services
from app.gateway.outcome import Outcome
from app.gateway.run import Run
from app.gateway.translation import decode_call

_LOG: Final = logging.getLogger(__name__)


def make(services: Services) -> CallLayer:
    """Return the layer."""
    return _Signatures(services)


class _Signatures:
    """An answer is worth more than its signatures: trouble of the store is only logged."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(self, call: Call, proceed: Proceed) -> Run:
        if not call.signs:
            return proceed(call)
        stored = self._load(call)
        if stored:
            call = replace(call, request=with_signatures(decode_call(call), stored))
        run = proceed(call)
        if call.keeps_signatures:
            run.on_terminal(self._keep)
        return run

    def _load(self, call: Call) -> dict[str, Any]:
        ids = list(dialect(call.dialect).call_ids(call.full_body))
        if not ids:
            return {}
        try:
            return self._services.state().vault.get(call.principal.tenant, ids)
        except GatewayError as error:
            _note(call, error)
            return {}

    def _keep(self, outcome: Outcome, frames: list[Frame]) -> None:
        entries = signatures_of(outcome)
        if not entries:
            return
        try:
            self._services.state().vault.put(outcome.call.principal.tenant, entries)
        except GatewayError as error:
            _note(outcome.call, error)


def _note(call: Call, error: GatewayError) -> None:
    """Log trouble of the store, which a call survives; raise any other error."""
    if error.kind.name != "store_unavailable":
        raise error
    _LOG.warning("signatures of %s were left out: %s", call.id, error.message)


def signatures_of(outcome: Outcome) -> dict[str, Any]:
    """Return the vault's entries for an answer, by call id: ``d``, ``r``, ``v`` are a call's own signature
    (dialect, realm, value), ``t`` the reasoning before it. Unsigned reasoning is included for servers that
    need it again (DeepSeek refuses a call without the reasoning that led to it)."""
    if outcome.response is None or not _may_have_entries(outcome.response.choices):
        return {}
    unsigned = _takes_unsigned_reasoning(outcome)
    return dict(entry for choice in outcome.response.choices for entry in _entries(choice, unsigned))


def _may_have_entries(choices: Sequence[Choice]) -> bool:
    """Tell whether there is a tool call, without which no entry is made."""
    for choice in choices:
        for message in choice.messages:
            for part in message.parts:
                if isinstance(part, ToolCallPart):
                    return True
    return False


def _takes_unsigned_reasoning(outcome: Outcome) -> bool:
    """Tell whether the wire that answered has a slot for unsigned reasoning."""
    target = outcome.target
    wire = target.provider.wire("chat", target.model) if target is not None else None
    options = wire.options if wire is not None else None
    return isinstance(options, ChatOptions) and options.history in ("reasoning", "reasoning_content")


def _entries(choice: Choice, unsigned: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    thoughts: list[dict[str, Any]] = []
    for part in (part for message in choice.messages for part in message.parts):
        if isinstance(part, ReasoningPart) and (part.signature is not None or thoughts or unsigned):
            thoughts.append({"x": part.text, "f": part.form, **_encode_signature(part.signature)})
        if not isinstance(part, ToolCallPart):
            continue
        entry = {**_encode_signature(part.signature), **({"t": thoughts} if thoughts else {})}
        thoughts = []
        if entry:
            yield part.id, entry


def _encode_signature(signature: Signature | None) -> dict[str, Any]:
    if signature is None:
        return {}
    return {"d": signature.dialect, "r": signature.realm, "v": signature.value}


def _signature(row: Mapping[str, Any]) -> Signature | None:
    return Signature(str(row["v"]), str(row["d"]), row.get("r")) if "v" in row else None


def with_signatures(request: Request, entries: Mapping[str, Any]) -> Request:
    """Return ``request`` with the vault's signatures on unsigned tool calls, and the vault's reasoning
    before calls of a turn that has no reasoning of its own."""
    rows = {key: row for key, row in entries.items() if isinstance(row, Mapping)}
    messages: list[Message] = []
    has_reasoning = False
    for message in request.messages:
        if message.role != "assistant":
            has_reasoning = False
        has_reasoning = has_reasoning or any(isinstance(part, ReasoningPart) for part in message.parts)
        messages += _restore(message, rows, without_reasoning=not has_reasoning)
    return replace(request, messages=tuple(messages))


def _restore(
    message: Message, rows: Mapping[str, Mapping[str, Any]], *, without_reasoning: bool
) -> Iterator[Message]:
    """Yield ``message`` with the vault's entries; a message that is an item of its own gets its reasoning in a
    message before it."""
    parts: list[Any] = []
    for part in message.parts:
        row = rows.get(part.id) if isinstance(part, ToolCallPart) else None
        if row is None or not isinstance(part, ToolCallPart):
            parts.append(part)
            continue
        thoughts = tuple(map(_thought, row.get("t") or ())) if without_reasoning else ()
        if thoughts and message.item is not None:
            yield Message("assistant", thoughts)
        elif thoughts:
            parts += thoughts
        parts.append(part if part.signature is not None else replace(part, signature=_signature(row)))
    yield replace(message, parts=tuple(parts))


def _thought(row: Mapping[str, Any]) -> ReasoningPart:
    return ReasoningPart(str(row["x"]), row["f"], _signature(row))
