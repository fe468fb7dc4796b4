"""One Responses turn with its state: its history is read, its row written ahead, its end stored.

The gateway keeps the state for every provider (architecture: state belongs to the gateway).
A turn is settled exactly once: with the terminal object that the caller sees, or with what was known
when it failed or its client left. Its host (a request, a background job, a socket) decides where it is
stored. Tests: tests/lifecycle, tests/state/test_background.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from app.dialects.base import Frame
from app.dialects.responses.echo import response_shell, strip_encrypted
from app.dialects.shared.losses import Loss, warning_rows
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.compaction_items import holds_compaction, open_items
from app.gateway.outcome import Outcome
from app.gateway.run import Run
from app.responses_form.errors import failure_body
from app.responses_form.events import TERMINAL
from app.responses_form.items import (
    as_items,
    check_thoughts,
    check_tool_calls,
    check_tool_outputs,
    is_reference,
)
from app.state.records import Ending, Expansion, NewResponse

if TYPE_CHECKING:
    from app.state.state import State


_CANCELLATIONS: Final = frozenset({"client_gone", "cancelled"})


def wants_store(body: Mapping[str, Any], default: bool) -> bool:
    """Tell whether a body asks for its response to be stored."""
    store = body.get("store")
    return store if isinstance(store, bool) else default


def warnings_of(losses: Iterable[Loss]) -> dict[str, Any]:
    """Return the losses in the form in which a response is stored, so that GET shows them, too."""
    warnings = warning_rows(losses)
    return {"warnings": warnings} if warnings else {}


def is_terminal(frame: Frame) -> bool:
    """Tell whether a frame is the terminal event of a Responses stream."""
    return frame.event in TERMINAL and isinstance(frame.data, dict)


def complete_now(response: dict[str, Any]) -> None:
    """Set the time of completion on a response object that completed."""
    if response.get("status") == "completed":
        response["completed_at"] = int(time.time())


class TurnStorage(Protocol):
    """Where a host stores its turn."""

    def begin(self, turn: StoredTurn) -> None:
        """Write the row of the turn before its first request goes out; raises where that fails."""

    def events(self, turn: StoredTurn, frames: list[Frame]) -> list[dict[str, Any]]:
        """Return the events that are not yet in the turn's log, those of ``frames`` last."""

    def end(self, turn: StoredTurn, ending: Ending) -> bool:
        """Store the end; return False where the turn had another end already."""

    def failure(self, turn: StoredTurn, error: GatewayError) -> tuple[Mapping[str, Any], list[Frame]]:
        """Return the response object, and the frames, of a turn of which the client saw nothing."""

    def abandon(self, turn: StoredTurn) -> None:
        """Give up a turn whose end could not be stored."""


class StoredTurn:
    """The state of one Responses call in ``storage``; None for a turn that is not stored."""

    def __init__(self, call: Call, expansion: Expansion, storage: TurnStorage | None) -> None:
        self.call = call
        self.expansion = expansion
        self._storage = storage
        self._begun = False
        self._settled = False

    def follow(self, run: Run) -> None:
        """Begin with the run's first request and settle with its end."""
        run.on_attempt(lambda attempt: self.begin())
        run.on_terminal(self._settle)
        run.outcome.on_end(self._settle_failure)

    def begin(self) -> None:
        """Write the row before the first request goes out; further calls do nothing."""
        if self._storage is not None and not self._begun:
            self._storage.begin(self)
            self._begun = True

    def fail(self, error: GatewayError) -> None:
        """Store the end of a turn that ended in ``error`` before it ran."""
        self._settle_failure(Outcome(self.call, error=error))

    def new_row(self, mount: str, status: str, *, store: bool = True, **more: Any) -> NewResponse:
        """Return the row of this turn in ``status``; without ``store`` it belongs to no thread."""
        call, expansion = self.call, self.expansion
        if not store:
            expansion = replace(expansion, parent_id=None, conversation_id=None, conversation_head=None)
        return NewResponse(
            id=call.response_id or "",
            tenant=call.principal.tenant,
            object=self.shell(status),
            input=expansion.own,
            parent_id=expansion.parent_id,
            conversation_id=expansion.conversation_id,
            conversation_head=expansion.conversation_head,
            key_id=call.principal.identity,
            mount=mount,
            realm=call.realm,
            model=call.model,
            store=store,
            **more,
        )

    def shell(self, status: str, **more: Any) -> dict[str, Any]:
        """Return the response object of this turn in ``status``, without output."""
        return response_shell(
            self.call.body,
            id=self.call.response_id or "",
            created_at=self.call.created_at,
            model=self.call.model,
            status=status,
            **more,
        )

    def end_in(self, error: GatewayError) -> dict[str, Any]:
        """Return the response object of a turn that ended in ``error`` before it had output."""
        if error.kind.name in _CANCELLATIONS:
            return self.shell("cancelled")
        return self.shell("failed", error=failure_body(error))

    def _settle(self, outcome: Outcome, frames: list[Frame]) -> None:
        """Store an answer before it goes out.

        Raises where a success cannot be stored; a failure is stored if possible. An answer without a request
        begins the turn here."""
        if outcome.error is None:
            self.begin()
        if outcome.body is not None:
            complete_now(outcome.body)
            self._finish(outcome.body, outcome, [])
            outcome.body = strip_encrypted(outcome.body, self.call.body.get("include"))
            return
        for frame in filter(is_terminal, frames):
            complete_now(frame.data["response"])
            if outcome.error is None:
                self._finish(frame.data["response"], outcome, frames)
            else:
                self._finish_if_possible(frame.data["response"], outcome, frames)

    def _settle_failure(self, outcome: Outcome) -> None:
        """Store the end of a turn of which the client saw nothing."""
        if self._settled or outcome.error is None or self._storage is None or not self._begun:
            return
        response, frames = self._storage.failure(self, outcome.error)
        self._finish_if_possible(response, outcome, frames)

    def _finish_if_possible(self, response: Mapping[str, Any], outcome: Outcome, frames: list[Frame]) -> None:
        """Store an end that the caller already has; if that fails, the sweep marks the response lost."""
        if self._storage is None:
            return
        try:
            self._finish(response, outcome, frames)
        except GatewayError:
            self._storage.abandon(self)

    def _finish(self, response: Mapping[str, Any], outcome: Outcome, frames: list[Frame]) -> None:
        if self._settled or self._storage is None or not self._begun:
            return
        target = outcome.target
        final = _final_object(response, outcome)
        ending = Ending(
            status=str(final.get("status")),
            object=final,
            events=self._storage.events(self, frames),
            realm=target.provider.realm(target.key) if target else None,
            provider=target.provider.name if target else None,
            model=target.model if target else None,
            upstream_id=outcome.response.id if outcome.response else None,
            extra=warnings_of(outcome.losses),
        )
        stored = self._storage.end(self, ending)
        self._settled = True
        if not stored:
            raise GatewayError(
                "server_lost", "The response was ended by another process before it was complete."
            )


