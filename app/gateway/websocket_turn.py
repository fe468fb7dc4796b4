"""The turn of a message on a WebSocket: like a request's, but turns that are not stored stay in memory.

Tests: tests/surfaces/test_sockets.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.response import Choice, Finish, Response
from app.dialects.base import Frame
from app.gateway.call import Call
from app.gateway.compaction import frames_of
from app.gateway.compaction_items import holds_compaction
from app.gateway.exchange import Answer
from app.gateway.layers.base import Proceed, Services
from app.gateway.offload import aside_for
from app.gateway.outcome import Outcome
from app.gateway.request_turn import RequestHost
from app.gateway.run import Batch, Run
from app.gateway.stored_turn import StoredTurn, expand, holds_reference, with_history
from app.responses_form.items import as_items, call_id_of, is_reference, item_type, normalise
from app.state.records import EXPANDED_MAX
from app.state.state import State
from app.wire.json import dumps

_VISIBLE: Final = frozenset({"response.created", "response.completed"})

Items = Sequence[dict[str, Any]]


@record
class Past:
    """A thread up to one of its turns: all its items, their size in bytes, and the realm of the account that
    answered last."""

    items: tuple[dict[str, Any], ...]
    size: int
    realm: str | None


@dataclass(slots=True)
class Memory:
    """The turns of one connection that are not stored, by the ids of their responses.

    The oldest are forgotten where all together have more than ``max_bytes``."""

    max_bytes: int = EXPANDED_MAX
    _turns: OrderedDict[str, Past] = field(default_factory=OrderedDict)
    _size: int = 0

    def find(self, response_id: Any) -> Past | None:
        """Return the thread that ends in a response, None where it is not in memory."""
        return self._turns.get(response_id) if isinstance(response_id, str) else None

    def add(self, response_id: str, past: Past) -> None:
        """Remember a thread."""
        self._turns[response_id] = past
        self._size += past.size
        while self._size > self.max_bytes:
            _, forgotten = self._turns.popitem(last=False)
            self._size -= forgotten.size

    def forget(self, response_id: Any) -> None:
        """Forget a response, if it is in memory."""
        past = self.find(response_id)
        if past is not None:
            del self._turns[response_id]
            self._size -= past.size


@record
class SocketHost(RequestHost):
    """A message on a connection with ``memory``. Without ``generates`` no model answers it."""

    memory: Memory = field(default_factory=Memory)
    generates: bool = True

    def _state(self, services: Services, call: Call) -> State | None:
        past = self.memory.find(call.body.get("previous_response_id"))
        if past is None or holds_reference(call.body.get("input")):
            return RequestHost._state(self, services, call)
        items = call.body.get("input")
        if holds_compaction(past.items):
            items = past.items
        body = {**call.body, "previous_response_id": None, "input": items}
        return RequestHost._state(self, services, replace(call, body=body))

    def _expand(self, services: Services, state: State | None, call: Call) -> StoredTurn:
        past = self.memory.find(call.body.get("previous_response_id"))
        if past is None or call.body.get("conversation") is not None:
            return RequestHost._expand(self, services, state, call)
        body = {**call.body, "previous_response_id": None, "input": _join(past.items, call.body)}
        expansion = replace(expand(state, replace(call, body=body), begins=self.store), changed=True)
        expanded = replace(with_history(call, expansion), realm=past.realm)
        call.progress.route = services.plan(expanded)
        return StoredTurn(expanded, expansion, self._storage(state))

    def _answer(self, services: Services, turn: StoredTurn, proceed: Proceed) -> Run:
        run = (
            RequestHost._answer(self, services, turn, proceed)
            if self.generates
            else _empty(services, turn.call)
        )
        if not self.store:
            run.on_terminal(lambda outcome, frames: self._remember(turn, outcome, frames))
        return run

    def _remember(self, turn: StoredTurn, outcome: Outcome, frames: list[Frame]) -> None:
        """Remember a turn that succeeded, before its client gets the end."""
        ends = [frame.data["response"] for frame in frames if _is_end(frame)]
        if outcome.error is not None or not ends:
            return
        call, target = turn.call, outcome.target
        items = (*turn.expansion.input, *ends[-1]["output"])
        size = len(aside_for(call, lambda: dumps(items)))
        realm = target.provider.realm(target.key) if target else call.realm
        self.memory.add(call.response_id or "", Past(items, size, realm))


def _is_end(frame: Frame) -> bool:
    return frame.event in ("response.completed", "response.incomplete") and isinstance(frame.data, dict)


def _join(past: Items, body: Any) -> list[dict[str, Any]]:
    """Return the items of a thread, then those of a body that the thread does not have."""
    known = {one["id"]: one for one in past if isinstance(one.get("id"), str)}
    new = [one for one in as_items(body.get("input")) if not _repeats(one, known)]
    answered = {call_id_of(one) for one in (*past, *new) if item_type(one).endswith("_output")}
    return [*(one for one in past if not _is_cut_off(one, answered)), *new]


def _repeats(one: dict[str, Any], known: dict[str, dict[str, Any]]) -> bool:
    same = known.get(str(one.get("id", "")))
    return same is not None and (is_reference(one) or normalise(one) == normalise(same))


def _is_cut_off(one: dict[str, Any], answered: set[Any]) -> bool:
    """Tell whether an item is reasoning or a call that an interrupted turn left unfinished."""
    unfinished = one.get("status") in ("incomplete", "in_progress") and one.get("type") != "message"
    return unfinished and call_id_of(one) not in answered


def _empty(services: Services, call: Call) -> Run:
    """Return the run of a turn whose input is taken and that has no answer."""

    def source(run: Run) -> Generator[Batch, None, None]:
        response = Response(None, None, (Choice(0, (), Finish("stop")),))
        frames = [frame for frame in frames_of(call, response, call.model) if frame.event in _VISIBLE]
        yield Batch(frames, last=True, content=True, answer=Answer(None, response=response))

    return services.feed(call, source)
