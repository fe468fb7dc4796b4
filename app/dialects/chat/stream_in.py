"""The stream of a chat completion, read into canonical events.

The wire has no block edges: a block opens with the first delta of its kind, reasoning
and text close when another kind begins, calls stay open because their fragments may
interleave. Finish reasons come early, twice, or before further calls, so all closing
events wait for ``[DONE]`` or, on wires without it, the end of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Finished, Started
from app.canonical.request import OpaquePart, Part, ReasoningPart, RefusalPart, Signature, TextPart
from app.dialects.base import ClientContext
from app.dialects.chat.annotations import annotations_of, citation_annotations
from app.dialects.chat.chunks import ChunkDecoder
from app.dialects.chat.native import as_native, own_members
from app.dialects.chat.reasoning import decode_entry, thought_signature
from app.dialects.chat.response_in import (
    CHOICE_MEMBERS,
    TOP_MEMBERS,
    arguments_text,
    audio_part,
    content_part,
    decode_image,
    growing_member,
    remainder,
    sign,
    token_logprobs,
    usage_member,
)
from app.dialects.chat.tool_calls_in import CallStream
from app.dialects.chat.usage import decode_finish, decode_usage
from app.dialects.shared.decoder_parts import nameless_call
from app.dialects.shared.lenient_json import as_dict, count, dicts, opt_str
from app.dialects.shared.repeats import Grow

_NO_REMAINDER: Final = TOP_MEMBERS | {"obfuscation", "p"}
_PLAIN: Final = frozenset({"role", "content"})
"""The members of most deltas: the other readers need not look."""


@dataclass(slots=True)
class _Choice:
    """One choice as it grows: the open speech or reasoning block, its calls, its finish."""

    index: int
    calls: CallStream
    member: str = "delta"
    kind: str | None = None
    block: int = -1
    item: int = -1
    group: str = ""
    signature: Signature | None = None
    native: dict[str, Any] = field(default_factory=dict)
    entry: Any = None
    texts: list[str] = field(default_factory=list)
    annotated: bool = False
    waiting: list[dict[str, Any]] = field(default_factory=list)
    finish: Mapping[str, Any] | None = None


class ChatStreamDecoder(ChunkDecoder):
    """Frames of a chat-completions stream to events. ``feed`` takes parsed chunks; frames
    after the end are passed over."""

    growing = (
        ("choices", 0, "delta", "content"),
        ("choices", 0, "delta", "reasoning_content"),
        ("choices", 0, "delta", "reasoning"),
        ("choices", 0, "delta", "tool_calls", 0, "function", "arguments"),
    )

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._context = context
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
        if rows[0].get("finish_reason") is not None:
            return None
        if choice.kind is not None and choice.block == block:
            return choice.texts.append if choice.kind == "text" else str  # of a thought nothing is kept
        call = next((call for call in reversed(choice.calls.all()) if call.block == block), None)
        return None if call is None else call.said.append

    def _note(self, chunk: Mapping[str, Any]) -> None:
        """Keep what belongs to the whole answer: usage (the last wins), tier, further members."""
        self._usage = decode_usage(usage_member(chunk)) or self._usage
        self._tier = opt_str(chunk.get("service_tier")) or self._tier
        if not chunk.keys() <= _NO_REMAINDER:
            self._top |= remainder(chunk, _NO_REMAINDER)

    def _opening(self, chunk: Mapping[str, Any]) -> Started:
        native = as_native(dict(self._top))
        created = count(chunk.get("created"))
        return Started(
            opt_str(chunk.get("id")), opt_str(chunk.get("model")), created or None, self._tier, native
        )

    def _feed_choice(self, raw: Mapping[str, Any], events: list[Event]) -> None:
        choice = self._latest = self._choice(count(raw.get("index")) or 0, raw)
        delta = as_dict(raw.get(choice.member))
        if delta.keys() <= _PLAIN:
            self._content(choice, delta, raw, events)
        else:
            for members, read in _READERS:
                if not (members and delta.keys().isdisjoint(members)):
                    read(self, choice, delta, raw, events)
        if not raw.keys() <= CHOICE_MEMBERS and (own := remainder(raw, CHOICE_MEMBERS)):
            self._rows.setdefault(choice.index, {}).update(own)
        if opt_str(raw.get("finish_reason")) is not None:
            choice.finish = raw

    def _choice(self, index: int, raw: Mapping[str, Any]) -> _Choice:
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = _Choice(
                index, CallStream(index, self._context), growing_member(raw)
            )
        return known

    def _open(
        self, choice: _Choice, kind: str, part: Part, events: list[Event], group: str = "message"
    ) -> int:
        """Open a block of ``kind``, closing the one that is open. Blocks of one ``group``
        in a row are one item: reasoning, message; each call is an item of its own, and done
        when what follows it begins, if its arguments are whole."""
        self._close(choice, events)
        events += choice.calls.ends(whole=True)
        if choice.group != group:
            choice.item, choice.group = choice.item + 1, group
        choice.kind, choice.block = kind, self._next_block()
        events.append(BlockStarted(choice.block, choice.item, part, choice.index))
        return choice.block

    def _next_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1

    def _close(self, choice: _Choice, events: list[Event]) -> None:
        if choice.kind is None:
            return
        events.append(BlockEnded(choice.block, choice.signature, as_native(choice.native)))
        choice.kind, choice.signature, choice.native, choice.entry = None, None, {}, None

    def _reasoning(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        shown = self._details(choice, delta, events)
        text = opt_str(delta.get("reasoning")) or opt_str(delta.get("reasoning_content"))
        if text and not shown:
            self._grow_thinking(choice, "text", text, None, events)

    def _details(self, choice: _Choice, delta: Mapping[str, Any], events: list[Event]) -> bool:
        """Read ``reasoning_details``; tell whether they held any of the text."""
        shown = False
        for entry in dicts(delta.get("reasoning_details")):
            if choice.calls.sign(entry, lambda text: sign(self._context, text)):
                continue
            part = decode_entry(entry, lambda text: sign(self._context, text))
            if isinstance(part, OpaquePart):
                self._open(choice, "opaque", part, events, "reasoning")
                self._close(choice, events)
                continue
            if isinstance(part, ReasoningPart):
                shown = shown or bool(part.text)
                self._thought(choice, part, entry, events)
        return shown

    def _thought(
        self, choice: _Choice, part: ReasoningPart, entry: Mapping[str, Any], events: list[Event]
    ) -> None:
        own = own_members(part.native)
        if part.form == "hidden":
            self._open(choice, "hidden", ReasoningPart("", "hidden"), events, "reasoning")
            choice.signature, choice.native = part.signature, own
            self._close(choice, events)
            return
        if not part.text and part.signature is None:
            return
        self._grow_thinking(choice, part.form, part.text, entry.get("index"), events)
        choice.native = own
        if part.signature is not None:
            choice.signature = part.signature
            self._close(choice, events)

    def _grow_thinking(self, choice: _Choice, form: Any, text: str, entry: Any, events: list[Event]) -> None:
        kind = f"reasoning.{form}"
        if choice.kind != kind or (entry is not None and choice.entry not in (None, entry)):
            self._open(choice, kind, ReasoningPart("", form), events, "reasoning")
        choice.entry = entry
        if text:
            events.append(BlockDelta(choice.block, text))

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
        for piece in dicts(content):
            part = content_part(piece, self._context)
            if isinstance(part, TextPart):
                self._grow_text(choice, part.text, logprobs, events)
            elif isinstance(part, RefusalPart):
                self._decline(choice, part.text, events)
            elif isinstance(part, ReasoningPart):
                self._grow_reasoning(choice, part, events)
            elif part is not None:
                self._open(choice, "opaque", part, events)
                self._close(choice, events)
        if content is None and logprobs and choice.kind == "text":
            events.append(BlockDelta(choice.block, logprobs=logprobs))

    def _grow_reasoning(self, choice: _Choice, part: ReasoningPart, events: list[Event]) -> None:
        """A thinking part of a content list; its signature comes with the last."""
        if part.text or part.signature is not None:
            self._grow_thinking(choice, "text", part.text, None, events)
        if part.signature is not None:
            choice.signature = part.signature

    def _grow_text(self, choice: _Choice, text: str, logprobs: Any, events: list[Event]) -> None:
        if not text and not logprobs:
            return
        if choice.kind != "text":
            self._open(choice, "text", TextPart(""), events)
            self._place_text(choice, events)
        choice.texts.append(text)
        events.append(BlockDelta(choice.block, text, logprobs))

    def _refusal(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        if text := opt_str(delta.get("refusal")):
            self._decline(choice, text, events)

    def _decline(self, choice: _Choice, text: str, events: list[Event]) -> None:
        if choice.kind != "refusal":
            self._open(choice, "refusal", RefusalPart(""), events)
        events.append(BlockDelta(choice.block, text))

    def _audio(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        audio = as_dict(delta.get("audio"))
        if not audio:
            return
        part = audio_part(audio, self._context)
        if choice.kind != "audio":
            opened = audio_part({"id": audio.get("id")}, self._context)
            self._open(choice, "audio", opened, events)
        if part.native is not None:
            choice.native = own_members(part.native)
        if part.data or part.transcript:
            events.append(BlockDelta(choice.block, part.data or "", transcript=part.transcript or ""))

    def _images(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        for row in dicts(delta.get("images")):
            self._open(choice, "image", decode_image(row), events)
            self._close(choice, events)

    def _annotations(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        choice.waiting += annotations_of(delta)
        if choice.waiting and choice.kind == "text":
            self._place_text(choice, events)

    def _place_text(self, choice: _Choice, events: list[Event]) -> None:
        """Give the waiting annotations to the open text."""
        choice.annotated = choice.annotated or bool(choice.waiting)
        events += [BlockDelta(choice.block, annotation=row) for row in choice.waiting]
        choice.waiting = []

    def _calls(
        self, choice: _Choice, delta: Mapping[str, Any], _: Mapping[str, Any], events: list[Event]
    ) -> None:
        fragments = dicts(delta.get("tool_calls"))
        legacy = as_dict(delta.get("function_call"))
        if legacy:
            fragments = [*fragments, {"index": -1, "function": legacy}]
        for fragment in fragments:
            self._feed_call(choice, fragment, events)

    def _feed_call(self, choice: _Choice, fragment: Mapping[str, Any], events: list[Event]) -> None:
        """Pass one fragment on; a call that has its name now opens its block."""
        call, text = choice.calls.feed(fragment, arguments_text)
        if call.block is None and call.named:
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
        calls_made = (call for choice in self._choices.values() for call in choice.calls.all())
        if any(call.block is None for call in calls_made):
            return self._fail(nameless_call())
        events: list[Event] = []
        for choice in self._choices.values():
            self._settle(choice, events)
        for choice in self._choices.values():
            raw = choice.finish or {}
            calls = bool(choice.calls.all())
            finish = decode_finish(
                raw.get("finish_reason"), calls=calls, stop_sequence=raw.get("matched_stop")
            )
            events.append(Finished(finish, choice.index))
        if self._rows:
            self._top["choices"] = [{"index": index, **row} for index, row in sorted(self._rows.items())]
        events.append(Ended(self._usage, as_native(self._top), self._tier))
        return events

    def _settle(self, choice: _Choice, events: list[Event]) -> None:
        """Close a choice's blocks; late annotations and citations go to its last text."""
        if choice.item < 0 and not choice.calls.all():  # a whole answer says nothing in one empty text
            self._open(choice, "text", TextPart(""), events)
        if choice.kind == "text" and not (choice.waiting or choice.annotated):
            choice.waiting += citation_annotations("".join(choice.texts), self._top)
        if choice.waiting:
            if choice.kind != "text":
                self._open(choice, "text", TextPart(""), events)
            self._place_text(choice, events)
        self._close(choice, events)
        events += choice.calls.ends()


def _google(
    decoder: ChatStreamDecoder, choice: _Choice, delta: Mapping[str, Any], _: Any, events: list[Event]
) -> None:
    """A thought signature on the message itself is a hidden reasoning block."""
    if secret := thought_signature(delta):
        decoder._open(choice, "hidden", ReasoningPart("", "hidden"), events, "reasoning")
        choice.signature = sign(decoder._context, secret)
        decoder._close(choice, events)


_READERS: Final = (
    # the members of a delta that it reads (none: whatever the delta holds), the reader
    (("reasoning", "reasoning_content", "reasoning_details"), ChatStreamDecoder._reasoning),
    ((), ChatStreamDecoder._content),
    (("refusal",), ChatStreamDecoder._refusal),
    (("audio",), ChatStreamDecoder._audio),
    (("images",), ChatStreamDecoder._images),
    ((), ChatStreamDecoder._annotations),
    (("tool_calls", "function_call"), ChatStreamDecoder._calls),
    (("extra_content",), _google),
)
