"""One call through the gateway: its caller, what it wants, and its attempts.

These are values and small records; the work is in ``driver`` and the layers. ``outcome`` is how a call
ended. Tests: tests/behaviour, tests/golden.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from app.canonical.record import record
from app.canonical.request import Signature
from app.canonical.response import Usage
from app.config import Budget, Limit, ProviderKey, TargetMembers
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.allowances import Allowance
from app.operations import request_type
from app.providers.base import Provider
from app.state.budget_lines import NO_HISTORY, History
from app.state.ids import new_id
from app.state.ledger_rows import Entry


@record
class Principal:
    """The caller: the key's name, its tenant, what both may use, and the limits and budgets of each.

    ``id`` and ``digest`` identify a key of the database and its secret; they are None for keys of the
    configuration.
    """

    key: str
    tenant: str
    allowances: tuple[Allowance, ...] = ()
    admin: bool = False
    id: str | None = None
    digest: str | None = None
    limits: tuple[Limit, ...] = ()
    tenant_limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    tenant_budgets: tuple[Budget, ...] = ()
    history: History = NO_HISTORY

    @property
    def name(self) -> str:
        """Return the name of the key with that of its tenant."""
        return f"{self.tenant}/{self.key}"

    @property
    def identity(self) -> str:
        """Return what stored work knows the key by: a key of the database keeps it under a new name."""
        return self.id or self.key

    @property
    def owner(self) -> str:
        """Return what limits and budgets know the key by."""
        return f"{self.tenant}/{self.identity}"

    def allows(self, target: str, alias: str | None = None) -> bool:
        """Tell whether key and tenant allow ``provider/model``, to which the name ``alias`` may have led."""
        return not self.allowances or all(level.allows_model(target, alias) for level in self.allowances)

    def allows_provider(self, name: str) -> bool:
        """Tell whether key and tenant allow anything of a provider."""
        return all(level.allows_provider(name) for level in self.allowances)

    def check_operation(self, operation: str) -> None:
        """Raise ``forbidden`` for an operation that key or tenant does not allow."""
        if self.allowances:
            name = request_type(operation, False)
            if not all(level.allows_operation(name) for level in self.allowances):
                raise GatewayError("forbidden", f"This key may not make requests of the type '{name}'.")


def absent_owner(identity: str | None, tenant: str) -> Principal:
    """Return the owner of stored work, by the ``identity`` of its key alone: a key of the database by its id, which the log shows
    under its present name, and any other by its name."""
    name = identity or ""
    return Principal(name, tenant, id=name if name.startswith("key_") else None)


@record
class Target:
    """One place to try: a provider, the model id to send, the credential, and what the operator set for it."""

    provider: Provider
    model: str
    key: ProviderKey | None
    members: TargetMembers | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """Return ``provider/model``."""
        return f"{self.provider.name}/{self.model}"


class Abort:
    """The one way to stop a call from outside; the first reason wins.

    ``watch`` sets the upstream that is open now; ``__call__`` shuts its socket, so that the reader
    wakes with the reason. Listeners (client socket, waiters) are called once.
    """

    def __init__(self) -> None:
        self.reason: GatewayError | None = None
        self._upstream: Any = None
        self._listeners: list[Callable[[], None]] = []

    def __call__(self, reason: GatewayError) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        if self._upstream is not None:
            self._upstream.abort(reason)
        for listener in self._listeners:
            listener()

    def watch(self, upstream: Any) -> None:
        """Make ``upstream`` (None: nothing) the one that an abort closes."""
        self._upstream = upstream
        if upstream is not None and self.reason is not None:
            upstream.abort(self.reason)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` at the abort, at once if it already happened."""
        self._listeners.append(listener)
        if self.reason is not None:
            listener()

    def forget(self) -> None:
        """Drop the listeners of a call that is over, because they hold it."""
        self._listeners = []
        self._upstream = None

    def check(self) -> None:
        """Raise the reason if there is one."""
        if self.reason is not None:
            raise self.reason


