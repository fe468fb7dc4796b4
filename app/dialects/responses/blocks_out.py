"""The events of each kind of block in a Responses stream: start, deltas and end.

A writer returns payloads, ``(event type, members)``, which the encoder numbers. It also folds the deltas
of its block, so that the final part is equal to what the deltas said.

Source: the event types and their order in OpenAI's API description and recorded streams
(docs/contract/streams.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from app.canonical.events import BlockDelta, BlockEnded
from app.canonical.request import (
    AudioPart,
    ImagePart,
    Item,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from app.dialects.responses.growths import ARGUMENTS, INPUT, REASONING, REFUSAL, SUMMARY, TEXT, Growth
from app.dialects.responses.items_out import ItemWriter, whole_annotation, whole_logprob
from app.dialects.responses.tools_in import Place
from app.dialects.shared.lenient_json import as_str
from app.dialects.shared.members import own_members

Payload = tuple[str, dict[str, Any]]
P = TypeVar("P", bound=Part)


@dataclass(slots=True)
class WireItem:
    """One output item of the stream.

    ``index`` is its index on the wire, ``number`` that of the canonical item, ``kind`` is its
    ``part_kind``. ``value`` is the final item, None until it is closed.
    """

    index: int
    number: int
    kind: str
    part: Part
    info: Item
    blocks: list[BlockWriter[Any]] = field(default_factory=list)
    status: str | None = None
    closed: bool = False
    value: dict[str, Any] | None = None
    _open: int = 0  # blocks
    _signed: bool = False
    _counts: dict[str | None, int] = field(default_factory=dict)
    place: Place | None = None

    @property
    def is_search(self) -> bool:
        """True for a call of the client's own tool search, whose arguments are not streamed."""
        return self.place is not None and self.place.search

    @property
    def type(self) -> str:
        """The type of the item on the wire."""
        if isinstance(self.part, OpaquePart):
            return self.part.type if self.kind == "opaque" else "message"
        if self.is_search:
            return "tool_search_call"
        if isinstance(self.part, ToolCallPart):
            return f"{'custom_tool' if self.part.kind == 'custom' else 'function'}_call"
        return _TYPES.get(self.kind, "message")

    @property
    def is_complete(self) -> bool:
        """True if every block that began has ended."""
        return not self._open

    def add(self, writer: BlockWriter[Any]) -> None:
        """Add a block."""
        self.blocks.append(writer)
        self._open += 1
        self._counts[writer.list_name] = self.count(writer.list_name) + 1

    def count(self, name: str | None) -> int:
        """Return the number of blocks in the list ``name`` of the item."""
        return self._counts.get(name, 0)

    def end_block(self, part: Part) -> None:
        """Record the end of a block; ``part`` is its final part."""
        self._open -= 1
        self._signed = self._signed or (isinstance(part, ReasoningPart) and bool(part.signature))

    @property
    def id(self) -> str:
        """The id of the item, empty before it has one."""
        return self.info.id or ""

    def set_id(self, item_id: str) -> None:
        """Set the id; an item of a hosted tool keeps its own."""
        own = as_str(self.part.native[1].get("id")) if isinstance(self.part, OpaquePart) else ""
        self.info = replace(self.info, id=own or item_id)

    def takes(self, kind: str) -> bool:
        """Tell whether a further block of ``kind`` belongs to this item.

        Only messages and reasoning have several blocks, until they are closed or signed.
        """
        return kind in ("content", "reasoning") and not (self.closed or self._signed)

    def may_close(self, *, is_last: bool) -> bool:
        """Tell whether the item can be closed: all its blocks ended.

        The last item is closed with the finish, which may make it incomplete; this does not
        concern hosted tools.
        """
        return self.is_complete and (not is_last or self.kind == "opaque")

    def closing_status(self, cut: str | None) -> str | None:
        """Return the status of the final item; reasoning has one only if its provider gave it.

        ``cut`` is the status for an item that was cut off, None for others.
        """
        if self.kind == "opaque":
            return None
        status = self.status or self.info.status
        return status if self.kind == "reasoning" else status or cut or "completed"

    def opening(self) -> dict[str, Any]:
        """Return the members of ``output_item.added``."""
        return {"output_index": self.index, "item": self._opening_item()}

    def _opening_item(self) -> dict[str, Any]:
        head = {"id": self.id, "type": self.type}
        part = self.part
        if isinstance(part, OpaquePart) and self.kind == "opaque":
            native = {**part.native[1], **head}
            return {**native, "status": "in_progress"} if "status" in native else native
        if isinstance(part, ReasoningPart):
            return {**head, "content": [], "summary": []} if part.form == "text" else {**head, "summary": []}
        head["status"] = "in_progress"
        if isinstance(part, ToolCallPart):
            slot = "input" if part.kind == "custom" else "arguments"
            if self.is_search:
                return {**head, "execution": "client", "arguments": {}, "call_id": part.id}
            place = self.place.members() if self.place else {"name": part.name}
            return {**head, slot: "", "call_id": part.id, **place}
        if self.kind == "image":
            return {**head, "result": None}
        phase = {"phase": self.info.phase} if self.info.phase else {}
        return {**head, "content": [], **phase, "role": "assistant"}


