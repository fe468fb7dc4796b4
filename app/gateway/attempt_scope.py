"""One attempt within its layers: they are entered in order, and left in reverse with what the attempt ended in.

This is ``contextlib.ExitStack`` for layers, at a third of its cost, and without holding errors back.
Tests: tests/gateway/test_attempt_scope.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from app.errors import GatewayError
from app.gateway.call import Attempt
from app.gateway.redaction import Redactor

AttemptLayer = Callable[[Attempt], AbstractContextManager[Any]]
"""Entered before an attempt is made, left when it is over, whatever it ended in."""


class AttemptScope:
    """One attempt within its layers. A layer gets the error in which the attempt, or a layer within, ended;
    it may raise another, and cannot hold one back."""

    __slots__ = ("_attempt", "_entered", "_layers", "_redactor")

    def __init__(self, attempt: Attempt, layers: Sequence[AttemptLayer], redactor: Redactor) -> None:
        self._attempt = attempt
        self._layers = layers
        self._redactor = redactor
        self._entered: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> Attempt:
        attempt = self._attempt
        try:
            for make in self._layers:
                layer = make(attempt)
                layer.__enter__()
                self._entered.append(layer)
        except BaseException as error:  # noqa: BLE001 - the layers that were entered get it
            try:
                self._leave(error)
                raise
            except GatewayError as refusal:
                attempt.fail(self._redactor.error(refusal))
                attempt.close()
                raise
        attempt.refused = False
        return attempt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempt = self._attempt
        if isinstance(error, GatewayError):
            _tell_of_path(error, attempt)
            attempt.fail(self._redactor.error(error))
        attempt.call.abort.watch(None)
        attempt.close()
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Leave the layers, innermost first; raises what one of them raised last."""
        first = error
        while self._entered:
            layer = self._entered.pop()
            try:
                if error is None:
                    layer.__exit__(None, None, None)
                else:
                    layer.__exit__(type(error), error, error.__traceback__)
            except BaseException as raised:  # noqa: BLE001 - the layers around it get it
                error = raised
        try:
            if error is not None and error is not first:
                raise error
        finally:
            del error, first  # they would hold this frame, and it them


def _tell_of_path(error: GatewayError, attempt: Attempt) -> None:
    """Say what a base URL may lack, where the provider has nothing at the path that was asked for."""
    if attempt.status not in (404, 405):
        return
    if path := attempt.target.provider.missing_path():
        error.message += f" (The provider's base URL has no path; such an API is usually below '{path}'.)"
