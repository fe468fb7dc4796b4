"""Overlapping blocks put one after another, for wires whose clients read one block at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Event, Finished
from app.canonical.request import ToolCallPart
from app.dialects.shared.tool_forms import object_text

_BlockEvent = BlockStarted | BlockDelta | BlockEnded


class BlockSequence:
    """Returns the events of a stream so that no two blocks of a choice are open at once.

    A block that starts while another is open is held until that one ends. Without
    ``choices`` only the first choice passes. Each event is held at most once.
    """

    def __init__(self, *, choices: bool = False) -> None:
        self._choices = choices
        self._choice_of: dict[int, int] = {}
        self._queues: dict[int, deque[int]] = {}
        self._waiting: dict[int, list[_BlockEvent]] = {}

    def feed(self, event: Event) -> list[Event]:
        """Return the events that may go out now, in order."""
        if isinstance(event, BlockStarted):
            return self._start(event)
        if isinstance(event, BlockDelta | BlockEnded):
            return self._follow(event)
        if isinstance(event, Finished) and event.choice and not self._choices:
            return []
        return [event]

    def _start(self, event: BlockStarted) -> list[Event]:
        if event.choice and not self._choices:
            return []
        self._choice_of[event.block] = event.choice
        queue = self._queues.setdefault(event.choice, deque())
        queue.append(event.block)
        if queue[0] == event.block:
            return [event]
        self._waiting[event.block] = [event]
        return []

    def _follow(self, event: BlockDelta | BlockEnded) -> list[Event]:
        choice = self._choice_of.get(event.block)
        if choice is None:
            return []
        queue = self._queues[choice]
        if queue[0] != event.block:
            self._waiting[event.block].append(event)
            return []
        return [event] if isinstance(event, BlockDelta) else [event, *self._release(queue)]

    def _release(self, queue: deque[int]) -> list[Event]:
        """Drop the block that ended and return what waited behind it, up to one that is still open."""
        released: list[Event] = []
        self._choice_of.pop(queue.popleft())
        while queue:
            waiting = self._waiting.pop(queue[0])
            released += waiting
            if not isinstance(waiting[-1], BlockEnded):
                break
            self._choice_of.pop(queue.popleft())
        return released


@dataclass(slots=True)
class _Call:
    """A call as it grows; ``passes``: its input is a JSON object as it comes."""

    part: ToolCallPart
    held: list[str] = field(default_factory=list)
    passes: bool = False

    def grow(self, text: str) -> str:
        """Return what of the input may go out now."""
        if self.passes:
            return text
        self.held.append(text)
        begun = "".join(self.held)
        self.passes = self.part.kind == "function" and begun.lstrip().startswith("{")
        return begun if self.passes else ""

    def end(self) -> str:
        """Return the rest of the input."""
        whole = "".join(self.held)
        is_said = self.passes or not (whole or self.part.kind == "custom")
        return "" if is_said else object_text(replace(self.part, arguments=whole))


class CallSequence(BlockSequence):
    """A sequence for wires on which the input of each call is a JSON object: any other comes whole, as it
    would in a whole answer."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, _Call] = {}

    def feed(self, event: Event) -> list[Event]:
        """Return the events that may go out now, in order."""
        events = super().feed(event)
        if not self._calls and not isinstance(event, BlockStarted):
            return events
        return [made for one in events for made in self._written(one)]

    def _written(self, event: Event) -> list[Event]:
        if isinstance(event, BlockStarted) and isinstance(event.part, ToolCallPart):
            self._calls[event.block] = _Call(event.part)
            return [replace(event, part=replace(event.part, kind="function"))]
        if isinstance(event, BlockDelta) and (call := self._calls.get(event.block)) is not None:
            return [replace(event, text=text)] if (text := call.grow(event.text)) else []
        if isinstance(event, BlockEnded) and (call := self._calls.pop(event.block, None)) is not None:
            return [BlockDelta(event.block, text), event] if (text := call.end()) else [event]
        return [event]
