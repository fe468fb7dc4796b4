"""The seam between the driver and one attempt's translation.

An ``Exchange`` knows how one call is put to one target and how the answer comes back in
the caller's dialect; it never touches a socket. The driver drives it. Tests: tests/golden, tests/replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.canonical.response import Finish, Response, Usage
from app.dialects.base import Frame
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from app.providers.base import Wire


@dataclass(slots=True)
class Sent:
    """One HTTP body to send: bytes (or an iterable with its length) and extra headers.

    ``wire`` replaces the exchange's own where this very request has its own path."""

    body: bytes | Iterable[bytes] | None
    headers: Mapping[str, str] = field(default_factory=dict)
    wire: Wire | None = None


@dataclass(slots=True)
class Received:
    """One whole upstream answer of success."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Fetch = Callable[[Sent], Received]
"""Sends one body over the exchange's wire; raises GatewayError for anything but success."""


@dataclass(slots=True)
class Answer:
    """An answer in the caller's dialect: JSON value, or bytes with ``media_type``.

    Of a stream it holds what the frames do not: the canonical response, usage and finish.
    ``cost`` is set by the driver; ``raw`` is the provider's own body."""

    body: Any
    media_type: str | None = None
    response: Response | None = None
    usage: Usage | None = None
    finish: Finish | None = None
    raw: Any = None
    cost: Mapping[str, Any] | None = None


class Translator(Protocol):
    """One upstream stream on its way to the caller's frames.

    ``content`` turns True with the first piece of content; frames given before that are
    lifecycle and may be held. ``ended`` turns True with the terminal frames. ``failure`` is
    set, and no frame given, when the upstream said it failed or ended without a terminal.
    """

    content: bool
    ended: bool
    failure: GatewayError | None
    usage: Usage | None
    finish: Finish | None

    def feed(self, event: str | None, data: Any) -> list[Frame]:
        """Take one upstream frame."""

    def done(self) -> list[Frame]:
        """Take ``[DONE]``."""

    def eof(self) -> list[Frame]:
        """Take the end of the body."""

    def whole(self, body: bytes) -> list[Frame]:
        """Take a whole JSON answer where a stream was asked for."""

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``."""

    def response(self) -> Response | None:
        """Return the canonical answer so far; partial is fine."""


class Exchange(Protocol):
    """How one call is put to one target."""

    wire: Wire
    losses: Losses
    passed: bool

    def send(self) -> Sent:
        """Return the request body; raises GatewayError for what the target cannot take."""

    def fetch(self, fetch: Fetch) -> Answer:
        """Get the whole answer, usually by one fetch."""

    def translator(self, headers: Mapping[str, str]) -> Translator:
        """Return what turns the upstream's stream into the caller's frames."""

    def estimate(self, response: Response) -> Usage | None:
        """Return an estimated usage for an answer, or a part of one, without usage."""

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read an upstream error; ``body`` is parsed JSON or text."""
