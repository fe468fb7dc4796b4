"""The end of a call: told once, to everyone, in order, after whatever else belongs to it."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.call import Abort, Call, Principal, Sealing
from app.gateway.exchange import Answer
from app.gateway.outcome import Outcome
from app.gateway.run import Batch, Run


def call(*, stream: bool = False) -> Call:
    return Call(
        id="req_1",
        operation="chat",
        dialect="chat",
        body={},
        model="x",
        candidates=("x",),
        principal=Principal("key", "tenant"),
        abort=Abort(),
        sealing=Sealing(lambda signature: "", lambda text: None),
        deadline=time.monotonic() + 60,
        stream=stream,
    )


def fault(error: Exception, request_id: str | None) -> GatewayError:
    return GatewayError("internal", repr(error))


def whole(run: Run) -> Generator[Batch, None, None]:
    yield Batch([], last=True, answer=Answer({"a": 1}))


def streamed(run: Run) -> Generator[Batch, None, None]:
    yield Batch([Frame(None, {"n": 1})], last=False, content=True)
    yield Batch([Frame(None, {"n": 2})], last=True, content=True, answer=Answer(None))


def failing(run: Run) -> Generator[Batch, None, None]:
    raise GatewayError("upstream_error", "no")
    yield


def broken(run: Run) -> Generator[Batch, None, None]:
    raise ZeroDivisionError
    yield


def test_each_listener_hears_of_the_end_whatever_another_raises() -> None:
    heard: list[str] = []
    outcome = Outcome(call())
    outcome.on_end(lambda ended: heard.append("first"))
    outcome.on_end(lambda ended: heard.append(str(1 / 0)))
    outcome.on_end(lambda ended: heard.append("last"))
    outcome.end()
    outcome.end(GatewayError("internal", "later changes nothing"))
    assert heard == ["first", "last"]
    assert outcome.error is None


@pytest.mark.parametrize(
    ("source", "stream", "error"),
    [
        (whole, False, None),
        (streamed, True, None),
        (failing, False, "upstream_error"),
        (failing, True, "upstream_error"),
        (broken, False, "internal"),
        (broken, True, "internal"),
    ],
)
def test_a_run_ends_once_after_its_answer_was_settled(
    source: object, stream: bool, error: str | None
) -> None:
    heard: list[str] = []
    run = Run(call(stream=stream), source, fault)  # type: ignore[arg-type]
    run.on_terminal(lambda outcome, frames: heard.append("settled"))
    run.outcome.on_end(lambda ended: heard.append(ended.error.kind.name if ended.error else "ended"))
    if error is None:
        list(run.batches())
        assert heard == ["settled", "ended"]
    else:
        with pytest.raises(GatewayError):
            list(run.batches())
        assert heard == [error]
    assert run.call.progress.ended


@pytest.mark.parametrize("source", [whole, streamed])
def test_what_cannot_be_settled_does_not_end_as_a_success(source: object) -> None:
    def refuse(outcome: Outcome, frames: list[Frame]) -> None:
        raise GatewayError("store_unavailable", "The store is not available.")

    ended: list[int] = []
    run = Run(call(stream=source is streamed), source, fault)  # type: ignore[arg-type]
    run.on_terminal(refuse)
    run.outcome.on_end(lambda outcome: ended.append(outcome.status))
    with pytest.raises(GatewayError, match="store"):
        list(run.batches())
    assert ended == [503]


def test_a_reader_that_leaves_closes_the_source_before_the_end_is_told() -> None:
    heard: list[str] = []

    def source(run: Run) -> Generator[Batch, None, None]:
        try:
            yield Batch([Frame(None, {"n": 1})], last=False, content=True)
        finally:
            heard.append("closed")

    run = Run(call(stream=True), source, fault)
    run.outcome.on_end(lambda outcome: heard.append("ended"))
    batches = run.batches()
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert heard == ["closed", "ended"]
