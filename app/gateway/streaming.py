"""One streamed call: upstream chunks to the caller's frames, with fallback until content.

``StreamRun.batches`` is a generator that reads upstreams and yields lists of frames, one
list for each upstream read. Frames made before the first content are *held* rather than
yielded: whoever writes them out may take them early (the status is then spent) and says so
by taking; until then an attempt that fails leaves no trace. Errors before content fall back,
errors after it end the stream in the caller's dialect.

Who drives it is not known here: an HTTP view through a pump, or a background runner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.call import Attempt, Call, Outcome, Target
from app.gateway.cost import put_cost
from app.gateway.dispatch import SHAPE_FAULTS, Dispatcher, MakeExchange, shown_request
from app.gateway.exchange import Exchange, Sent, Translator
from app.gateway.framing import FrameReader, frame_reader
from app.providers.base import Wire
from app.wire.upstream import Upstream

_JSON: Final = "application/json"
_HTML: Final = "text/html"

Terminal = Callable[[Outcome, list[Frame]], None]


class Batch(NamedTuple):
    """The frames of one upstream read; ``last`` with those that end the stream."""

    frames: list[Frame]
    last: bool


class StreamRun:
    """One streamed call over as many attempts as it takes.

    ``on_terminal(outcome, frames)`` is called with the last frames before they are yielded,
    so that what they say can be stored first; it may change their data in place. Numbered
    frames count from ``first``; events named in ``leave_out`` were sent by somebody else. With
    ``patience`` an upstream that is silent for so many seconds makes an empty batch.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        call: Call,
        make: MakeExchange,
        on_terminal: Terminal | None = None,
        *,
        first: int = 0,
        leave_out: frozenset[str] = frozenset(),
    ) -> None:
        self.outcome = Outcome(call)
        self.content = False
        self.patience: float | None = None
        self._dispatcher = dispatcher
        self._call = call
        self._make = make
        self._on_terminal = on_terminal
        self._held: list[Frame] = []
        self._held_taken = False
        self._identity: dict[str, Any] = {}
        self._translator: Translator | None = None
        self._tail: list[Frame] = []
        self._sequence = first
        self._raw = bytearray()
        self._leave_out = leave_out

    def take_held(self) -> list[Frame]:
        """Return the lifecycle frames held so far; from now on they count as sent."""
        held, self._held = self._held, []
        if held and not self.content:
            self._held_taken = True
            self._identity = self._identity or _identity_of(held[0])
        return self._numbered(held)

    @property
    def next_number(self) -> int:
        """Return the number of the next numbered frame."""
        return self._sequence

    @property
    def holding(self) -> bool:
        """True while lifecycle frames wait for content."""
        return bool(self._held)

    def batches(self) -> Iterator[Batch]:
        """Yield batches; one without frames means "nothing to be shown yet".

        Raises the first target's GatewayError when nothing was or could be said yet; once
        lifecycle frames were taken, or content began, an error becomes the last frames.
        """
        try:
            yield from self._over_targets()
        except GatewayError as error:
            yield self._ended_in(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream gets an ending
            yield self._ended_in(self._dispatcher.fault(error, self._call.id))
        finally:
            self.outcome.end()

    def _ended_in(self, error: GatewayError) -> Batch:
        self.outcome.error = error
        if not (self.content or self._held_taken):
            self.outcome.end(error)
            raise error
        return Batch(self._failing(error), last=True)

    def _over_targets(self) -> Iterator[Batch]:
        first: GatewayError | None = None
        for target in self._dispatcher.tries(self._call):
            if isinstance(target, GatewayError):
                first = first or target
                continue
            try:
                with self._dispatcher.attempt(self._call, target) as attempt:
                    yield from self._attempt(target, attempt)
                return
            except GatewayError as error:
                if self.content:
                    raise
                self._held.clear()
                first = first or error
                if not self._dispatcher.goes_on(self._call, error):
                    break
        raise self._dispatcher.failure(self._call, first)

    def _attempt(self, target: Target, attempt: Attempt) -> Iterator[Batch]:
        call = self._call
        exchange = self._make(call, target)
        sent = exchange.send()
        started = time.monotonic()
        self._note_target(target, exchange, sent)
        with self._dispatcher.opened(call, target, exchange, sent, attempt, stream=True) as upstream:
            translator = exchange.translator(upstream.headers)
            self._translator = translator
            for frames in self._read(upstream, sent.wire or exchange.wire, translator):
                self.outcome.losses = [*call.left_out, *exchange.losses.items]
                self.outcome.upstream_ms = round((time.monotonic() - started) * 1000)
                yield Batch(self._passed_on(frames, translator), last=translator.ended)
                if translator.ended:
                    return

    def _note_target(self, target: Target, exchange: Exchange, sent: Sent) -> None:
        self.outcome.target = target
        self.outcome.passed = exchange.passed
        if self._call.keep_raw:
            self.outcome.raw_request = self._dispatcher.redactor.value(shown_request(sent))
            self._raw.clear()

    def _read(self, upstream: Upstream, wire: Wire, translator: Translator) -> Iterator[list[Frame]]:
        """Yield the frames of each upstream read; raises where the stream failed."""
        content_type = upstream.headers.get("content-type", "")
        if content_type.startswith(_HTML):
            raise GatewayError("upstream_invalid", "The provider answered with an HTML page.")
        if content_type.startswith(_JSON) and wire.framing != "eventstream" or not wire.streams:
            body = upstream.read()
            yield self._checked(translator, self._read_whole(translator, body))
            return
        reader = frame_reader(wire.framing, content_type)
        while not translator.ended:
            chunk = upstream.read_within(self.patience)
            if chunk is None:
                yield []
                continue
            if self._call.keep_raw:
                self._raw += chunk
            yield self._checked(translator, self._translated(upstream, reader, translator, chunk))

    def _read_whole(self, translator: Translator, body: bytes) -> list[Frame]:
        try:
            return translator.whole(body)
        except SHAPE_FAULTS as error:
            raise self._dispatcher.unreadable(error, self._call) from error

    def _translated(
        self, upstream: Upstream, reader: FrameReader, translator: Translator, chunk: bytes
    ) -> list[Frame]:
        """Return what one read brings, up to its end or fault; ``b""`` is the end of the body."""
        frames: list[Frame] = []
        try:
            for event, data in reader.feed(chunk):
                frames += translator.done() if data is None else translator.feed(event, data)
                upstream.progress()
                if translator.ended or translator.failure is not None:
                    return frames  # what comes after the end is dropped
            if not chunk:
                frames += translator.eof()
                if translator.failure is None and not translator.ended:
                    translator.failure = GatewayError(
                        "upstream_cut", "The provider's stream ended before it was complete."
                    )
        except GatewayError as error:
            translator.failure = error
        except SHAPE_FAULTS as error:
            translator.failure = self._dispatcher.unreadable(error, self._call)
        return frames

    def _checked(self, translator: Translator, frames: list[Frame]) -> list[Frame]:
        """Return ``frames``; raises the translator's failure, after what was good went out."""
        if translator.failure is None:
            return frames
        if translator.content and frames:
            self.content = True
            self._tail = frames
        raise translator.failure

    def _passed_on(self, frames: list[Frame], translator: Translator) -> list[Frame]:
        """Hold ``frames`` until content, then give all that was held with them."""
        if self._held_taken and not self.content:
            frames = [frame for frame in frames if not _is_opening(frame)]
        if self._leave_out and not self.content:
            frames = [frame for frame in frames if frame.event not in self._leave_out]
        if not translator.content:
            self._held += frames
            return []
        if not self.content:
            self.content = True
            self.outcome.first_content = time.monotonic()
            self.outcome.media_type = getattr(translator, "media_type", None)
        held, self._held = self._held, []
        out = [*held, *frames]
        if translator.ended:
            self._tail = out[:-1]  # goes out all the same when the end cannot be told as it is
            self._settle(translator, out)
        return self._numbered(out)

    def _numbered(self, frames: list[Frame]) -> list[Frame]:
        """Number the frames of one stream over all its attempts, where the dialect numbers;
        where it tells the answer's id in each, keep the one that was sent first."""
        for frame in frames:
            if self._identity and isinstance(frame.data, dict) and "id" in frame.data:
                frame.data.update(self._identity)
            if isinstance(frame.data, dict) and "sequence_number" in frame.data:
                frame.data["sequence_number"] = self._sequence
                self._sequence += 1
        return frames

    def _settle(self, translator: Translator, frames: list[Frame]) -> None:
        """Close the record with what the translator saw, and tell what the last frames say."""
        outcome = self.outcome
        outcome.usage = translator.usage
        outcome.finish = translator.finish
        outcome.response = translator.response()
        outcome.cost = self._dispatcher.price(outcome)
        if self._call.keep_raw:  # whole, so that a character or a secret cut by a read stays one
            outcome.raw_response = self._dispatcher.redactor.text(self._raw.decode("utf-8", "replace"))
        for frame in frames:
            put_cost(frame.data, outcome)
        if self._on_terminal is not None:
            self._on_terminal(outcome, frames)

    def _failing(self, error: GatewayError) -> list[Frame]:
        """Return the last frames of a stream that failed after it was shown."""
        translator = self._translator
        if translator is None:
            raise error
        frames = [*self.take_held(), *self._numbered([*self._tail, *translator.fail(error)])]
        self._settle(translator, frames)
        return frames


def _identity_of(frame: Frame) -> dict[str, Any]:
    """Return what every chunk of one chat stream has alike, whoever made it."""
    data = frame.data if frame.event is None and isinstance(frame.data, dict) else {}
    return {name: data[name] for name in ("id", "created") if name in data}


_OPENING: Final = frozenset({"response.created", "response.queued", "response.in_progress"})


def _is_opening(frame: Frame) -> bool:
    """Tell whether a frame only opens a stream, as one that was already sent did."""
    if frame.event is not None:
        return frame.event in _OPENING
    return _is_role_chunk(frame.data)


def _is_role_chunk(data: Any) -> bool:
    choices = data.get("choices") if isinstance(data, dict) else None
    if not choices or len(choices) != 1:
        return False
    delta = choices[0].get("delta") or {}
    return "role" in delta and not any(v for k, v in delta.items() if k not in ("role", "content", "refusal"))