_TYPES: Final[Mapping[str, str]] = {"reasoning": "reasoning", "image": "image_generation_call"}


class BlockWriter(Generic[P]):
    """Writes one block whose text, if any, is only in the final item. ``list_name`` is the item's list that it is in."""

    list_name: str | None = None
    grows = False
    """Whether each delta of its text is one event, alike but for the text."""

    def __init__(self, item: WireItem, part: P, writer: ItemWriter) -> None:
        self.part = part
        self.ended = False
        self._item = item
        self._writer = writer
        self._texts: list[str] = []
        self._at = {"item_id": item.id, "output_index": item.index}

    def start(self) -> list[Payload]:
        """Return the payloads that open the block."""
        return []

    def delta(self, event: BlockDelta) -> list[Payload]:
        """Return the payloads of a delta."""
        self._texts.append(event.text)
        return []

    def grow(self, text: str) -> None:
        """Record a piece of the text, whose event is made elsewhere."""
        self._texts.append(text)

    def end(self, event: BlockEnded | None) -> list[Payload]:
        """Fold the block and return the payloads that close it; ``event`` is None if it was cut off."""
        self.ended = True
        if event is not None and event.part is not None:
            self.part = event.part  # type: ignore[assignment]
        else:
            part = self._fold("".join(self._texts))
            self.part = part if event is None else _with_end(part, event)
        self._item.end_block(self.part)
        return self._done()

    def _fold(self, text: str) -> P:
        member = _TEXTS.get(type(self.part))
        return self.part if member is None else replace(self.part, **{member: text})  # type: ignore[arg-type]

    def _done(self) -> list[Payload]:
        return []


_TEXTS: Final[Mapping[type, str]] = {RefusalPart: "text", ReasoningPart: "text", ToolCallPart: "arguments"}
"""The member of a part that its deltas are added to."""


def _with_end(part: P, event: BlockEnded) -> P:
    if event.signature is not None and isinstance(part, ReasoningPart):
        part = replace(part, signature=event.signature)
    if event.native is None:
        return part
    dialect, members = event.native
    return replace(part, native=(dialect, {**own_members(part.native, dialect), **members}))