@record
class Sealing:
    """How signatures enter and leave a surface's slots (``ServerContext.wrap``/``unwrap``)."""

    wrap: Callable[[Signature], str]
    unwrap: Callable[[str], Signature | None]


class FileHome(NamedTuple):
    """The account that holds a file: its provider and realm."""

    file_id: str
    provider: str
    realm: str


@dataclass(slots=True)
class Attempt:
    """One attempt of ``call`` at ``target``, which may make several requests.

    ``status`` is the upstream's, None where none came. ``usage`` and ``cost`` are estimated where the
    attempt broke off before the provider reported them. ``latency`` is in whole milliseconds, None while
    it runs; ``call`` is set until it is over; ``away`` is the time in seconds for which its requests were
    open. ``refused``: a layer let nothing go out. ``complete``: the provider's whole answer came.
    ``trace_parent`` goes to the provider. ``entry`` is its row of the ledger, None while it runs and where none is
    written. Listeners of ``on_close`` are called once, when the attempt is
    over.
    """

    call: Call
    target: Target
    status: int | None = None
    error: str | None = None
    latency: int | None = None
    away: float = 0.0
    usage: Usage | None = None
    cost: Mapping[str, Any] | None = None
    maybe_charged: bool = False
    refused: bool = False
    complete: bool = False
    trace_parent: str | None = None
    entry: Entry | None = None
    id: str = field(default_factory=partial(new_id, "att"))
    started: float = field(default_factory=time.monotonic)
    on_close: list[Callable[[], None]] = field(default_factory=list)

    @property
    def provider(self) -> str:
        """Return the provider's name."""
        return self.target.provider.name

    @property
    def model(self) -> str:
        """Return the model id that the provider gets."""
        return self.target.model

    @property
    def key(self) -> str | None:
        """Return the name of the provider's key."""
        return self.target.key.name if self.target.key else None

    def fail(self, error: GatewayError) -> None:
        """Note the error of this attempt; the first one stays."""
        self.error = self.error or error.code or error.kind.name
        self.maybe_charged = self.maybe_charged or bool(getattr(error, "maybe_charged", False))

    def close(self) -> None:
        """Note the end of this attempt; later calls change nothing."""
        if self.latency is not None:
            return
        self.latency = round((time.monotonic() - self.started) * 1000)
        listeners, self.on_close = self.on_close, []  # who listens may hold this record
        for listener in listeners:
            listener()

    def release(self) -> None:
        """Forget the call, which is over: it holds its attempts."""
        if hasattr(self, "call"):
            del self.call

    def row(self) -> dict[str, Any]:
        """Return the row of ``extra_fields.attempts``; an attempt that still runs has its time so far."""
        latency, target = self.latency, self.target
        if latency is None:
            latency = round((time.monotonic() - self.started) * 1000)
        return {
            "provider": target.provider.name,
            "model": target.model,
            "key": target.key.name if target.key else None,
            "status": self.status,
            "error": self.error,
            "latency": latency,
        }


@dataclass(slots=True)
class Progress:
    """What changes while a call runs; all copies of a call share one.

    ``last_error`` is that of the last attempt. ``refusal`` ends the whole
    call, whatever other targets there are. ``ended``: its outcome is closed. ``decoded`` is a body
    with its canonical request, ``route`` the targets once they are planned. ``headers`` go with any
    answer. ``passed_over`` is the refusal of targets that are at limits of their own. ``only_looks``: the
    call is explained and does not run. ``admitted``: allowances and limits admitted it. ``cached`` is
    ``hit``, ``miss`` or ``off``, and ``cache_debug`` says why. ``side_attempts`` are those of calls that it made beside
    its own attempts, over or not.
    """

    last_error: GatewayError | None = None
    refusal: GatewayError | None = None
    ended: bool = False
    decoded: tuple[Any, Any] | None = None
    route: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    passed_over: GatewayError | None = None
    span: Any = None
    admitted: bool = False
    only_looks: bool = False
    cached: str = "off"
    cache_debug: Mapping[str, Any] | None = None
    side_attempts: list[Attempt] = field(default_factory=list)


