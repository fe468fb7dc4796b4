"""One Responses turn with its state: expanded from the store, written ahead, stored at its end.

The gateway keeps the state for every provider (architecture: state belongs to the gateway).
A turn is made before the call goes out and settled exactly once: with the terminal object
that the caller sees, or with what was known when it failed or was left.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.dialects.base import Frame
from app.dialects.responses.echo import failure_body, response_shell, strip_encrypted
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.call import Call, Outcome
from app.gateway.compaction import holds_compaction, opened
from app.gateway.signatures import keep_signatures
from app.state.history import Expansion, check_tool_calls
from app.state.ids import RESPONSE, new_id
from app.state.items import as_items, item_type
from app.state.records import Ending, Fence, NewResponse
from app.state.state import State

_LOG: Final = logging.getLogger(__name__)
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_LEFT: Final = frozenset({"client_gone", "cancelled"})


def wants_store(body: Mapping[str, Any], default: bool) -> bool:
    """Tell whether a body asks for its response to be stored."""
    store = body.get("store")
    return store if isinstance(store, bool) else default


def echo_body(body: Mapping[str, Any], store: bool) -> dict[str, Any]:
    """Return the body whose members the response object echoes."""
    return {**body, "store": store}


def told_losses(losses: Iterable[Loss]) -> dict[str, Any]:
    """Return what a stored response keeps of its losses, so that GET can tell them too."""
    told = [{"param": loss.param, "message": loss.message} for loss in losses]
    return {"warnings": told} if told else {}


def is_terminal(frame: Frame) -> bool:
    """Tell whether a frame is the terminal event of a Responses stream."""
    return frame.event in _TERMINAL and isinstance(frame.data, dict)


def complete_now(response: dict[str, Any]) -> None:
    """Set the time of completion on a response object that completed."""
    if response.get("status") == "completed":
        response["completed_at"] = int(time.time())


class Turn:
    """The state of one Responses call.

    ``state`` is None for a turn that neither stores nor refers to anything stored.
    """

    def __init__(self, state: State | None, call: Call, expansion: Expansion, *, store: bool) -> None:
        self.call = call
        self.store = store
        self._state = state
        self._expansion = expansion
        self._fence: Fence | None = None
        self._settled = False

    @property
    def include(self) -> Any:
        """Return the caller's ``include`` list."""
        return self.call.body.get("include")

    def begin(self, mount: str) -> None:
        """Write the row ahead of the upstream call, where the turn is stored."""
        if self._state is not None and self.store:
            row = self.new_row(mount, "in_progress", extra={"model": self.call.model})
            self._fence = self._state.responses.create(row)

    def new_row(self, mount: str, status: str, **more: Any) -> NewResponse:
        """Return the row of this turn in ``status``."""
        call = self.call
        return NewResponse(
            id=call.response_id or "",
            tenant=call.principal.tenant,
            object=self.shell(status),
            input=self._expansion.own,
            parent_id=self._expansion.parent_id,
            conversation_id=self._expansion.conversation_id,
            conversation_head=self._expansion.conversation_head,
            key_id=call.principal.key,
            mount=mount,
            realm=call.realm,
            model=call.model,
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

    def settle_whole(self, outcome: Outcome) -> dict[str, Any]:
        """Store the answer of a JSON call; return it as the caller shall see it."""
        self._keep_signatures(outcome)
        complete_now(outcome.body)
        try:
            self._finish(outcome.body, outcome)
        except GatewayError:
            self._abandon()
            raise
        return strip_encrypted(outcome.body, self.include)

    def settle_frames(self, outcome: Outcome, frames: list[Frame]) -> None:
        """Store what the last frames of a stream say, before they go out.

        Raises where a success cannot be stored; a failure is stored if it can be."""
        self._keep_signatures(outcome)
        for frame in frames:
            if not is_terminal(frame):
                continue
            complete_now(frame.data["response"])
            if outcome.error is None:
                self._finish(frame.data["response"], outcome)
            else:
                self._finish_if_possible(frame.data["response"], outcome)

    def settle_failure(self, outcome: Outcome) -> None:
        """Store the end of a stream of which nothing was shown."""
        if not self._settled and outcome.error is not None:
            self.settle_error(outcome.error, outcome)

    def settle_error(self, error: GatewayError, outcome: Outcome | None = None) -> None:
        """Store the end of a call that failed in ``error``."""
        outcome = outcome or Outcome(self.call, error=error)
        if error.kind.name in _LEFT:
            ended = self.shell("cancelled")
        else:
            ended = self.shell("failed", error=failure_body(error))
        self._finish_if_possible(ended, outcome)

    def _finish_if_possible(self, ended: Mapping[str, Any], outcome: Outcome) -> None:
        """Store an end that the caller has already; else the sweep marks the response lost."""
        try:
            self._finish(ended, outcome)
        except GatewayError:
            self._abandon()

    def _finish(self, ended: Mapping[str, Any], outcome: Outcome) -> None:
        if self._settled or self._state is None or self._fence is None:
            return
        target = outcome.target
        left = self._left(ended, outcome)
        ending = Ending(
            status=str(left.get("status")),
            object=left,
            realm=target.provider.realm(target.key) if target else None,
            provider=target.provider.name if target else None,
            model=target.model if target else None,
            upstream_id=outcome.response.id if outcome.response else None,
            extra=told_losses(outcome.losses),
        )
        kept = self._state.responses.finish(
            self.call.principal.tenant, self.call.response_id or "", self._fence, ending
        )
        self._settled = True
        if not kept:
            raise GatewayError(
                "server_lost", "The response was ended by another process before it was complete."
            )

    @staticmethod
    def _left(ended: Mapping[str, Any], outcome: Outcome) -> Mapping[str, Any]:
        """Return the object to store: cancelled when it was the client that left."""
        if outcome.error is not None and outcome.error.kind.name in _LEFT:
            return {**ended, "status": "cancelled", "error": None}
        return ended

    def _abandon(self) -> None:
        if self._state is not None and self._fence is not None:
            self._state.responses.abandon(self.call.response_id or "")

    def _keep_signatures(self, outcome: Outcome) -> None:
        if self._state is not None:
            keep_signatures(self._state, self.call, outcome)


def open_turn(
    state: State | None, call: Call, *, store: bool, response_id: str | None = None, accepted: bool = False
) -> Turn:
    """Expand a call from the store and return its turn; the call then has its id and history.

    ``accepted``: its row is written already, so what it refers to was there. Raises the
    contract's errors for unknown or contradictory references.
    """
    call.body = echo_body(call.body, store)
    call.response_id = response_id or new_id(RESPONSE)
    begins = store and not accepted
    return Turn(state, call, expand(state, call, accepted=accepted, begins=begins), store=store)


def expand(state: State | None, call: Call, *, accepted: bool = False, begins: bool = False) -> Expansion:
    """Put what a call's body refers to before its input; the call then has its history.

    Without ``state`` the body refers to nothing. Our own compactions become messages.
    """
    body = call.body
    if state is None:
        items = as_items(body.get("input"))
        check_tool_calls(items)
        return Expansion(items, [None] * len(items), items)
    expansion = state.history.expand(
        call.principal.tenant,
        body.get("input"),
        previous_response_id=body.get("previous_response_id"),
        conversation=body.get("conversation"),
        accepted=accepted,
        begins=begins,
    )
    items = expansion.input
    check_tool_calls(items)
    if holds_compaction(items):
        items = opened(items, state.sealer, call.principal.tenant)
    if expansion.refers or items is not expansion.input:
        call.upstream_body = {**body, "input": items}
        call.realm = _realm_of(expansion)
    return expansion


def refers(body: Mapping[str, Any]) -> bool:
    """Tell whether a body refers to anything stored."""
    if body.get("previous_response_id") is not None or body.get("conversation") is not None:
        return True
    return holds_compaction(body.get("input")) or holds_reference(body.get("input"))


def holds_reference(items: Any) -> bool:
    """Tell whether any input item refers to a stored one."""
    return isinstance(items, list) and any(
        isinstance(item, dict) and item_type(item) == "item_reference" for item in items
    )


def _realm_of(expansion: Expansion) -> str | None:
    """Return the realm of the newest stored turn, whose account may hold what it refers to."""
    for source in reversed(expansion.sources):
        realm = getattr(source, "realm", None)
        if realm is not None:
            return str(realm)
    return None
