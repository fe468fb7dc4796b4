"""The stream of a chat completion decoded as canonical events.

Chunks do not mark where blocks begin and end. A block opens with the first delta of its kind. Reasoning and
text close when another kind begins; calls stay open, because their fragments may interleave. Finish
reasons may come early, twice, or before further calls, so the closing events are returned at ``[DONE]``
or, for servers without it, at the end of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, get_args

from app.canonical.events import BlockDelta, BlockStarted, Ended, Event, Finished, Started
from app.canonical.request import Form, Part, ReasoningPart, RefusalPart, TextPart
from app.dialects.base import ClientContext
from app.dialects.chat.annotations import annotations_of, citation_annotations
from app.dialects.chat.chunks import ChunkDecoder
from app.dialects.chat.options import as_native
from app.dialects.chat.reasoning import decode_entry, thought_signature
from app.dialects.chat.response_in import (
    CHOICE_MEMBERS,
    TOP_MEMBERS,
    arguments_text,
    audio_part,
    choice_members,
    content_part,
    decode_image,
    growing_member,
    remainder,
    sign,
    token_logprobs,
    usage_member,
)
from app.dialects.chat.tool_calls_in import CallStream
from app.dialects.chat.usage import decode_choice_finish, decode_usage
from app.dialects.shared.blocks import OpenBlock
from app.dialects.shared.decoder_parts import nameless_call
from app.dialects.shared.lenient_json import as_dict, as_list, count, dicts, opt_str
from app.dialects.shared.repeats import Grow

_NO_REMAINDER: Final = TOP_MEMBERS | {"obfuscation", "p"}
_TEXT: Final = TextPart("")
_THOUGHTS: Final = {form: ReasoningPart("", form) for form in get_args(Form)}
_PLAIN: Final = frozenset({"role", "content"})
"""The members of most deltas, for which no other reader is needed."""


@dataclass(slots=True)
class _Choice:
    """One choice: its open block, its calls and its finish.

    ``block`` is None if only calls are open; ``entry`` is its index in ``reasoning_details``. ``item`` is
    the current item, ``group`` what it collects. ``waiting`` are annotations for which there is no text
    yet. ``finish`` is the chunk's choice with the finish reason.
    """

    index: int
    calls: CallStream
    member: str = "delta"
    block: OpenBlock | None = None
    item: int = -1
    group: str = ""
    entry: Any = None
    annotated: bool = False
    waiting: list[dict[str, Any]] = field(default_factory=list)
    finish: Mapping[str, Any] | None = None

    @property
    def text(self) -> OpenBlock | None:
        """The open block if it is a text."""
        return self.block if self.block is not None and isinstance(self.block.part, TextPart) else None


class ChatStreamDecoder(ChunkDecoder):
    """Decodes the chunks of a chat completion."""

    growing = (
        ("choices", 0, "delta", "content"),
        ("choices", 0, "delta", "reasoning_content"),
        ("choices", 0, "delta", "reasoning"),
        ("choices", 0, "delta", "tool_calls", 0, "function", "arguments"),
    )

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._context = context
        self._sign = partial(sign, context)
        self._choices: dict[int, _Choice] = {}
        self._blocks = 0
        self._tier: str | None = None
        self._top: dict[str, Any] = {}
        self._rows: dict[int, dict[str, Any]] = {}
        self._latest: _Choice | None = None

    def _grow_of(self, chunk: Mapping[str, Any], block: int) -> Grow | None:
        choice, rows = self._latest, chunk["choices"]
        if choice is None or len(rows) > 1 or len(as_dict(rows[0].get("delta"))) > 1:
            return None
        if rows[0].get("finish_reason") is not None or any(isinstance(v, list) for v in rows[0].values()):
            return None
        open_block = choice.block
        if open_block is not None and open_block.number == block:
            return (
                open_block.pieces.append if type(open_block.part) is TextPart else str
            )  # reasoning is not recorded
        call = next((call for call in reversed(choice.calls.all()) if call.block == block), None)
        return None if call is None else call.arguments.append

    def _note(self, chunk: Mapping[str, Any]) -> None:
        """Record what belongs to the whole answer: the latest usage, the service tier, native members."""
        self._usage = decode_usage(usage_member(chunk)) or self._usage
        self._tier = opt_str(chunk.get("service_tier")) or self._tier
        if not chunk.keys() <= _NO_REMAINDER:
            self._top |= remainder(chunk, _NO_REMAINDER)

    def _opening(self, chunk: Mapping[str, Any]) -> Started:
        native, created_at = as_native(dict(self._top)), count(chunk.get("created")) or None
        return Started(opt_str(chunk.get("id")), opt_str(chunk.get("model")), created_at, self._tier, native)

    def _feed_choice(self, raw: Mapping[str, Any], events: list[Event]) -> None:
        choice = self._latest = self._choice(count(raw.get("index")) or 0, raw)
        delta = as_dict(raw.get(choice.member))
        is_plain = delta.keys() <= _PLAIN
        if is_plain:
            self._content(choice, delta, raw, events)
        else:
            for members, reader in _READERS:
                if not (members and delta.keys().isdisjoint(members)):
                    reader(self, choice, delta, raw, events)
        if not (is_plain and raw.keys() <= CHOICE_MEMBERS) and (own := choice_members(raw, choice.member)):
            gather(self._rows.setdefault(choice.index, {}), own)
        if opt_str(raw.get("finish_reason")) is not None:
            choice.finish = raw

    def _choice(self, index: int, raw: Mapping[str, Any]) -> _Choice:
        if index not in self._choices:
            calls = CallStream(index, self._context)
            self._choices[index] = _Choice(index, calls, growing_member(raw))
        return self._choices[index]

    def _block(self, choice: _Choice, part: Part, events: list[Event], group: str = "message") -> OpenBlock:
        """Return the open block if it is of the kind of ``part``, else close it and open one.

        Adjacent blocks of one ``group`` (reasoning, message) are one item. Each call is an item of its
        own, which ends when something follows it, if its arguments are complete.
        """
        block = choice.block
        if block is not None and (block.part is part or _kind(block.part) == _kind(part)):
            return block
        self._close(choice, events)
        events += choice.calls.ends(whole=True)
        if choice.group != group:
            choice.item, choice.group = choice.item + 1, group
        block = choice.block = OpenBlock(self._next_block(), choice.item, part)
        events.append(BlockStarted(block.number, choice.item, part, choice.index))
        self._place_text(choice, events)
        return block

    def _next_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1

    def _close(self, choice: _Choice, events: list[Event]) -> None:
        if choice.block is not None:
            events.append(choice.block.end_event())
        choice.block, choice.entry = None, None

    def _reasoning(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        has_text = self._details(choice, delta, events)
        text = opt_str(delta.get("reasoning")) or opt_str(delta.get("reasoning_content"))
        if text and not has_text:
            self._think(choice, ReasoningPart(text), events)

    def _details(self, choice: _Choice, delta: Mapping[str, Any], events: list[Event]) -> bool:
        """Decode ``reasoning_details``; return whether they have any text."""
        has_text = False
        for entry in dicts(delta.get("reasoning_details")):
            if choice.calls.sign(entry, self._sign):
                continue
            part = decode_entry(entry, self._sign)
            if isinstance(part, ReasoningPart):
                has_text = has_text or bool(part.text)
                self._think(choice, part, events, entry.get("index"))
            else:
                self._add_whole(choice, part, events, "reasoning")
        return has_text

    def _add_whole(self, choice: _Choice, part: Part, events: list[Event], group: str = "message") -> None:
        """Add a block that has no deltas."""
        self._block(choice, part, events, group)
        self._close(choice, events)

    def _think(self, choice: _Choice, part: ReasoningPart, events: list[Event], entry: Any = None) -> None:
        """Add a piece of reasoning; a signature ends its block, and so does another ``entry``."""
        if not (part.text or part.signature):
            return
        if entry is not None and choice.entry not in (None, entry):
            self._close(choice, events)
        block = self._block(choice, _THOUGHTS[part.form], events, "reasoning")
        events += block.add(part.text)
        choice.entry, block.native, block.signed = entry, part.native or block.native, part.signature
        if part.signature is not None:
            self._close(choice, events)

    def _content(
        self, choice: _Choice, delta: Mapping[str, Any], raw: Mapping[str, Any], events: list[Event]
    ) -> None:
        content = delta.get("content")
        if content is None and raw.get("logprobs") is None:
            return
        logprobs = token_logprobs(raw) or None
        if isinstance(content, str):
            self._grow_text(choice, content, logprobs, events)
            return
        for piece in as_list(content):
            part = content_part(piece, self._context)
            if isinstance(part, TextPart):
                self._grow_text(choice, part.text, logprobs, events)
            elif isinstance(part, RefusalPart):
                events += self._block(choice, RefusalPart(""), events).add(part.text)
            elif isinstance(part, ReasoningPart):
                self._think(choice, part, events)
            else:
                self._add_whole(choice, part, events)
        if content is None and logprobs and choice.text is not None:
            events += choice.text.add("", logprobs)

    def _grow_text(self, choice: _Choice, text: str, logprobs: Any, events: list[Event]) -> None:
        if text or logprobs:
            events += self._block(choice, _TEXT, events).add(text, logprobs)

    def _refusal(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        if text := opt_str(delta.get("refusal")):
            events += self._block(choice, RefusalPart(""), events).add(text)

    def _audio(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        audio = as_dict(delta.get("audio"))
        if not audio:
            return
        part = audio_part(audio, self._context)
        block = self._block(choice, audio_part({"id": audio.get("id")}, self._context), events)
        if part.native is not None:
            block.native = part.native
        if part.data or part.transcript:
            events.append(BlockDelta(block.number, part.data or "", transcript=part.transcript or ""))

    def _images(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        for row in dicts(delta.get("images")):
            self._add_whole(choice, decode_image(row), events)

    def _thought_signature(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        """Add the thought signature of a message, as Gemini's OpenAI-compatible API has it."""
        if secret := thought_signature(delta):
            self._think(choice, ReasoningPart("", "hidden", self._sign(secret)), events)

    def _annotations(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        choice.waiting += annotations_of(delta)
        self._place_text(choice, events)

    def _place_text(self, choice: _Choice, events: list[Event]) -> None:
        """Add the waiting annotations to the open text, if one is open."""
        if choice.text is not None and choice.waiting:
            number, choice.annotated = choice.text.number, True
            events += [BlockDelta(number, annotation=row) for row in choice.waiting]
            choice.waiting = []

    def _calls(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        for fragment in dicts(delta.get("tool_calls")):
            self._feed_call(choice, fragment, events)
        if legacy := as_dict(delta.get("function_call")):
            self._feed_call(choice, {"index": -1, "function": legacy}, events)

    def _feed_call(self, choice: _Choice, fragment: Mapping[str, Any], events: list[Event]) -> None:
        """Add one fragment of a call; the block opens when the call has its name."""
        call, text = choice.calls.feed(fragment, arguments_text)
        if call.block is None and call.name:
            self._close(choice, events)
            choice.item, choice.group = choice.item + 1, "call"
            call.block = self._next_block()
            events.append(BlockStarted(call.block, choice.item, call.part(), choice.index))
            text = call.opening()
        if call.block is not None and text and not call.ended:
            events.append(BlockDelta(call.block, text))

    def _finishes(self) -> list[Mapping[str, Any] | None]:
        return [choice.finish for choice in self._choices.values()]

    def _closing(self) -> list[Event]:
        choices = self._choices.values()
        if any(call.block is None for choice in choices for call in choice.calls.all()):
            return self._fail(nameless_call())
        events: list[Event] = []
        for choice in choices:
            self._close_choice(choice, events)
        for choice in choices:
            finish = decode_choice_finish(choice.finish or {}, calls=bool(choice.calls.all()))
            events.append(Finished(finish, choice.index))
        if self._rows:
            self._top["choices"] = [{"index": index, **row} for index, row in sorted(self._rows.items())]
        events.append(Ended(self._usage, as_native(self._top), self._tier))
        return events

    def _close_choice(self, choice: _Choice, events: list[Event]) -> None:
        """Close the blocks of a choice; late annotations and citations are added to its last text."""
        if choice.item < 0 and not choice.calls.all():  # an empty answer is one empty text
            self._block(choice, _TEXT, events)
        if choice.text is not None and not (choice.waiting or choice.annotated):
            choice.waiting += citation_annotations(choice.text.text, self._top)
        if choice.waiting:
            self._block(choice, _TEXT, events)
        self._place_text(choice, events)
        self._close(choice, events)
        events += choice.calls.ends()


def _kind(part: Part) -> tuple[type, str | None]:
    return type(part), part.form if isinstance(part, ReasoningPart) else None


def gather(into: dict[str, Any], members: Mapping[str, Any]) -> None:
    """Add the members of one chunk to those before: lists grow, for others the latest value counts."""
    for name, value in members.items():
        if not isinstance(value, list | dict):
            into[name] = value
            continue
        if not isinstance(into.get(name), type(value)):
            into[name] = type(value)()
        if isinstance(value, list):
            into[name] += value
        else:
            gather(into[name], value)


_READERS: Final = (
    # the members of a delta that need the reader (none: it is always called), the reader
    (("reasoning", "reasoning_content", "reasoning_details"), ChatStreamDecoder._reasoning),
    ((), ChatStreamDecoder._content),
    (("refusal",), ChatStreamDecoder._refusal),
    (("audio",), ChatStreamDecoder._audio),
    (("images",), ChatStreamDecoder._images),
    ((), ChatStreamDecoder._annotations),
    (("tool_calls", "function_call"), ChatStreamDecoder._calls),
    (("extra_content",), ChatStreamDecoder._thought_signature),
)
