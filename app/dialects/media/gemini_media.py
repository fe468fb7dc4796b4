"""What the audio and image dialects of Gemini's generateContent share: a stream decoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from app.canonical.events import BlockDelta, BlockStarted, Ended, Event, Failed
from app.canonical.request import Part
from app.dialects.base import ClientContext
from app.dialects.gemini.dialect import DIALECT as GENERATION
from app.dialects.media.audio import E, MediaDecoder


class GeminiMediaDecoder(MediaDecoder[E]):
    """Decode the blocks of one class of parts, ``part_type``, in a stream of streamGenerateContent."""

    part_type: type[Part]

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._decoder = GENERATION.stream_decoder(context)
        self._blocks: set[int] = set()

    def _decode(self, event: str | None, data: Any) -> Sequence[E]:
        return self._convert(self._decoder.feed(event, data))

    def _finish(self) -> Sequence[E]:
        return self._convert(self._decoder.eof())

    def _convert(self, events: Sequence[Event]) -> list[E]:
        result: list[Any] = []
        for event in events:
            if isinstance(event, BlockStarted) and isinstance(event.part, self.part_type):
                self._blocks.add(event.block)
                self._start(event.part)
            elif isinstance(event, BlockDelta) and event.block in self._blocks and event.text:
                result.append(self._delta(event.text))
            elif isinstance(event, Ended):
                result.append(self._ended(event))
            elif isinstance(event, Failed):
                result.append(event)
        return result

    def _start(self, part: Part) -> None:
        """Take the part of a block at its start."""

    @abstractmethod
    def _delta(self, text: str) -> E: ...

    @abstractmethod
    def _ended(self, event: Ended) -> E: ...