def _final_object(response: Mapping[str, Any], outcome: Outcome) -> Mapping[str, Any]:
    """Return the object to store: a cancelled one where the client left."""
    if outcome.error is not None and outcome.error.kind.name in _CANCELLATIONS:
        return {**response, "status": "cancelled", "error": None}
    return response


def expand(
    state: State | None, call: Call, *, accepted: bool = False, begins: bool = False, counts: bool = False
) -> Expansion:
    """Return what a call's body refers to, put before its input. Our own compactions become messages.

    Without ``state`` the body refers to nothing. ``accepted``: its row is written already, so what it
    refers to was there. ``begins``: it is going to be stored, so no other turn of its conversation may
    run: 409 ``conversation_locked``, before anything is read. ``counts``: no model will answer, so that
    a call may lack its output and a thought what follows it. Raises the contract's errors for unknown or contradictory references.
    """
    body = call.body
    items = as_items(body.get("input"))
    own_input = without_trigger(items)
    if not counts:
        check_thoughts(own_input)
    if state is None:
        _check_pairs(own_input, counts)
        return Expansion(own_input, [None] * len(own_input), own_input, changed=len(own_input) < len(items))
    expansion = state.history.expand(
        call.principal.tenant,
        own_input,
        previous_response_id=body.get("previous_response_id"),
        conversation=body.get("conversation"),
        accepted=accepted,
        begins=begins,
    )
    _check_pairs(expansion.input, counts)
    if len(own_input) < len(items):
        expansion = replace(expansion, changed=True)
    if not holds_compaction(expansion.input):
        return expansion
    return replace(
        expansion, input=open_items(expansion.input, state.sealer, call.principal.tenant), changed=True
    )


def without_trigger(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items without a ``compaction_trigger`` at their end; 400 for one that stands elsewhere."""
    for index, item in enumerate(items[:-1]):
        if item.get("type") == "compaction_trigger":
            raise GatewayError(
                "bad_request",
                "A 'compaction_trigger' must be the last item of 'input'.",
                param=f"input[{index}]",
                code="invalid_value",
            )
    return items[:-1] if items and items[-1].get("type") == "compaction_trigger" else items


def with_history(call: Call, expansion: Expansion) -> Call:
    """Return the call that asks providers with the history that ``expansion`` found."""
    if not (expansion.refers or expansion.changed):
        return call
    upstream_body = {**call.body, "input": expansion.input}
    thread = _thread_of(expansion) or call.thread
    return replace(call, upstream_body=upstream_body, realm=_realm_of(expansion), thread=thread)


def _check_pairs(items: Sequence[Mapping[str, Any]], counts: bool) -> None:
    check_tool_calls(items)
    if not counts:
        check_tool_outputs(items)


def refers(body: Mapping[str, Any]) -> bool:
    """Tell whether a body refers to anything stored."""
    if body.get("previous_response_id") is not None or body.get("conversation") is not None:
        return True
    return holds_compaction(body.get("input")) or holds_reference(body.get("input"))


def holds_reference(items: Any) -> bool:
    """Tell whether any input item refers to a stored one."""
    return isinstance(items, list) and any(map(is_reference, items))


def _thread_of(expansion: Expansion) -> str | None:
    """Return the conversation, or the first response of the chain, that a turn goes on from."""
    if expansion.conversation_id is not None or expansion.parent_id is None:
        return expansion.conversation_id
    first = next((source for source in expansion.sources if source is not None), None)
    return expansion.parent_id if first is None else first.response_id


def _realm_of(expansion: Expansion) -> str | None:
    """Return the realm of the newest stored turn, whose account may hold what it refers to."""
    for source in reversed(expansion.sources):
        realm = getattr(source, "realm", None)
        if realm is not None:
            return str(realm)
    return None