class _Growing(BlockWriter[P]):
    """Writes a block by the events of ``growth``: a part of one of the item's lists, or the text of a call."""

    def __init__(self, item: WireItem, part: P, writer: ItemWriter, growth: Growth) -> None:
        super().__init__(item, part, writer)
        self._growth = growth
        self.grows = bool(growth.event)
        self.list_name = growth.list
        if self.list_name is not None:
            self._at[growth.index] = item.count(self.list_name)

    def start(self) -> list[Payload]:
        return self._part_payloads("added")

    def _part_payloads(self, step: str) -> list[Payload]:
        if self.list_name is None:
            return []
        return [(f"{self._growth.part_event}.{step}", {**self._at, "part": self._part_body()})]

    def _part_body(self) -> dict[str, Any]:
        if isinstance(self.part, ReasoningPart):
            return {"type": self._growth.part, "text": self.part.text}
        return self._writer.part(self.part, True)

    def delta(self, event: BlockDelta) -> list[Payload]:
        self._texts.append(event.text)
        has_event = event.text and self._growth.event
        return [(f"{self._growth.event}.delta", {**self._at, "delta": event.text})] if has_event else []

    def _done(self) -> list[Payload]:
        members = {**self._at, self._growth.member: getattr(self.part, _TEXTS.get(type(self.part), ""), None)}
        payloads = [(f"{self._growth.event}.done", members)] if self._growth.event else []
        return [*payloads, *self._part_payloads("done")]


class _Text(_Growing[P]):
    def __init__(self, item: WireItem, part: P, writer: ItemWriter, growth: Growth) -> None:
        super().__init__(item, part, writer, growth)
        self._annotations: list[Mapping[str, Any]] = []
        self._logprobs: list[Mapping[str, Any]] = []

    def delta(self, event: BlockDelta) -> list[Payload]:
        payloads: list[Payload] = []
        if event.text or event.logprobs:
            self._texts.append(event.text)
            logprobs = [whole_logprob(entry) for entry in event.logprobs or ()]
            self._logprobs += logprobs
            members = {**self._at, "delta": event.text, "logprobs": logprobs}
            payloads.append(("response.output_text.delta", members))
        if event.annotation is not None:
            index, annotation = len(self._annotations), whole_annotation(event.annotation)
            self._annotations.append(event.annotation)
            members = {**self._at, "annotation_index": index, "annotation": annotation}
            payloads.append(("response.output_text.annotation.added", members))
        return payloads

    def _fold(self, text: str) -> P:
        part: Any = self.part
        annotations, logprobs = tuple(self._annotations), tuple(self._logprobs) or None
        return replace(part, text=text, annotations=annotations, logprobs=logprobs)

    def _done(self) -> list[Payload]:
        part = self._part_body()
        text = {**self._at, "text": part["text"], "logprobs": part["logprobs"]}
        return [("response.output_text.done", text), *self._part_payloads("done")]


class _Audio(_Text[AudioPart]):
    """Speech: its transcript is streamed as text, its sound is in the final part."""

    def __init__(self, item: WireItem, part: AudioPart, writer: ItemWriter, growth: Growth) -> None:
        super().__init__(item, part, writer, growth)
        self._sound: list[str] = []
        self.grows = False

    def delta(self, event: BlockDelta) -> list[Payload]:
        self._sound.append(event.text)
        return super().delta(BlockDelta(event.block, event.transcript))

    def _fold(self, text: str) -> AudioPart:
        return replace(self.part, data="".join(self._sound) or None, transcript=text)


class _Function(_Growing[ToolCallPart]):
    def _done(self) -> list[Payload]:
        """Write empty arguments as ``{}``, in a delta, too, so that deltas and item agree."""
        if self.part.arguments:
            return super()._done()
        self.part = replace(self.part, arguments="{}")
        return [(f"{self._growth.event}.delta", {**self._at, "delta": "{}"}), *super()._done()]


