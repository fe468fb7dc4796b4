"""One call while it runs: what feeds it, what is held back, and how it ends.

A ``Run`` is fed by a generator of batches: the driver, or whatever else has an answer (a cache, another
call that asks the same). Frames made before the first content are *held* rather than yielded: whoever
writes them out may take them early (the status is then spent) and says so by taking. Errors before
content raise, errors after it end the stream in the caller's dialect. A whole answer is one batch
without frames; its body is in the outcome.

Who reads it is not known here: a view, a stream writer before a client, or a background job.
Tests: tests/behaviour, tests/lifecycle; tests/gateway/test_outcome.py for its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple

from app.dialects import dialect_of
from app.dialects.base import Frame, Row
from app.errors import GatewayError
from app.gateway.call import Attempt, Call
from app.gateway.cost import put_cost
from app.gateway.exchange import Answer
from app.gateway.outcome import Outcome
from app.gateway.repetitions import Repetition
from app.wire.fairness import Turns

_AT_ONCE: Final = 256  # frames that are written before others get their turn


class Batch(NamedTuple):
    """The frames of one upstream read.

    ``last`` with those that end the stream; ``content`` once there was any. ``answer`` comes with the
    last batch; a whole answer is a batch of its own without frames, whose ``content`` is False.
    """

    frames: list[Frame]
    last: bool
    content: bool = False
    answer: Answer | None = None


Source = Callable[["Run"], Generator[Batch | Repetition, None, None]]
"""What feeds a run; it may note what it learns in the run's outcome."""

Terminal = Callable[[Outcome, list[Frame]], None]
"""Hears of an answer before its last frames (or, whole, the body in the outcome) go out; may change
them in place, and may raise: then the call ends in that error."""

Going = Callable[[Attempt], None]
"""Hears of an attempt whose request is about to go out; an error ends the whole call."""


