"""Pass on wires whose bodies need few changes: model, stream, and signatures that we sealed.

Each wire says how its body names the model and where signatures stand in a history; the
answer goes back as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.canonical.request import Signature
from app.canonical.response import Response, Usage
from app.dialects.base import Frame, PassThrough
from app.errors import GatewayError

Body = dict[str, Any]

FOREIGN_REASONING_LOST: Final = "Reasoning made by another provider was left out."


class Opener:
    """Opens the signatures of one request for its target."""

    def __init__(self, passage: PassThrough, dialect: str, param: str) -> None:
        self._passage = passage
        self._dialect = dialect
        self._param = param

    def open(self, text: Any) -> tuple[bool, str | None]:
        """Return whether a text is a token of ours, and the value in it that the target takes
        back; what it does not take is None and reported."""
        signature: Signature | None = self._passage.server.unwrap(text) if isinstance(text, str) else None
        if signature is None:
            return False, None
        if self._passage.client.accepts(signature, self._dialect):
            return True, signature.value
        self._passage.client.losses.report("reasoning_signature", FOREIGN_REASONING_LOST, param=self._param)
        return True, None


class PlainPatch:
    """What changes in bodies of one wire: ``fit`` writes the request's copy.

    Where a stream tells no usage, the frame that should have told it waits in ``_waiting`` for ours, and
    what comes behind it waits, too."""

    breaks_fail: Final = False

    def __init__(self, passage: PassThrough, fit: Callable[[Body, PassThrough], Body]) -> None:
        self._passage = passage
        self._fit = fit
        self._waiting: list[Frame] = []

    def request(self) -> Body:
        """Return the caller's body for the target."""
        names = self._passage.body.get("fallbacks")
        ours = isinstance(names, list) and all(isinstance(name, str) for name in names)
        body = {k: v for k, v in self._passage.body.items() if not (k == "fallbacks" and ours)}
        return self._fit(body, self._passage)

    def answer(self, body: Body) -> Body:
        """Return the answer as it came."""
        return body

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame as it came."""
        return [Frame(event, data)]

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the frames that waited, with the usage in the first: the upstream's own frames end the stream."""
        if self._waiting and usage is not None:
            self._write_usage(self._waiting[0].data, usage)
        waited, self._waiting = self._waiting, []
        return waited

    def _write_usage(self, data: Body, usage: Usage) -> None:
        """Put the usage where its frame tells it."""

    def _forward(self, frame: Frame, *, lacks_usage: bool) -> list[Frame]:
        if lacks_usage or self._waiting:
            self._waiting.append(frame)
            return []
        return [frame]

    def fail(self, error: GatewayError, answer: Response, usage: Usage | None) -> list[Frame] | None:
        """Leave the ending to the encoder."""
        return None
