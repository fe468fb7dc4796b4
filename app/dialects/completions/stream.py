"""Streams of text completions: canonical events whose blocks are texts, one a choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Failed, Finished, Started
from app.canonical.media import CompletionRequest
from app.canonical.request import RefusalPart, TextPart
from app.dialects.base import DONE, ClientContext, Frame, ServerContext
from app.dialects.chat.chunks import ChunkDecoder
from app.dialects.chat.usage import decode_finish, decode_usage, encode_finish, encode_usage
from app.dialects.completions.logprobs import legacy_logprobs, token_rows
from app.dialects.shared.lenient_json import as_str, count, opt_str, rest, without_nulls
from app.dialects.shared.repeats import Grow

_TOP: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})


class CompletionStreamDecoder(ChunkDecoder):
    """Frames of a text-completions stream to events. Frames after the end are passed over."""

    growing = (("choices", 0, "text"),)

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._blocks: dict[int, int] = {}
        self._choices: dict[int, Mapping[str, Any] | None] = {}
        self._top: dict[str, Any] = {}

    def _grow_of(self, chunk: Mapping[str, Any], block: int) -> Grow:
        return str  # nothing is kept of a text

    def _note(self, chunk: Mapping[str, Any]) -> None:
        self._usage = decode_usage(chunk.get("usage")) or self._usage
        self._top.update(without_nulls(rest(chunk, _TOP)))

    def _opening(self, chunk: Mapping[str, Any]) -> Started:
        return Started(opt_str(chunk.get("id")), opt_str(chunk.get("model")), count(chunk.get("created")))

    def _feed_choice(self, choice: Mapping[str, Any], events: list[Event]) -> None:
        index = count(choice.get("index")) or 0
        self._choices.setdefault(index, None)
        text, rows = as_str(choice.get("text")), token_rows(choice.get("logprobs"))
        if text or rows:
            if index not in self._blocks:
                self._blocks[index] = len(self._blocks)
                events.append(BlockStarted(self._blocks[index], 0, TextPart(""), index))
            events.append(BlockDelta(self._blocks[index], text, rows or None))
        if opt_str(choice.get("finish_reason")) is not None:
            self._choices[index] = choice

    def _finishes(self) -> Collection[Mapping[str, Any] | None]:
        return self._choices.values()

    def _closing(self) -> list[Event]:
        events: list[Event] = [BlockEnded(block) for block in self._blocks.values()]
        for index, choice in sorted(self._choices.items()):
            raw = choice or {}
            finish = decode_finish(
                raw.get("finish_reason"), calls=False, stop_sequence=raw.get("matched_stop")
            )
            events.append(Finished(finish, index))
        return [*events, Ended(self._usage, ("completions", self._top) if self._top else None)]


class CompletionStreamEncoder:
    """Events to ``text_completion`` chunks; blocks that are no text show nothing."""

    def __init__(self, request: CompletionRequest, context: ServerContext) -> None:
        self._include_usage = request.include_usage
        self._context = context
        self._base: dict[str, Any] = {
            "id": context.response_id or "",
            "object": "text_completion",
            "created": context.now,
            "model": context.model or request.model,
        }
        self._choices: dict[int, int] = {}
        self._lengths: dict[int, int] = {}

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of ``event``, in order; may be none."""
        return _WRITERS[type(event)](self, event)

    def _started(self, event: Started) -> list[Frame]:
        self._base["id"] = self._context.response_id or event.id or self._context.new_id("cmpl-")
        self._base["model"] = event.model or self._base["model"]
        self._base["created"] = self._context.now if event.created is None else event.created
        return []

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        if isinstance(event.part, TextPart | RefusalPart):
            self._choices[event.block] = event.choice
        return []

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        choice = self._choices.get(event.block)
        if choice is None or not (event.text or event.logprobs):
            return []
        start = self._lengths.get(choice, 0)
        self._lengths[choice] = start + len(event.text)
        return [self._chunk(choice, event.text, legacy_logprobs(event.logprobs or (), start))]

    def _chunk(self, choice: int, text: str, logprobs: Any, finish: str | None = None) -> Frame:
        row = {"text": text, "index": choice, "logprobs": logprobs, "finish_reason": finish}
        data: dict[str, Any] = {**self._base, "choices": [row]}
        if self._include_usage:
            data["usage"] = None
        return Frame(None, data)

    def _ignore(self, _: Event) -> list[Frame]:
        return []

    def _finished(self, event: Finished) -> list[Frame]:
        return [self._chunk(event.choice, "", None, encode_finish(event.finish, calls=False))]

    def _ended(self, event: Ended) -> list[Frame]:
        if not self._include_usage or event.usage is None:
            return [DONE]
        return [Frame(None, {**self._base, "choices": [], "usage": encode_usage(event.usage)}), DONE]

    def _failed(self, event: Failed) -> list[Frame]:
        return [Frame(None, {"error": event.error.body()})]


_WRITERS: Final[Mapping[type, Callable[[CompletionStreamEncoder, Any], list[Frame]]]] = {
    Started: CompletionStreamEncoder._started,
    BlockStarted: CompletionStreamEncoder._block_started,
    BlockDelta: CompletionStreamEncoder._block_delta,
    BlockEnded: CompletionStreamEncoder._ignore,
    Finished: CompletionStreamEncoder._finished,
    Ended: CompletionStreamEncoder._ended,
    Failed: CompletionStreamEncoder._failed,
}
