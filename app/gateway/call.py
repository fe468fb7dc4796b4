"""One call through the gateway: who asks, for what, which targets were tried, what came.

Values and small records only; the work is in ``dispatch`` and ``streaming``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from app.canonical.request import Signature
from app.canonical.response import Finish, Response, Usage
from app.config import ProviderKey
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: the key's name, its tenant and the models it may use (None: all)."""

    key: str
    tenant: str
    models: tuple[str, ...] | None = None
    admin: bool = False

    def allows(self, target: str) -> bool:
        """Tell whether ``provider/model`` is allowed for this key."""
        return self.models is None or any(fnmatchcase(target, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Target:
    """One place to try: a provider, the model id to send, and the credential."""

    provider: Provider
    model: str
    key: ProviderKey | None

    @property
    def label(self) -> str:
        """Return ``provider/model``."""
        return f"{self.provider.name}/{self.model}"


@dataclass(slots=True)
class Attempt:
    """One try at a target; ``status`` is the upstream's, None where none came.

    ``latency`` is in whole milliseconds, None while it runs."""

    provider: str
    model: str
    key: str | None
    status: int | None = None
    error: str | None = None
    latency: int | None = None
    maybe_charged: bool = False
    started: float = field(default_factory=time.monotonic)

    def close(self, error: GatewayError | None = None) -> None:
        """Note the end of this try and what it ended in."""
        if self.latency is None:
            self.latency = round((time.monotonic() - self.started) * 1000)
        if error is not None:
            self.error = error.code or error.kind.name

    def shown(self) -> dict[str, Any]:
        """Return the row of ``extra_fields.attempts``; a try that still runs tells its time so far."""
        latency = self.latency
        if latency is None:
            latency = round((time.monotonic() - self.started) * 1000)
        return {
            "provider": self.provider,
            "model": self.model,
            "key": self.key,
            "status": self.status,
            "error": self.error,
            "latency": latency,
        }


class Abort:
    """The one way to stop a call from outside: the first reason wins.

    ``watch`` is told which upstream is open now; ``__call__`` shuts its socket, so that
    the reader wakes with the reason. Listeners hear of it once (client socket, waiters).
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

    def check(self) -> None:
        """Raise the reason if there is one."""
        if self.reason is not None:
            raise self.reason


@dataclass(frozen=True, slots=True)
class Sealing:
    """How signatures enter and leave a surface's slots (``ServerContext.wrap``/``unwrap``)."""

    wrap: Callable[[Signature], str]
    unwrap: Callable[[str], Signature | None]


@dataclass(slots=True)
class Call:
    """What a surface asks the gateway for.

    ``operation`` is what the surface offers; ``dialect`` the wire format it reads and
    writes; ``body`` the client's parsed JSON. ``shown_stream`` is False where the gateway
    streams although the client did not ask for events.
    ``model`` is the model string as the client wrote it, ``candidates`` the model strings
    to try in order. ``response_id`` is the id the answer shall have, None to keep the
    upstream's. ``upstream_body`` replaces ``body`` for the provider once history was
    expanded. ``left_out`` was lost before dispatch; ``may_leave_out`` names features whose loss
    is a warning here, whatever their class. ``socket`` is the client's, watched while the call runs. ``prefer`` overrides
    the order of the target's wires. ``request`` is the canonical request, decoded once.
    ``realm`` is preferred among the keys of a target: the call holds state that only that
    account can read. ``on_attempt`` hears of each try before it is made and returns what hears of
    its end. ``keep_raw`` names what to keep of the exchange with the provider (``raw_request``,
    ``raw_response``). ``created_at`` is in Unix seconds, ``deadline`` monotonic.
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
    client_headers: Mapping[str, str] = field(default_factory=dict)
    keep_raw: frozenset[str] = frozenset()
    socket: Any = None
    realm: str | None = None
    prefer: tuple[str, ...] | None = None
    request: Any = None
    created_at: int = field(default_factory=lambda: int(time.time()))
    started: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    on_attempt: Callable[[Attempt, Target], Callable[[], None]] | None = None
    last_error: GatewayError | None = None
    log_metadata: Mapping[str, str] = field(default_factory=dict)

    def remaining(self) -> float:
        """Return the seconds left of the total; raises upstream_timeout at 0."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise GatewayError("upstream_timeout", "The request took longer than the total time allowed.")
        return left

    def elapsed_ms(self) -> int:
        """Return whole milliseconds since the call came in."""
        return round((time.monotonic() - self.started) * 1000)


@dataclass(slots=True)
class Outcome:
    """What a call came to; the same record whether passed, translated, aborted or failed.

    ``body`` is the JSON answer in the surface's dialect (or bytes with ``media_type``).
    ``response`` is the canonical answer where one was decoded. ``cost`` is the cost object
    or None. ``losses`` are warnings. Times are monotonic seconds.
    """

    call: Call
    target: Target | None = None
    body: Any = None
    media_type: str | None = None
    response: Response | None = None
    usage: Usage | None = None
    cost: Mapping[str, Any] | None = None
    finish: Finish | None = None
    losses: list[Loss] = field(default_factory=list)
    error: GatewayError | None = None
    upstream_ms: int | None = None
    first_content: float | None = None
    raw_request: Any = None
    raw_response: Any = None
    passed: bool = False
    _listeners: list[Callable[[Outcome], None]] = field(default_factory=list)
    _ended: bool = False

    def on_end(self, listener: Callable[[Outcome], None]) -> None:
        """Call ``listener`` once, when the call is over however it ended."""
        self._listeners.append(listener)

    def end(self, error: GatewayError | None = None) -> None:
        """Close the record; later calls change nothing."""
        if self._ended:
            return
        self._ended = True
        self.error = self.error or error
        for listener in self._listeners:
            listener(self)
