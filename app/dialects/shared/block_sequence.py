"""Overlapping blocks in sequence, for wires whose clients read one block at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Event, Finished
from app.canonical.request import ToolCallPart
from app.dialects.shared.tool_forms import object_text

_BlockEvent = BlockStarted | BlockDelta | BlockEnded


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
        if isinstance(event, BlockStarted):
            return self._start(event)
        if isinstance(event, BlockDelta | BlockEnded):
            return self._continue(event)
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
    """An open tool call. ``is_object``: its input has begun as a JSON object and is passed on as it comes."""

    part: ToolCallPart
    buffer: list[str] = field(default_factory=list)
    is_object: bool = False

    def grow(self, text: str) -> str:
        """Add a piece of input; return the text that may be written now."""
        if self.is_object:
            return text
        self.buffer.append(text)
        beginning = "".join(self.buffer)
        self.is_object = self.part.kind == "function" and beginning.lstrip().startswith("{")
        return beginning if self.is_object else ""

    def end(self) -> str:
        """Return the input that has not been written yet, as the text of a JSON object."""
        text = "".join(self.buffer)
        if self.is_object or not (text or self.part.kind == "custom"):
            return ""
        return object_text(replace(self.part, arguments=text))


class CallSequence(BlockSequence):
    """A ``BlockSequence`` for wires on which the input of every tool call is a JSON object.

    Input of any other form is written in one piece at the end, as in a non-streamed answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, _Call] = {}

    def feed(self, event: Event) -> list[Event]:
        """Return the events that may be written now, in order."""
        events = super().feed(event)
        if not self._calls and not isinstance(event, BlockStarted):
            return events
        return [converted for one in events for converted in self._convert(one)]

    def _convert(self, event: Event) -> list[Event]:
        if isinstance(event, BlockStarted) and isinstance(event.part, ToolCallPart):
            self._calls[event.block] = _Call(event.part)
            return [replace(event, part=replace(event.part, kind="function"))]
        if isinstance(event, BlockDelta) and (call := self._calls.get(event.block)) is not None:
            return [replace(event, text=text)] if (text := call.grow(event.text)) else []
        if isinstance(event, BlockEnded) and (call := self._calls.pop(event.block, None)) is not None:
            return [BlockDelta(event.block, text), event] if (text := call.end()) else [event]
        return [event]
