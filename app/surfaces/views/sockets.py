"""The view of ``GET responses`` with an upgrade: a WebSocket with many turns, one at a time.

Tests: tests/surfaces/test_sockets.py.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from typing import Any, Final, NoReturn

import gevent
from flask import Response, current_app, g, request

from app.errors import GatewayError
from app.gateway.call import Abort
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.gateway.stored_turn import wants_store
from app.gateway.websocket_turn import Memory, SocketHost
from app.state.ids import new_request_id
from app.surfaces.body.reader import note_file_ids
from app.surfaces.body.validation import check_shape
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.credentials import KEY_IN_PROTOCOL, SUBPROTOCOLS, KeyRing
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import error_response, no_websocket
from app.surfaces.replies.envelope import FrameEnvelope
from app.surfaces.replies.response_shape import ResponseShape
from app.surfaces.replies.runs import pace
from app.surfaces.replies.stream_writer import StreamWriter
from app.surfaces.rules import current_rule
from app.surfaces.views.responses import in_responses_shape, require_prompt
from app.wire.fairness import Turns
from app.wire.json import dumps_ascii, loads
from app.wire.offload import aside
from app.wire.websocket import GOING_AWAY, NORMAL, PING_EVERY, POLICY, Refused, WebSocket, text_frame

_LOG: Final = logging.getLogger(__name__)
_LIFETIME: Final = 3600.0  # seconds of a connection, as at OpenAI
_HANDSHAKE: Final = ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", SUBPROTOCOLS)
_VERSION: Final = "13"  # of the protocol: RFC 6455, 4.1
_IN_PROGRESS: Final = "response_in_progress"
_CHECK: Final = object()
"""A message of our own: check whether the connection must end."""
_TOO_OLD: Final = "websocket_connection_limit_reached"


def connect(mount: Mount, deployment: str | None = None) -> Response:
    """Create responses over a WebSocket."""
    sock = request.environ.get("gunicorn.socket")
    if sock is None:
        raise no_websocket()
    if request.content_length or "Transfer-Encoding" in request.headers:
        raise GatewayError("bad_request", "A request that opens a WebSocket has no body.")
    if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise GatewayError("bad_request", "A WebSocket is opened by a request of HTTP/1.1.")
    if request.headers.get("Sec-WebSocket-Version", _VERSION) != _VERSION:
        return _other_version()
    if current_gateway().draining.is_set():
        raise _shutdown_error()
    return _Upgrade(Session(mount, deployment, sock))


def _other_version() -> Response:
    """Return the refusal of another version of the protocol, with the one that is spoken (RFC 6455, 4.4)."""
    g.refusal = GatewayError(
        "bad_request", f"This is not a WebSocket handshake: the version must be {_VERSION}.", status=426
    )
    response = error_response(g.refusal)
    response.headers.update({"Sec-WebSocket-Version": _VERSION, "Upgrade": "websocket"})
    return response


def _shutdown_error() -> GatewayError:
    return GatewayError(
        "server_shutdown", "The server is shutting down; try the request again.", retry_after=1
    )


class _Upgrade(Response):
    """The answer to a handshake: hands the connection to a session; the server closes it afterwards."""

    def __init__(self, session: Session) -> None:
        super().__init__(status=101)
        self._session = session
        session.check()

    def __call__(self, environ: Any, start_response: Any) -> NoReturn:
        del self.headers["content-type"], self.headers["content-length"]
        self._session.serve(self.headers.items())
        raise StopIteration  # gunicorn's worker closes the connection


class Session:
    """One connection, in the context of the request that opened it."""

    def __init__(self, mount: Mount, deployment: str | None, sock: Any) -> None:
        self._mount = mount
        self._deployment = deployment
        self._gateway = current_gateway()
        self._socket = WebSocket(
            sock,
            most=self._gateway.settings.max_body_bytes,
            own=lambda name: name.startswith(KEY_IN_PROTOCOL),  # a key, not a sub-protocol to speak
            ping_every=PING_EVERY,
            deadline=self._gateway.settings.body_deadline,
        )
        self._memory = Memory()
        self._end = Abort()
        self._turn: Any = None
        self._call_abort: Abort | None = None
        self._has_ended = True

    def check(self) -> None:
        """Prepare the answer to the handshake; raise GatewayError ``bad_request`` for an invalid one."""
        lines = ((name, request.headers[name]) for name in _HANDSHAKE if name in request.headers)
        try:
            self._socket.accept(lines)
        except Refused as refused:
            raise GatewayError(
                "bad_request", f"This is not a WebSocket handshake: {refused.why}.", status=refused.status
            ) from refused

    def serve(self, headers: Iterable[tuple[str, str]]) -> None:
        """Serve turns until either side ends the connection."""
        self._end.listen(self._post_check)
        self._gateway.sockets.add(self._end, g.principal)
        self._gateway.open_calls.add(self._end, g.principal)  # revoking a key ends it
        timer = gevent.spawn_later(_LIFETIME, self._end, _too_old())
        try:
            self._socket.open(headers)
            self._take_messages()
        finally:
            timer.kill()
            self._gateway.sockets.discard(self._end)
            self._gateway.open_calls.discard(self._end)
            self._stop()

    def _post_check(self) -> None:
        gevent.spawn(self._socket.messages.put, _CHECK)  # the caller must not wait for room

    def _take_messages(self) -> None:
        if self._gateway.draining.is_set():
            self._end(_shutdown_error())
        turns = Turns()
        for message in iter(self._socket.messages.get, None):
            turns.take()
            if message is not _CHECK:
                self._start_turn(message)
            elif self._has_ended and self._is_over():
                return

    def _is_over(self) -> bool:
        """Tell whether the connection must end, and close it with the reason."""
        reason = self._end.reason
        if reason is None:
            return False
        if reason.code == _TOO_OLD:
            self._write_error(reason)
            self._socket.close(NORMAL)
        else:
            is_shutdown = reason.kind.name == "server_shutdown"
            self._socket.close(GOING_AWAY if is_shutdown else POLICY, reason.message[:100])
        return True

    def _stop(self) -> None:
        """Stop the running turn, if the client left, and end the connection."""
        if self._call_abort is not None and not self._has_ended:
            self._call_abort(GatewayError("client_gone", "The client closed the connection."))
        if self._turn is not None:
            self._turn.join()
        self._socket.finish()

    def _start_turn(self, message: bytes) -> None:
        """Start the turn that a message asks for, or write what is wrong with the message."""
        try:
            body = _turn_body(message)
            if not self._has_ended:
                raise GatewayError(
                    "conflict",
                    "A response is in progress on this connection; wait until it has ended.",
                    code=_IN_PROGRESS,
                )
        except GatewayError as error:
            self._write_error(error)
            self._note(error)
            return
        if self._turn is not None:
            self._turn.join()  # its last message is out
        self._has_ended, self._call_abort = False, None
        self._turn = gevent.spawn(contextvars.copy_context().run, self._run_turn, body, len(message))

    def _run_turn(self, body: dict[str, Any], size: int) -> None:
        """Serve one turn; if it fails, the memory forgets the response that it continued."""
        previous, has_failed = body.get("previous_response_id"), True
        g.request_id, g.started, g.call = new_request_id(), time.monotonic(), None
        try:
            has_failed = self._answer(body, size)
        except GatewayError as error:
            self._refuse(error)
        except OSError as error:  # the client is gone or does not read; the writer ended the call
            _LOG.debug("a turn was abandoned: %s", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an error
            self._refuse(self._gateway.fault(error, g.request_id))
        if has_failed:
            self._memory.forget(previous)
        self._has_ended = True
        self._post_check()

    def _answer(self, body: dict[str, Any], size: int) -> bool:
        """Run a turn and write its events; return whether it failed."""
        keys: KeyRing = current_app.extensions["sluice_keys"]
        rule = current_rule()
        g.principal = keys.authenticate(rule.credentials, request)
        g.principal.check_operation(rule.served.name)
        run = self._begin_run(body, size)
        shape = ResponseShape(run.call.body).apply
        write = partial(self._encode, run, FrameEnvelope(self._mount, run.outcome), shape)
        writer = StreamWriter(
            run,
            pace(self._gateway.settings),
            write,
            partial(self._gateway.failure_frames, run.call),
            lambda error: self._gateway.fault(error, run.call.id),
        )
        writer.open()
        with closing(writer.chunks()) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                self._socket.write(chunk)
        return run.outcome.error is not None

    def _begin_run(self, body: dict[str, Any], size: int) -> Run:
        """Return the run of a turn."""
        generates = _generates(body)
        check_shape(current_rule(), body, size)
        body, may_leave_out, prefer = in_responses_shape(self._mount, body)
        store = wants_store(body, self._gateway.settings.store_by_default)
        call = make_call(
            self._mount,
            {**body, "stream": True},
            deployment=self._deployment,
            stream=True,
            size=size,
            may_leave_out=may_leave_out,
            prefer=prefer,
            host=SocketHost(self._mount.name, store, memory=self._memory, generates=generates),
            signs=True,
        )
        self._call_abort = call.abort
        if generates:
            require_prompt(body)
        return self._gateway.run(call)

    def _encode(self, run: Run, envelope: FrameEnvelope, shape: Any, batch: Batch | Repetition) -> bytes:
        """Return the messages of one write; after the last one the client may send another turn."""
        frames = envelope.seal(shape(batch.frames), last=batch.last)
        events = [frame.data for frame in frames if frame.data]
        for event in events:
            if event.get("type") == "error" and run.outcome.error is not None:
                event["status"] = run.outcome.error.status
        self._has_ended = self._has_ended or batch.last
        return b"".join(text_frame(dumps_ascii(event)) for event in events)

    def _refuse(self, error: GatewayError) -> None:
        """End a turn that has written nothing with an error."""
        if g.call is None:
            self._note(error)
        else:
            self._gateway.refuse(error, g.call)
        self._has_ended = True
        self._write_error(error)

    def _note(self, error: GatewayError) -> None:
        """Log and count a message that is no call."""
        self._gateway.note_request(
            current_rule().served.name,
            error,
            error.status,
            request_id=g.request_id,
            method=request.method,
            door=self._mount.name,
            key=g.principal.key,
            tenant=g.principal.tenant,
            ms=0,
        )

    def _write_error(self, error: GatewayError) -> None:
        """Write an error outside a stream; Open Responses' schema requires a string as its ``code``."""
        body = error.body()
        body["code"] = body["code"] or body["type"]
        try:
            self._socket.write(
                text_frame(dumps_ascii({"type": "error", "status": error.status, "error": body}))
            )
        except OSError as failure:
            _LOG.debug("an error could not be sent: %s", failure)