class Run:
    """One call, fed by ``source``.

    ``fault`` logs a fault of ours and returns the error that stands for it. With ``patience`` an
    upstream that is silent for so many seconds makes an empty batch. ``failing`` is set by a source
    that can end a stream in an error once there was content.
    """

    def __init__(self, call: Call, source: Source, fault: Callable[[Exception], GatewayError]) -> None:
        self.call = call
        self.outcome = Outcome(call)
        self.content = False
        self.patience: float | None = None
        self.failing: Callable[[GatewayError], Batch] | None = None
        self._source = source
        self._fault = fault
        self._on_attempt: list[Going] = []
        self._on_terminal: list[Terminal] = []
        self._held: list[Frame] = []
        self._held_taken = False
        self._dialect = dialect_of(Row, call.dialect)
        self._identity: dict[str, Any] = {}
        self._tail: list[Frame] = []
        self._sequence = 0
        self._leave_out: frozenset[str] = frozenset()

    def on_attempt(self, listener: Going) -> None:
        """Call ``listener`` for each attempt when its first request is about to go out."""
        self._on_attempt.append(listener)

    def on_terminal(self, listener: Terminal) -> None:
        """Call ``listener`` before the end goes out."""
        self._on_terminal.append(listener)

    def continue_at(self, number: int, sent: frozenset[str]) -> None:
        """Number frames from ``number``; leave out events named in ``sent``, which somebody else sent."""
        self._sequence = number
        self._leave_out = sent

    @property
    def next_number(self) -> int:
        """Return the number of the next numbered frame."""
        return self._sequence

    @property
    def has_held(self) -> bool:
        """True while lifecycle frames wait for content."""
        return bool(self._held)

    def flush_held(self) -> list[Frame]:
        """Return the lifecycle frames held so far; from then on they count as sent."""
        return self._capture(self._take_unsent())

    def result(self) -> Outcome:
        """Run a whole call to its end; return its outcome, or raise the error it ended in."""
        for _ in self.batches():
            continue
        return self.outcome

    def batches(self) -> Iterator[Batch | Repetition]:
        """Yield batches; one without frames means "nothing to be shown yet".

        Raises the GatewayError of a call of which nothing was or could be said yet; once
        lifecycle frames were taken, or content began, an error becomes the last frames.
        """
        try:
            source = self._source(self)
            try:
                for batch in source:
                    passed = self._pass_on(batch)
                    if self.outcome.capture is not None:
                        self._capture(passed.frames)
                    if isinstance(passed, Repetition) or len(passed.frames) <= _AT_ONCE:
                        yield passed
                    else:
                        yield from _in_turns(passed)
            finally:
                source.close()
        except GatewayError as error:
            yield from _in_turns(self._fail(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream gets an ending
            yield from _in_turns(self._fail(self._fault(error)))
        finally:
            self.failing = None  # it holds what reads for this run
            self.outcome.end()

    def go_out(self, attempt: Attempt) -> None:
        """Tell that the first request of ``attempt`` is about to go out; raises what forbids it."""
        for listener in self._on_attempt:
            listener(attempt)

    def drop_held(self) -> None:
        """Forget what an attempt that failed said before content."""
        self._held.clear()

    def leave_tail(self, frames: list[Frame]) -> None:
        """Take the content that came in one read with the failure that follows: it goes out first."""
        self.content = True
        self._tail = frames

    def _fail(self, error: GatewayError) -> Batch:
        self.outcome.error = error
        if self.failing is None or not (self.content or self._held_taken):
            raise error
        failed = self.failing(error)
        frames = [*self._take_unsent(), *self._number([*self._tail, *failed.frames])]
        self._settle(failed.answer, frames)
        return Batch(self._capture(frames), last=True)

    def _take_unsent(self) -> list[Frame]:
        held, self._held = self._held, []
        if held and not self.content:
            self._held_taken = True
            self._identity = self._identity or self._dialect.identity(held[0])
        return self._number(held)

    def _capture(self, frames: list[Frame]) -> list[Frame]:
        """Keep frames that go out where somebody keeps what was said."""
        if self.outcome.capture is not None:
            self.outcome.capture.add(frames)
        return frames

    def _pass_on(self, batch: Batch | Repetition) -> Batch | Repetition:
        """Hold frames until content, then give all that was held with them."""
        if self.content and not batch.last:
            is_repetition = isinstance(batch, Repetition)
            if self._identity or not is_repetition:  # what repeats has no number
                self._number(batch.frames)
            if self.outcome.gaps is not None and (is_repetition or batch.frames):
                self.outcome.gaps.note()
            return batch
        frames = batch.frames
        if not self.content:
            frames = self._drop_sent(frames)
            if not batch.content:
                self._held += frames
                self._settle(batch.answer, [])
                return Batch([], last=batch.last)
            self.content = True
            self.outcome.first_content = time.monotonic()
            if self.outcome.gaps is not None:
                self.outcome.gaps.note()
            frames = [*self._held, *frames]
            self._held.clear()
        if batch.last:
            self._settle_end(batch.answer, frames)
        else:
            self._number(frames)
        return Batch(frames, batch.last)

    def _settle_end(self, answer: Answer | None, frames: list[Frame]) -> None:
        """Settle with the last frames; what is not the end goes out all the same when that fails."""
        self._tail, number = frames[:-1], self._sequence
        self._number(frames)
        try:
            self._settle(answer, frames)
        except Exception:
            self._sequence = number
            raise

    def _drop_sent(self, frames: list[Frame]) -> list[Frame]:
        if self._held_taken:
            frames = [frame for frame in frames if not self._dialect.is_opening(frame)]
        if self._leave_out:
            frames = [frame for frame in frames if frame.event not in self._leave_out]
        return frames

    def _number(self, frames: list[Frame]) -> list[Frame]:
        """Number the frames of one stream over all its attempts, where the dialect numbers;
        where it tells the answer's id in each, keep the one that was sent first."""
        for frame in frames:
            if self._identity and isinstance(frame.data, dict) and "id" in frame.data:
                frame.data.update(self._identity)
            if isinstance(frame.data, dict) and "sequence_number" in frame.data:
                frame.data["sequence_number"] = self._sequence
                self._sequence += 1
        return frames

    def _settle(self, answer: Answer | None, frames: list[Frame]) -> None:
        """Fill the outcome with what an answer says, put its cost in, and tell who listens."""
        if answer is None:
            return
        outcome = self.outcome
        outcome.fill(answer)
        put_cost(outcome.body, outcome)
        for frame in frames:
            put_cost(frame.data, outcome)
        for listener in self._on_terminal:
            listener(outcome, frames)


def _in_turns(batch: Batch) -> Iterator[Batch]:
    """Yield a batch, one of very many frames (a provider may say all in one event) in pieces."""
    frames = batch.frames
    if len(frames) <= _AT_ONCE:
        yield batch
        return
    turns, end = Turns(), len(frames) - _AT_ONCE
    for start in range(0, end, _AT_ONCE):
        yield Batch(frames[start : min(start + _AT_ONCE, end)], last=False)
        turns.take()
    yield batch._replace(frames=frames[end:])
