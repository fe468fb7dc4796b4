"""One call while it runs: its source, the frames it holds back, and its end.

The source of a ``Run`` is a generator of batches: the driver, or something else that has an answer (the cache, an equal call
that is already running). Frames before the first content are *held* instead of yielded. A writer may take them early; the
status is then fixed. An error before content is raised, an error after it ends the stream in the client's dialect. A whole
answer is one batch without frames; its body is in the outcome.

The reader of a run is a view, a stream writer or a background job.
Tests: tests/behaviour, tests/lifecycle; tests/gateway/test_outcome.py for its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
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
from app.wire.offload import ITEM, aside

_AT_ONCE: Final = 256  # frames written before other calls get a turn


class Batch(NamedTuple):
    """The frames of one upstream read.

    ``last``: these frames end the stream. ``content``: the stream has had content. ``answer`` comes with the last batch. A whole
    answer is one batch without frames, with ``content`` False.
    """

    frames: list[Frame]
    last: bool
    content: bool = False
    answer: Answer | None = None


Source = Callable[["Run"], Generator[Batch | Repetition, None, None]]
"""Yields the batches of a run, and may fill the run's outcome."""

TerminalListener = Callable[[Outcome, list[Frame]], None]
"""Called before the last frames of an answer, or the body of a whole one, go out. It may change them in place; if it raises,
the call ends in that error."""

AttemptListener = Callable[[Attempt], None]
"""Called before the first request of an attempt goes out; an error ends the whole call."""


Fault = Callable[[Exception, str | None], GatewayError]
"""Logs an internal error of the request with an id, and returns the error for the client."""