def _turn_body(message: bytes) -> dict[str, Any]:
    """Return the body of the turn that a message asks for; raise ``bad_request`` for any other message."""
    note_file_ids(request, message)
    value = aside(len(message), partial(loads, message, strict=True))
    if not isinstance(value, dict):
        raise GatewayError("bad_request", "A message must be a JSON object with 'type': 'response.create'.")
    kind = value.pop("type", None)
    if kind != "response.create":
        raise GatewayError(
            "bad_request",
            f"The message's type is {'missing' if kind is None else 'unknown'}; supported is 'response.create'.",
            param="type",
            code="missing_required_parameter" if kind is None else "invalid_value",
        )
    value.pop("stream", None)
    if value.pop("background", None) not in (None, False):
        raise GatewayError(
            "bad_request",
            "A turn on a WebSocket cannot run in the background; POST it with 'background': true.",
            param="background",
            code="unsupported_parameter",
        )
    return value


def _generates(body: dict[str, Any]) -> bool:
    """Remove ``generate`` from a body and return it, by default True; raise ``bad_request`` unless it is a boolean."""
    generate = body.pop("generate", None)
    if generate is None or isinstance(generate, bool):
        return generate is not False
    raise GatewayError(
        "bad_request",
        "Invalid type for 'generate': expected a boolean.",
        param="generate",
        code="invalid_type",
    )


def _too_old() -> GatewayError:
    return GatewayError(
        "bad_request",
        "This connection has reached its limit of 60 minutes; open a new one to continue.",
        code=_TOO_OLD,
    )
