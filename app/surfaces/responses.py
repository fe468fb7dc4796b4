"""The view of ``POST responses``: a turn is opened, run and stored; or queued for background."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import gevent
from flask import Response, g

from app.dialects.base import Frame
from app.dialects.responses.chat_shape import is_chat_shaped, to_responses_body
from app.dialects.responses.echo import strip_encrypted
from app.dialects.responses.obfuscation import pad
from app.errors import GatewayError
from app.gateway.background import job_extra, job_headers
from app.gateway.call import Call, Outcome, Target
from app.gateway.core import Gateway
from app.gateway.turns import Turn, open_turn, refers, wants_store
from app.state.conversationrows import LOCKED
from app.surfaces.answers import outcome_headers
from app.surfaces.calls import answer_stream, answer_whole, current_gateway, make_call
from app.surfaces.generation import checked_body
from app.surfaces.mounts import Mount
from app.surfaces.stored import follow

_CONVERSATION_WAIT: Final = 5.0  # seconds that a turn waits for the one before it
_CONVERSATION_LOOK: Final = 0.1
_PROMPTS: Final = ("input", "previous_response_id", "conversation", "prompt")


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST responses``."""
    gateway = current_gateway()
    body, may_leave_out, prefer = _body(mount)
    background = body.get("background") is True
    store = wants_store(body, gateway.settings.store_by_default)
    if background and not store:
        raise GatewayError(
            "bad_request",
            "A background response must be stored: 'background' needs 'store' to be true.",
            param="background",
            code="unsupported_parameter",
        )
    call = make_call(
        mount,
        body,
        deployment=deployment,
        stream=body.get("stream") is True,
        background=background,
    )
    call.may_leave_out, call.prefer = may_leave_out, prefer
    g.call = call
    _require_prompt(body)
    turn, target = _begun(gateway, mount, call, store=store, background=background)
    if not background:
        return _run(gateway, mount, turn)
    if call.stream:
        headers = outcome_headers(Outcome(call, target))
        return follow(gateway, call.response_id or "", -1, headers)
    return answer_whole(mount, call, Outcome(call, target, turn.shell("queued")))


def _require_prompt(body: Mapping[str, Any]) -> None:
    """Raise 400 for a body that asks nothing and goes on from nothing."""
    if all(body.get(name) is None for name in _PROMPTS):
        raise GatewayError(
            "bad_request",
            "Missing required parameter: 'input'. One of 'input', 'previous_response_id', 'conversation' "
            "and 'prompt' must be given.",
            param="input",
            code="missing_required_parameter",
        )


def _begun(
    gateway: Gateway, mount: Mount, call: Call, *, store: bool, background: bool
) -> tuple[Turn, Target]:
    """Open a turn and write its row; wait a while for the turn that its conversation is in."""
    limit = time.monotonic() + _CONVERSATION_WAIT
    while True:
        try:
            return _begin(gateway, mount, call, store=store, background=background)
        except GatewayError as error:
            if error.code != LOCKED or time.monotonic() >= limit:
                raise
        call.request = call.upstream_body = None
        gevent.sleep(_CONVERSATION_LOOK)


def _begin(
    gateway: Gateway, mount: Mount, call: Call, *, store: bool, background: bool
) -> tuple[Turn, Target]:
    needs_state = store or refers(call.body)
    turn = open_turn(gateway.state() if needs_state else None, call, store=store)
    gateway.restore_signatures(call)
    target = gateway.first_target(call, encoded=background)
    if background:
        _queue(gateway, mount, turn)
    else:
        turn.begin(mount.name)
    return turn, target


def _body(mount: Mount) -> tuple[dict[str, Any], frozenset[str], tuple[str, ...] | None]:
    """Return the Responses body, what of a chat-shaped one may be left out, and preferred wires."""
    body = checked_body()
    if not (mount.chat_shaped and is_chat_shaped(body)):
        return body, frozenset(), None
    shaped, may_leave_out = to_responses_body(body)
    return shaped, frozenset(may_leave_out), ("chat", "responses")


def _queue(gateway: Gateway, mount: Mount, turn: Turn) -> None:
    """Queue a background turn."""
    call = turn.call
    row = turn.new_row(
        mount.name,
        "queued",
        background=True,
        stream=call.stream,
        request=dict(call.body),
        headers=job_headers(call, gateway.router.targets(call)),
        extra=job_extra(call),
    )
    gateway.state().queue.enqueue(row)


def _run(gateway: Gateway, mount: Mount, turn: Turn) -> Response:
    call = turn.call
    if not call.stream:
        try:
            outcome = gateway.answer(call)
        except GatewayError as error:
            turn.settle_error(error)
            raise
        outcome.body = turn.settle_whole(outcome)
        return answer_whole(mount, call, outcome)
    run = gateway.stream(call, turn.settle_frames)
    run.outcome.on_end(turn.settle_failure)
    return answer_stream(
        mount,
        call,
        run,
        fail=lambda error: gateway.failure_frames(call, error),
        done_frame=gateway.settings.responses_done,
        shape=_shaper(call),
    )


def _shaper(call: Call) -> Callable[[list[Frame]], list[Frame]]:
    """Return what the caller's own wishes change in frames: encrypted reasoning, padding."""
    include = call.body.get("include")
    options = call.body.get("stream_options")
    padded = not (isinstance(options, dict) and options.get("include_obfuscation") is False)
    random = _Random()

    def shape(frames: list[Frame]) -> list[Frame]:
        stripped = [Frame(f.event, strip_encrypted(f.data, include)) if f.data else f for f in frames]
        return [Frame(f.event, pad(f.data, random.take)) if padded and f.data else f for f in stripped]

    return shape


class _Random:
    """Random text for padding; the system is asked once for many pieces."""

    def __init__(self) -> None:
        self._text = ""

    def take(self, length: int) -> str:
        """Return so many characters that nobody was given before."""
        if len(self._text) < length:
            self._text = secrets.token_hex(512 + length)
        piece, self._text = self._text[:length], self._text[length:]
        return piece
