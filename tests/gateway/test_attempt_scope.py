"""Layers around an attempt hear what ``contextlib.ExitStack`` would tell them, whichever of them fails where."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.errors import GatewayError
from app.gateway.attempt_scope import AttemptScope
from app.gateway.call import Abort, Attempt

_FAULTS = st.sampled_from([None, "rate_limited", "internal", ValueError, GeneratorExit])


def _raise(fault: Any, where: str) -> None:
    if isinstance(fault, str):
        raise GatewayError(fault, where)
    if fault is not None:
        raise fault(where)


class Layer:
    """Writes down what it hears, and fails as it is told."""

    def __init__(self, name: int, faults: tuple[Any, Any], heard: list[Any]) -> None:
        self.name, self.faults, self.heard = name, faults, heard

    def __enter__(self) -> None:
        self.heard.append(("entered", self.name))
        _raise(self.faults[0], f"enter {self.name}")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.heard.append(("left", self.name, kind, str(error)))
        _raise(self.faults[1], f"leave {self.name}")


def _run(scope: Any, heard: list[Any], body: Any) -> str:
    try:
        with scope:
            heard.append("body")
            _raise(body, "body")
    except BaseException as error:
        return repr(error)
    return "well"


@given(st.lists(st.tuples(_FAULTS, _FAULTS), max_size=4), _FAULTS)
def test_layers_hear_what_an_exit_stack_would_tell(faults: list[tuple[Any, Any]], body: Any) -> None:
    ours: list[Any] = []
    call = SimpleNamespace(abort=Abort())
    attempt = Attempt(call, SimpleNamespace(), refused=True)  # type: ignore[arg-type]
    makers = [lambda _, n=n, pair=pair: Layer(n, pair, ours) for n, pair in enumerate(faults)]
    redactor: Any = SimpleNamespace(error=lambda error: error)
    end = _run(AttemptScope(attempt, makers, redactor), ours, body)

    theirs: list[Any] = []

    class Reference:
        def __enter__(self) -> None:
            self.stack = ExitStack()
            try:
                for number, pair in enumerate(faults):
                    self.stack.enter_context(Layer(number, pair, theirs))
            except BaseException as error:
                if not self.stack.__exit__(type(error), error, error.__traceback__):
                    raise

        def __exit__(self, *raised: Any) -> None:
            self.stack.__exit__(*raised)

    assert (end, ours) == (_run(Reference(), theirs, body), theirs)
    went_out = "body" in ours
    assert attempt.refused is not went_out
    if went_out:
        assert attempt.latency is not None
        assert (attempt.error is not None) is isinstance(body, str)