class Run:
    """One call, with its ``source``.

    ``patience`` is the number of seconds of silence after
    which the source yields an empty batch. A source sets ``end_in_error`` if it can end a stream in an error after content. A reader
    sets ``sink`` if batches after the first content may be given to it past the generator (``relay``).
    """

    def __init__(self, call: Call, source: Source, fault: Fault) -> None:
        self.call = call
        self.outcome = Outcome(call)
        self.content = False
        self.patience: float | None = None
        self.end_in_error: Callable[[GatewayError], Batch] | None = None
        self.sink: Callable[[Batch | Repetition], None] | None = None
        self._source = source
        self._fault = fault
        self._on_attempt: list[AttemptListener] = []
        self._on_answer: list[TerminalListener] = []
        self._on_terminal: list[TerminalListener] = []
        self._held: list[Frame] = []
        self._held_taken = False
        self._dialect = dialect_of(Row, call.dialect)
        self._identity: dict[str, Any] = {}
        self._tail: list[Frame] = []
        self._sequence = 0
        self._end_number: int | None = None
        self._sent = 0  # frames of the end
        self._leave_out: frozenset[str] = frozenset()

    def on_attempt(self, listener: AttemptListener) -> None:
        """Call ``listener`` for each attempt before its first request goes out."""
        self._on_attempt.append(listener)

    def on_terminal(self, listener: TerminalListener) -> None:
        """Call ``listener`` before the end of the answer goes out."""
        self._on_terminal.append(listener)

    def on_answer(self, listener: TerminalListener) -> None:
        """Call ``listener`` with the end of the answer, before its cost is added and the terminal listeners are called."""
        self._on_answer.append(listener)

    def adopt(self, other: Run) -> Generator[Batch | Repetition, None, None]:
        """Return the batches of ``other``, an unread run, as batches of this one, whose listeners come after those of ``other``."""
        self.call = other.call
        self._on_attempt[:0] = other._on_attempt
        self._on_answer[:0] = other._on_answer
        self._on_terminal[:0] = other._on_terminal
        self.outcome.adopt(other.outcome)
        return other._source(self)

    def continue_at(self, number: int, sent: frozenset[str]) -> None:
        """Number frames from ``number``, and leave out the events named in ``sent``, which were sent already."""
        self._sequence = number
        self._leave_out = sent

    @property
    def next_number(self) -> int:
        """Return the number of the next numbered frame."""
        return self._sequence

    @property
    def has_held(self) -> bool:
        """Whether opening frames wait for the first content."""
        return not self._held_taken and any(map(self._dialect.is_opening, self._held))

    def flush_held(self) -> list[Frame]:
        """Return the held frames that open the stream, which count as sent from now on.

        What follows them waits for content, since another attempt may make it anew."""
        held, opens = self._held, self._dialect.is_opening
        self._held = [frame for frame in held if opens(frame)]
        frames = self._capture(self._take_unsent())
        self._held = [frame for frame in held if not opens(frame)]
        return frames

    def result(self) -> Outcome:
        """Run a call that is not streamed to its end. Return its outcome, or raise its error."""
        for _ in self.batches():
            continue
        return self.outcome

    def batches(self) -> Generator[Batch | Repetition, None, None]:
        """Yield batches; one without frames means that there is nothing to send yet.

        Raises the GatewayError of a call before its first frames were sent. After that, an error becomes the last frames.
        A reader that cannot write a batch throws its error in here, and gets the frames that end the stream instead.
        """
        try:
            source = self._source(self)
            try:
                for batch in source:
                    if not self.content or batch.last:
                        passed: Batch | Repetition = self._begin_or_end(batch)
                    elif isinstance(batch, Repetition) or len(batch.frames) <= _AT_ONCE:
                        passed = self._flow(batch)
                    else:
                        passed = aside(ITEM * len(batch.frames), partial(self._flow, batch))
                    if isinstance(passed, Repetition) or len(passed.frames) <= _AT_ONCE:
                        yield passed
                    else:
                        yield from self._in_turns(passed)
            finally:
                source.close()
        except GatewayError as error:
            yield from self._in_turns(self._fail(error))
        except Exception as error:  # noqa: BLE001 - the stream needs an end after any error
            yield from self._in_turns(self._fail(self._fault(error, self.call.id)))
        finally:
            self.end_in_error = None  # it refers to the stream of this run
            self.outcome.end()

    def relay(self, batch: Batch | Repetition) -> None:
        """Give ``sink`` a batch of frames after the first content, while the reader of this run waits for it."""
        assert self.sink is not None
        self.sink(self._flow(batch))

    def announce(self, attempt: Attempt) -> None:
        """Tell listeners that the first request of ``attempt`` follows; raises their error."""
        for listener in self._on_attempt:
            listener(attempt)

    def drop_held(self) -> None:
        """Drop the held frames of an attempt that failed before content.

        If its opening frames were sent, the others are kept for an end in error, until another stream begins."""
        if not self._held_taken:
            self._held.clear()

    def begin_stream(self, end_in_error: Callable[[GatewayError], Batch]) -> None:
        """Begin a stream, which can end in an error; nothing of an earlier one will be sent any more."""
        self._held.clear()
        self.end_in_error = end_in_error

    def hold(self, frames: list[Frame]) -> None:
        """Hold frames without content that came in the same read as a failure."""
        self._held += self._drop_sent(frames)

    def keep_tail(self, frames: list[Frame]) -> None:
        """Keep content that came in the same read as a failure, to send it before the error."""
        self.content = True
        self._tail = frames

    def _fail(self, error: GatewayError) -> Batch:
        self.outcome.error = error
        if self.end_in_error is None or not (self.content or self._held_taken):
            raise error
        if self._end_number is not None:
            self._sequence = self._end_number + sum(map(_is_numbered, self._tail[: self._sent]))
        failed = self.end_in_error(error)
        frames = [*self._take_unsent(), *self._number([*self._tail[self._sent :], *failed.frames])]
        self._settle(failed.answer, frames)
        return Batch(self._capture(frames), last=True)

    def _take_unsent(self) -> list[Frame]:
        held, self._held = self._held, []
        if held and not self.content:
            self._held_taken = True
            self._identity = self._identity or self._dialect.identity(held[0])
        return self._number(held)

    def _capture(self, frames: list[Frame]) -> list[Frame]:
        """Add frames to the capture of the call, if it has one."""
        if self.outcome.capture is not None:
            self.outcome.capture.add(frames)
        return frames

    def _flow(self, batch: Batch | Repetition) -> Batch | Repetition:
        """Return a batch between the first content and the end, with numbers."""
        outcome, is_repetition = self.outcome, isinstance(batch, Repetition)
        if self._identity or not (isinstance(batch, Repetition) and batch.is_untouched):
            self._number_each(batch.frames)
        elif batch.original.is_numbered:
            batch.number = self._sequence
            self._sequence += len(batch.rows)
        if outcome.gaps is not None and (is_repetition or batch.frames):
            outcome.gaps.note()
        if outcome.capture is not None:
            self._capture(batch.frames)
        return batch

    def _begin_or_end(self, batch: Batch | Repetition) -> Batch:
        """Hold frames until content comes; return held frames together with the first content, or with the end."""
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
        return Batch(self._capture(frames), batch.last)

    def _settle_end(self, answer: Answer | None, frames: list[Frame]) -> None:
        """Settle with the last frames. The frames before the end remain in the tail, for an error that takes its place."""
        self._tail, self._end_number = _before_end(frames), self._sequence
        self._number(frames)
        self._settle(answer, frames)

    def _drop_sent(self, frames: list[Frame]) -> list[Frame]:
        if self._held_taken:
            frames = [frame for frame in frames if not self._dialect.is_opening(frame)]
        if self._leave_out:
            frames = [frame for frame in frames if frame.event not in self._leave_out]
        return frames

    def _number(self, frames: list[Frame]) -> list[Frame]:
        """Set sequence numbers across all attempts of a stream, if the dialect has them. If each frame has the answer's id,
        keep the id that was sent first."""
        return aside(ITEM * len(frames), partial(self._number_each, frames)) if frames else frames

    def _number_each(self, frames: list[Frame]) -> list[Frame]:
        for frame in frames:
            if self._identity and isinstance(frame.data, dict) and "id" in frame.data:
                frame.data.update(self._identity)
            if _is_numbered(frame):
                frame.data["sequence_number"] = self._sequence
                self._sequence += 1
        return frames

    def _settle(self, answer: Answer | None, frames: list[Frame]) -> None:
        """Fill the outcome from an answer, add its cost to body and frames, and call the listeners."""
        if answer is None:
            return
        outcome = self.outcome
        outcome.fill(answer)
        for listener in self._on_answer:
            listener(outcome, frames)
        self._on_answer.clear()
        put_cost(outcome.body, outcome)
        aside(ITEM * len(frames), partial(_put_costs, frames, outcome))
        for listener in self._on_terminal:
            listener(outcome, frames)
        self._on_terminal.clear()

    def _in_turns(self, batch: Batch) -> Iterator[Batch]:
        """Yield a batch; split one with very many frames, as a provider may send in one event."""
        frames, turns = batch.frames, Turns()
        end = max(0, len(frames) - _AT_ONCE)
        for start in range(0, end, _AT_ONCE):
            after = min(start + _AT_ONCE, end)
            yield Batch(frames[start:after], last=False)
            self._sent = after if batch.last else 0
            turns.take()
        yield batch._replace(frames=frames[end:])


def _put_costs(frames: list[Frame], outcome: Outcome) -> None:
    for frame in frames:
        put_cost(frame.data, outcome)


def _before_end(frames: list[Frame]) -> list[Frame]:
    """Return the frames before the end, which is the last one, or a named event and ``[DONE]``."""
    named = len(frames) > 1 and frames[-1].data is None and frames[-2].event is not None
    return frames[:-2] if named else frames[:-1]


def _is_numbered(frame: Frame) -> bool:
    return isinstance(frame.data, dict) and "sequence_number" in frame.data
