"""What the stream encoders of several wire formats share: open blocks in sequence, and how the answer finished.

The clients of these wires read one block at a time, so overlapping blocks are sent one after another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Failed, Finished, Started
from app.canonical.request import AudioPart, Part, RefusalPart, Request, TextPart, ToolCallPart
from app.canonical.response import Finish, FinishReason
from app.dialects.base import Frame, ServerContext
from app.dialects.shared.lenient_json import count, dicts
from app.dialects.shared.members import own_members
from app.dialects.shared.tool_forms import object_text

_BlockEvent = BlockStarted | BlockDelta | BlockEnded
_GROWTH: Final = (BlockDelta, BlockEnded)
_REPETITIONS: Final = 16
_SHORT_SPANS: Final = 65_536  # characters of spans that any text may have


class BlockSequence:
    """Reorders the events of a stream so that only one block of each choice is open at a time.

    The events of a block that starts while another is open are buffered until that one ends.
    Each event is buffered at most once. Unless ``choices`` is true, only choice 0 is returned.
    """

    def __init__(self, *, choices: bool = False) -> None:
        self._choices = choices
        self._choice_of: dict[int, int] = {}
        self._queues: dict[int, deque[int]] = {}
        self._buffers: dict[int, list[_BlockEvent]] = {}

    def feed(self, event: Event) -> list[Event]:
        """Return the events that may be written now, in order."""
        if isinstance(event, _GROWTH):
            return self._continue(event)
        if isinstance(event, BlockStarted):
            return self._start(event)
        return [] if isinstance(event, Finished) and event.choice and not self._choices else [event]

    def _start(self, event: BlockStarted) -> list[Event]:
        if event.choice and not self._choices:
            return []
        self._choice_of[event.block] = event.choice
        queue = self._queues.setdefault(event.choice, deque())
        queue.append(event.block)
        if queue[0] == event.block:
            return [event]
        self._buffers[event.block] = [event]
        return []

    def _continue(self, event: BlockDelta | BlockEnded) -> list[Event]:
        choice = self._choice_of.get(event.block)
        if choice is None:
            return []
        queue = self._queues[choice]
        if queue[0] != event.block:
            self._buffers[event.block].append(event)
            return []
        return [event] if isinstance(event, BlockDelta) else [event, *self._release(queue)]

    def _release(self, queue: deque[int]) -> list[Event]:
        """Remove the block that ended; return the buffered events up to the next block that is still open."""
        events: list[Event] = []
        self._choice_of.pop(queue.popleft())
        while queue:
            buffer = self._buffers.pop(queue[0])
            events += buffer
            if not isinstance(buffer[-1], BlockEnded):
                break
            self._choice_of.pop(queue.popleft())
        return events


@dataclass(slots=True)
class _Call:
    """An open tool call. ``is_object``: its input has begun as a JSON object and is passed on as it comes; None while
    it has not begun."""

    part: ToolCallPart
    buffer: list[str] = field(default_factory=list)
    is_object: bool | None = None

    def grow(self, event: BlockDelta) -> list[Event]:
        """Add a piece of input; return what may be written now."""
        if self.is_object:
            return [event] if event.text else []
        self.buffer.append(event.text)
        if self.is_object is None and (beginning := event.text.lstrip()):
            self.is_object = self.part.kind == "function" and beginning.startswith("{")
        return [BlockDelta(event.block, "".join(self.buffer))] if self.is_object else []

    def end(self, event: BlockEnded) -> list[Event]:
        """Return the end of the call, after the input that has not been written yet as the text of a JSON object."""
        if self.is_object:
            return [event]
        text = object_text(replace(self.part, arguments="".join(self.buffer)))
        return [BlockDelta(event.block, text), event]


@dataclass(slots=True)
class _Speech:
    """An open block of speech: a text that begins with the first words of the transcript, None thereafter."""

    started: BlockStarted | None

    def grow(self, event: BlockDelta) -> list[Event]:
        """Return the piece of the transcript in a delta."""
        if not event.transcript:
            return []
        begin, self.started = self.started, None
        text = BlockDelta(event.block, event.transcript)
        return [text] if begin is None else [replace(begin, part=TextPart("")), text]

    def end(self, event: BlockEnded) -> list[Event]:
        """Return the end of the text, nothing for sound without a transcript."""
        return [event] if self.started is None else []


class CallSequence(BlockSequence):
    """A ``BlockSequence`` for wires on which the input of every tool call is a JSON object.

    Input of any other form is written in one piece at the end, as in a non-streamed answer. These wires do not
    stream sound: of speech they get the transcript, as a text.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conversions: dict[int, _Call | _Speech] = {}

    def feed(self, event: Event) -> list[Event]:
        """Return the events that may be written now, in order."""
        events = super().feed(event)
        if not self._conversions and not isinstance(event, BlockStarted):
            return events
        return [result for one in events for result in self._convert(one)]

    def _convert(self, event: Event) -> list[Event]:
        if isinstance(event, BlockStarted) and isinstance(event.part, ToolCallPart):
            self._conversions[event.block] = _Call(event.part)
            return [replace(event, part=replace(event.part, kind="function"))]
        if isinstance(event, BlockStarted) and isinstance(event.part, AudioPart):
            self._conversions[event.block] = _Speech(event)
            return []
        if isinstance(event, BlockDelta) and (block := self._conversions.get(event.block)) is not None:
            return block.grow(event)
        if isinstance(event, BlockEnded) and (block := self._conversions.pop(event.block, None)) is not None:
            return block.end(event)
        return [event]