class _Hosted(BlockWriter[OpaquePart | ImagePart]):
    """A call of a hosted tool: its item arrives whole, with events that depend on its type."""

    def start(self) -> list[Payload]:
        return self._steps(_OPENING.get(self._item.type, ()))

    def end(self, event: BlockEnded | None) -> list[Payload]:
        if event is not None:
            return super().end(event)
        self.ended = True
        if isinstance(self.part, OpaquePart) and "status" in self.part.native[1]:
            dialect, item = self.part.native
            self.part = replace(self.part, native=(dialect, {**item, "status": "incomplete"}))
        return []

    def _done(self) -> list[Payload]:
        steps = _CLOSING.get(self._item.type, ())
        steps = ("failed",) if steps and self._member("error") else steps
        return [*self._text_events(), *self._steps(steps)]

    def _steps(self, steps: Iterable[str]) -> list[Payload]:
        return [(f"response.{self._item.type}.{step}", dict(self._at)) for step in steps]

    def _text_events(self) -> list[Payload]:
        """Return the events of a text that OpenAI streams for the call, with one delta."""
        name, event = _HOSTED_TEXTS.get(self._item.type, ("", ""))
        text = self._member(name)
        if not isinstance(text, str) or not text:
            return []
        return [
            (f"response.{event}.delta", {**self._at, "delta": text}),
            (f"response.{event}.done", {**self._at, name: text}),
        ]

    def _member(self, name: str) -> Any:
        return self.part.native[1].get(name) if isinstance(self.part, OpaquePart) else None


_OPENING: Final[Mapping[str, tuple[str, ...]]] = {
    "web_search_call": ("in_progress", "searching"),
    "file_search_call": ("in_progress", "searching"),
    "code_interpreter_call": ("in_progress",),
    "image_generation_call": ("in_progress", "generating"),
    "mcp_list_tools": ("in_progress",),
    "mcp_call": ("in_progress",),
}
_CLOSING: Final[Mapping[str, tuple[str, ...]]] = {
    "web_search_call": ("completed",),
    "file_search_call": ("completed",),
    "code_interpreter_call": ("interpreting", "completed"),
    "image_generation_call": ("completed",),
    "mcp_list_tools": ("completed",),
    "mcp_call": ("completed",),
}
_HOSTED_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "code_interpreter_call": ("code", "code_interpreter_call_code"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
}


class _SummarizedReasoning(_Growing[ReasoningPart]):
    """Full reasoning text that is also written as a summary, because the client requested one."""

    def __init__(self, item: WireItem, part: ReasoningPart, writer: ItemWriter, growth: Growth) -> None:
        super().__init__(item, part, writer, growth)
        self._summary = _Growing(item, part, writer, SUMMARY)
        self._summary._at["summary_index"] = self._at[growth.index]
        self.grows = False

    def start(self) -> list[Payload]:
        return [*super().start(), *self._summary.start()]

    def delta(self, event: BlockDelta) -> list[Payload]:
        return [*super().delta(event), *self._summary.delta(event)]

    def _done(self) -> list[Payload]:
        self._summary.part = self.part
        return [*super()._done(), *self._summary._done()]


def block_writer(item: WireItem, part: Any, writer: ItemWriter) -> BlockWriter[Any]:
    """Return the writer of a block that begins with ``part`` in ``item``."""
    if item.kind in ("opaque", "image"):
        return _Hosted(item, part, writer)
    growth = _growth_of(item, part)
    if growth is None:
        return BlockWriter(item, part, writer)
    if growth is REASONING and writer.summarises:
        return _SummarizedReasoning(item, part, writer, growth)
    if growth is ARGUMENTS:
        return _Function(item, part, writer, growth)
    return _CLASSES.get(type(part), _Growing)(item, part, writer, growth)


def _growth_of(item: WireItem, part: Part) -> Growth | None:
    """Return how a block of ``part`` grows, None if its text is only in the final item."""
    if isinstance(part, ReasoningPart):
        return {"text": REASONING, "summary": SUMMARY}.get(part.form)
    if isinstance(part, ToolCallPart):
        return None if item.is_search else INPUT if part.kind == "custom" else ARGUMENTS
    return _CONTENT.get(type(part), _WHOLE)


_WHOLE: Final = Growth("", "message", "content", "", "")
"""A content part without deltas."""
_CONTENT: Final[Mapping[type, Growth]] = {TextPart: TEXT, AudioPart: TEXT, RefusalPart: REFUSAL}
_CLASSES: Final[Mapping[type, Any]] = {TextPart: _Text, AudioPart: _Audio}