def _native_status(error: GatewayError) -> int:
    return error.status


@record
class Call:
    """What a surface wants from the gateway; a layer that changes something makes a copy.

    ``operation`` is what the surface offers, ``dialect`` the wire format that it reads and writes, ``body``
    the client's parsed JSON. ``stream``: the answer goes out as events, or bytes, as they come;
    ``shown_stream`` is False where the gateway streams although the client did not ask for events.
    ``model`` is the model string as the client wrote it, ``candidates`` are the model strings to try in
    order. ``response_id`` is the id of the answer, None to keep the upstream's. ``upstream_body`` replaces
    ``body`` for the provider once it has its history. ``left_out`` are losses before the first attempt;
    ``may_leave_out`` names features whose loss is a warning, whatever their class, ``provided`` those that the
    gateway itself provides. ``socket`` is the client's, watched while the call runs. ``prefer`` overrides the order of the target's wires.
    ``request`` is the canonical request where it is not decoded from the body. ``realm`` is preferred among
    the keys of a target, for the call has state that only this account can read. ``home`` is the account
    that holds its files, the only one that can serve it; ``names_files``: it may name files. ``thread`` is
    the conversation, or the first response, that it continues, its own response for a first turn. ``host``
    stores the turn of a Responses call, None for calls that are no turns. ``signs``: what providers need
    again of tool calls is restored, and stored where ``keeps_signatures``. ``keep_raw`` names what to keep
    of the exchange with the provider (``raw_request``, ``raw_response``). ``surface`` is the name of its surface,
    "" for none. ``status_of`` returns the status of an error there. ``leading`` are items of a Responses answer that
    come before what the provider answers. ``size`` is that of the body in bytes. ``created_at`` is in Unix seconds,
    ``deadline`` and ``started`` are monotonic. ``attempts`` are those so far, in order; all copies of a call share them.
    """

    id: str
    operation: str
    dialect: str
    body: Mapping[str, Any]
    model: str
    candidates: tuple[str, ...]
    principal: Principal
    abort: Abort
    sealing: Sealing
    deadline: float
    default_provider: str | None = None
    stream: bool = False
    shown_stream: bool = True
    strict: bool = False
    response_id: str | None = None
    upstream_body: Mapping[str, Any] | None = None
    left_out: tuple[Loss, ...] = ()
    may_leave_out: frozenset[str] = frozenset()
    provided: frozenset[str] = frozenset()
    client_headers: Mapping[str, str] = field(default_factory=dict)
    keep_raw: frozenset[str] = frozenset()
    socket: Any = None
    realm: str | None = None
    home: FileHome | None = None
    names_files: bool = False
    thread: str | None = None
    prefer: tuple[str, ...] | None = None
    request: Any = None
    host: Any = None
    signs: bool = False
    keeps_signatures: bool = True
    surface: str = ""
    status_of: Callable[[GatewayError], int] = _native_status
    leading: tuple[Mapping[str, Any], ...] = ()
    size: int = 0
    created_at: int = field(default_factory=lambda: int(time.time()))
    started: float = field(default_factory=time.monotonic)
    log_metadata: Mapping[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)

    @property
    def full_body(self) -> Mapping[str, Any]:
        """Return the body with its history, as providers get it."""
        return self.body if self.upstream_body is None else self.upstream_body

    def remaining(self) -> float:
        """Return the seconds left of the total; raises upstream_timeout at 0."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise GatewayError("upstream_timeout", "The request took longer than the total time allowed.")
        return left

    def elapsed_ms(self) -> int:
        """Return whole milliseconds since the call came in."""
        return round((time.monotonic() - self.started) * 1000)