@dataclass(slots=True)
class StreamBlock:
    """A block as it grows: the ``pieces`` of its text, and its annotations.

    ``index`` is its number in the stream, None while nothing of it was sent.
    """

    part: Part
    index: int | None = None
    choice: int = 0
    pieces: list[str] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.pieces)

    def citations(
        self,
        event: BlockEnded,
        dialect: str,
        convert: Callable[[Sequence[Mapping[str, Any]], str], list[dict[str, Any]]],
    ) -> list[dict[str, Any]]:
        """Return the citations of a text: those of ``dialect`` itself, else what ``convert`` makes of annotations."""
        native = event.native or getattr(self.part, "native", None)
        own = dicts(own_members(native, dialect).get("citations"))
        return own or (convert(self.notes, self.text) if self.notes else [])


class BlockEncoder(ABC):
    """Encode canonical events as frames; it knows the open blocks, and how the answer finished."""

    def __init__(
        self, request: Request, context: ServerContext, sequence: BlockSequence | None = None
    ) -> None:
        self._request = request
        self._context = context
        self._sequence = sequence or CallSequence()
        self._blocks: dict[int, StreamBlock] = {}
        self._count = 0
        self._refused = False
        self._finish: Finish | None = None

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of one event, in order; there may be none."""
        return [frame for one in self._sequence.feed(event) for frame in _METHODS[type(one)](self, one)]

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        block = self._blocks[event.block] = StreamBlock(event.part, choice=event.choice)
        self._refused = self._refused or isinstance(event.part, RefusalPart)
        return self._open(block)

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        block = self._blocks[event.block]
        block.pieces.append(event.text)
        if event.annotation is not None:
            block.notes.append(event.annotation)
        return self._grow(block, event)

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        return self._close(self._blocks.pop(event.block), event)

    def _finished(self, event: Finished) -> list[Frame]:
        self._finish = event.finish
        return []

    def _number(self, block: StreamBlock) -> int:
        """Return the block's number in the stream, the next free one if it has none."""
        if block.index is None:
            block.index, self._count = self._count, self._count + 1
        return block.index

    @abstractmethod
    def _started(self, event: Started) -> list[Frame]:
        """Return the frames that begin the stream."""

    @abstractmethod
    def _open(self, block: StreamBlock) -> list[Frame]:
        """Return the frames that begin a block."""

    @abstractmethod
    def _grow(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        """Return the frames of a delta, which ``block`` already has."""

    @abstractmethod
    def _close(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        """Return the frames that end a block."""

    @abstractmethod
    def _ended(self, event: Ended) -> list[Frame]:
        """Return the frames that end a complete stream."""

    @abstractmethod
    def _failed(self, event: Failed) -> list[Frame]:
        """Return the frames that end a failed stream."""


_METHODS: Final[Mapping[type, Callable[[BlockEncoder, Any], list[Frame]]]] = {
    BlockDelta: BlockEncoder._block_delta,
    BlockStarted: BlockEncoder._block_started,
    BlockEnded: BlockEncoder._block_ended,
    Started: lambda encoder, event: encoder._started(event),
    Finished: lambda encoder, event: encoder._finished(event),
    Ended: lambda encoder, event: encoder._ended(event),
    Failed: lambda encoder, event: encoder._failed(event),
}


def has_source(note: Mapping[str, Any]) -> bool:
    """Tell whether an annotation names a page or a document."""
    return bool(note.get("url") or note.get("file_id") or note.get("filename"))


class Citation(NamedTuple):
    """An annotation with the span that it supports, from ``start`` to ``end`` in characters of its text."""

    note: Mapping[str, Any]
    start: int
    end: int
    span: str


def citations_in(text: str, notes: Iterable[Mapping[str, Any]]) -> Iterator[Citation]:
    """Yield the annotations of ``text`` that name a page or a document. One without an end goes to the end of the text.

    Thousands may support the same long span, so spans are empty where they would repeat the text too often.
    """
    budget = _REPETITIONS * len(text) + _SHORT_SPANS
    for note in filter(has_source, notes):
        start, end = count(note.get("start_index")) or 0, count(note.get("end_index"))
        end = len(text) if end is None else end
        budget -= max(0, min(end, len(text)) - start)
        yield Citation(note, start, end, text[start:end] if budget >= 0 else "")


def finish_word(
    finish: Finish | None,
    words: Mapping[FinishReason, str],
    reasons: Mapping[str, FinishReason],
    stop_sequence: str,
    *,
    refused: bool = False,
) -> str:
    """Return a format's word for why an answer ended.

    ``words`` has the word of each reason and ``reasons`` the reason of each word; the upstream's own word
    is kept where it is one of these. A stop with a refusal counts as filtered content. ``stop_sequence``
    is the word for a stop sequence.
    """
    if finish is None:
        return words["stop"]
    if refused and finish.reason == "stop":
        return words["content_filter"]
    if finish.raw is not None and reasons.get(finish.raw) == finish.reason:
        return finish.raw
    return stop_sequence if finish.stop_sequence else words[finish.reason]
