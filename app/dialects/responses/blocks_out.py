"""How each kind of block grows on a Responses stream: its start, delta and done events.

A writer returns payloads, ``(event type, members)``; the encoder numbers them. It also
folds its block, so that what is said at the end is what was said on the way.

Events and members: contract/responses.md 4.2; order: 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from app.canonical.events import BlockDelta, BlockEnded
from app.canonical.request import (
    AudioPart,
    ImagePart,
    Item,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from app.dialects.responses.items_out import ItemWriter, whole_annotation, whole_logprob
from app.dialects.responses.tool_origins import Place
from app.dialects.shared.lenient_json import as_str

Payload = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class WireItem:
    """One output item as it grows: its index on the wire, the canonical item it stands for,
    its kind (``part_kind``) and the writers of its blocks. ``value`` is the finished item."""

    index: int
    number: int
    kind: str
    part: Part
    info: Item
    blocks: list[BlockWriter] = field(default_factory=list)
    status: str | None = None
    closed: bool = False
    value: dict[str, Any] | None = None
    _open: int = 0  # blocks
    _signed: bool = False
    _counts: dict[Any, int] = field(default_factory=dict)
    place: Place | None = None

    @property
    def is_search(self) -> bool:
        """Whether it is a call of the client's own search for tools, whose arguments come whole."""
        return self.place is not None and self.place.search

    @property
    def type(self) -> str:
        """The item's type on the wire."""
        if isinstance(self.part, OpaquePart):
            return self.part.type if self.kind == "opaque" else "message"
        if self.is_search:
            return "tool_search_call"
        if isinstance(self.part, ToolCallPart):
            return f"{'custom_tool' if self.part.kind == 'custom' else 'function'}_call"
        return _TYPES.get(self.kind, "message")

    @property
    def all_ended(self) -> bool:
        """Whether every block that began has ended."""
        return not self._open

    def add(self, writer: BlockWriter) -> None:
        """Take one more block."""
        self.blocks.append(writer)
        self._open += 1
        self._counts[type(writer)] = self.count(type(writer)) + 1

    def count(self, kind: Any) -> int:
        """Return how many blocks have just this class of writer."""
        return self._counts.get(kind, 0)

    def end_block(self, part: Part) -> None:
        """Note that a block ended, as ``part``."""
        self._open -= 1
        self._signed = self._signed or (isinstance(part, ReasoningPart) and bool(part.signature))

    @property
    def id(self) -> str:
        """The item's id."""
        return self.info.id or ""

    def mint(self, item_id: str) -> None:
        """Take an id of our own; a hosted item keeps the one it came with."""
        own = as_str(self.part.native[1].get("id")) if isinstance(self.part, OpaquePart) else ""
        self.info = replace(self.info, id=own or item_id)

    def takes(self, kind: str) -> bool:
        """Whether one more block of ``kind`` belongs into this item: message content and
        reasoning collect, until the item is closed or its reasoning was signed."""
        if self.closed or kind not in ("content", "reasoning"):
            return False
        return not self._signed

    def is_whole(self, later: bool) -> bool:
        """Whether the item can be closed: all ended, and a later one began. The last item
        waits for the finish, which may make it incomplete; a hosted one does not."""
        return self.all_ended and (later or self.kind == "opaque")

    def closing_status(self, cut: str | None) -> str | None:
        """Return the status of the finished item; reasoning has one only where its wire gave it."""
        if self.kind == "opaque":
            return None
        own_status = self.status or self.info.status
        return own_status if self.kind == "reasoning" else own_status or cut or "completed"

    def added(self) -> dict[str, Any]:
        """Return the members of ``output_item.added``."""
        return {"output_index": self.index, "item": self._opening()}

    def _opening(self) -> dict[str, Any]:
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


class BlockWriter:
    """One block on the wire; the base writes nothing but folds its text."""

    def __init__(self, item: WireItem, part: Part, writer: ItemWriter) -> None:
        self.part = part
        self.ended = False
        self._item = item
        self._writer = writer
        self._texts: list[str] = []
        self._at = {"item_id": item.id, "output_index": item.index}

    def start(self) -> list[Payload]:
        """Return what opens the block; text that the part already holds is its first delta."""
        return []

    def delta(self, event: BlockDelta) -> list[Payload]:
        """Return what grows the block."""
        self._texts.append(event.text)
        return []

    def end(self, event: BlockEnded | None) -> list[Payload]:
        """Fold the block and return what closes it; None when it was cut."""
        self.ended = True
        if event is not None and event.part is not None:
            self.part = event.part
        else:
            self.part = self._fold("".join(self._texts))
            if event is not None:
                self.part = _with_end(self.part, event)
        self._item.end_block(self.part)
        return self._done()

    def _fold(self, text: str) -> Part:
        return self.part

    def _done(self) -> list[Payload]:
        return []


def _with_end(part: Part, event: BlockEnded) -> Part:
    if event.signature is not None and isinstance(part, ReasoningPart):
        part = replace(part, signature=event.signature)
    if event.native is None:
        return part
    return replace(part, native=_merge_native(part.native, event.native))


def _merge_native(old: Native | None, new: Native) -> Native:
    if old is None or old[0] != new[0]:
        return new
    return new[0], {**old[1], **new[1]}


class _Content(BlockWriter):
    """A part of a message: its content index is its place among the item's blocks."""

    def __init__(self, item: WireItem, part: Part, writer: ItemWriter) -> None:
        super().__init__(item, part, writer)
        self._at = {**self._at, "content_index": len(item.blocks)}

    def start(self) -> list[Payload]:
        return [("response.content_part.added", {**self._at, "part": self._writer.part(self.part, True)})]

    def _done(self) -> list[Payload]:
        return [("response.content_part.done", {**self._at, "part": self._writer.part(self.part, True)})]


class _Text(_Content):
    def __init__(self, item: WireItem, part: Part, writer: ItemWriter) -> None:
        super().__init__(item, part, writer)
        self._annotations: list[Mapping[str, Any]] = []
        self._logprobs: list[Mapping[str, Any]] | None = None

    def delta(self, event: BlockDelta) -> list[Payload]:
        payloads: list[Payload] = []
        if event.text or event.logprobs:
            self._texts.append(event.text)
            logprobs = [whole_logprob(entry) for entry in event.logprobs or ()]
            if logprobs:
                self._logprobs = self._logprobs or []
                self._logprobs += logprobs
            payloads.append(
                ("response.output_text.delta", {**self._at, "delta": event.text, "logprobs": logprobs})
            )
        if event.annotation is not None:
            place = {
                "annotation_index": len(self._annotations),
                "annotation": whole_annotation(event.annotation),
            }
            self._annotations.append(event.annotation)
            payloads.append(("response.output_text.annotation.added", {**self._at, **place}))
        return payloads

    def _fold(self, text: str) -> Part:
        assert isinstance(self.part, TextPart)
        logprobs = tuple(self._logprobs) if self._logprobs is not None else None
        return replace(self.part, text=text, annotations=tuple(self._annotations), logprobs=logprobs)

    def _done(self) -> list[Payload]:
        part = self._writer.part(self.part, True)
        done = {**self._at, "text": part["text"], "logprobs": part["logprobs"]}
        return [("response.output_text.done", done), *super()._done()]


class _Refusal(_Content):
    def delta(self, event: BlockDelta) -> list[Payload]:
        self._texts.append(event.text)
        return [("response.refusal.delta", {**self._at, "delta": event.text})] if event.text else []

    def _fold(self, text: str) -> Part:
        return RefusalPart(text, self.part.native)

    def _done(self) -> list[Payload]:
        assert isinstance(self.part, RefusalPart)
        return [("response.refusal.done", {**self._at, "refusal": self.part.text}), *super()._done()]


class _Audio(_Text):
    """Spoken output: its transcript streams as text, the sound comes whole with the part."""

    def __init__(self, item: WireItem, part: Part, writer: ItemWriter) -> None:
        super().__init__(item, part, writer)
        self._sound: list[str] = []

    def delta(self, event: BlockDelta) -> list[Payload]:
        self._sound.append(event.text)
        return super().delta(BlockDelta(event.block, event.transcript))

    def _fold(self, text: str) -> Part:
        assert isinstance(self.part, AudioPart)
        return replace(self.part, data="".join(self._sound) or None, transcript=text)


class _Reasoning(BlockWriter):
    """Visible reasoning: open text as content parts, summaries as summary parts."""

    index: ClassVar[str] = "content_index"
    kind: ClassVar[str] = "reasoning_text"
    part_event: ClassVar[str] = "response.content_part"
    text_event: ClassVar[str] = "response.reasoning_text"

    def __init__(self, item: WireItem, part: Part, writer: ItemWriter) -> None:
        super().__init__(item, part, writer)
        self._at = {**self._at, self.index: item.count(type(self))}

    def start(self) -> list[Payload]:
        return [(f"{self.part_event}.added", {**self._at, "part": {"type": self.kind, "text": ""}})]

    def delta(self, event: BlockDelta) -> list[Payload]:
        if not event.text:
            return []
        self._texts.append(event.text)
        return [(f"{self.text_event}.delta", {**self._at, "delta": event.text})]

    def _fold(self, text: str) -> Part:
        assert isinstance(self.part, ReasoningPart)
        return replace(self.part, text=text)

    def _done(self) -> list[Payload]:
        assert isinstance(self.part, ReasoningPart)
        text = self.part.text
        return [
            (f"{self.text_event}.done", {**self._at, "text": text}),
            (f"{self.part_event}.done", {**self._at, "part": {"type": self.kind, "text": text}}),
        ]


class _Summary(_Reasoning):
    index = "summary_index"
    kind = "summary_text"
    part_event = "response.reasoning_summary_part"
    text_event = "response.reasoning_summary_text"


class _Call(BlockWriter):
    """A call of a client's tool: function arguments or free input."""

    event: ClassVar[str] = "response.function_call_arguments"
    slot: ClassVar[str] = "arguments"

    def delta(self, event: BlockDelta) -> list[Payload]:
        if not event.text:
            return []
        self._texts.append(event.text)
        return [(f"{self.event}.delta", {**self._at, "delta": event.text})]

    def _fold(self, text: str) -> Part:
        assert isinstance(self.part, ToolCallPart)
        return replace(self.part, arguments=text)

    def _done(self) -> list[Payload]:
        assert isinstance(self.part, ToolCallPart)
        return [(f"{self.event}.done", {**self._at, self.slot: self.part.arguments})]


class _Function(_Call):
    def _done(self) -> list[Payload]:
        """An empty text is ``{}``, said as a delta too, so that deltas and item agree."""
        assert isinstance(self.part, ToolCallPart)
        if self.part.arguments:
            return super()._done()
        self.part = replace(self.part, arguments="{}")
        return [(f"{self.event}.delta", {**self._at, "delta": "{}"}), *super()._done()]


class _Search(_Call):
    def delta(self, event: BlockDelta) -> list[Payload]:
        """Nothing is said of the arguments before the item is done."""
        return BlockWriter.delta(self, event)

    def _done(self) -> list[Payload]:
        return []


class _Custom(_Call):
    event = "response.custom_tool_call_input"
    slot = "input"


class _Hosted(BlockWriter):
    """A provider's own tool at work: its item is whole, its life cycle is told by type."""

    def start(self) -> list[Payload]:
        return self._steps(_OPENING)

    def end(self, event: BlockEnded | None) -> list[Payload]:
        if event is not None:
            return super().end(event)
        self.ended = True
        if isinstance(self.part, OpaquePart) and "status" in self.part.native[1]:
            dialect, item = self.part.native
            self.part = replace(self.part, native=(dialect, {**item, "status": "incomplete"}))
        return []

    def _done(self) -> list[Payload]:
        return [*self._hosted_text(), *self._steps(_CLOSING)]

    def _steps(self, table: Mapping[str, tuple[str, ...]]) -> list[Payload]:
        kind = self._item.type
        steps = table.get(kind, ())
        if table is _CLOSING and steps and self._member("error"):
            steps = ("failed",)
        return [(f"response.{kind}.{step}", dict(self._at)) for step in steps]

    def _hosted_text(self) -> list[Payload]:
        """Return the text that a hosted call streams on real wires, in one delta."""
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


class _SummarizedReasoning(_Reasoning):
    """Open text that is told as a summary, too, because one was asked for."""

    def __init__(self, item: WireItem, part: Part, writer: ItemWriter) -> None:
        super().__init__(item, part, writer)
        self._summary = _Summary(item, part, writer)
        self._summary._at["summary_index"] = self._at[self.index]

    def start(self) -> list[Payload]:
        return [*super().start(), *self._summary.start()]

    def delta(self, event: BlockDelta) -> list[Payload]:
        return [*super().delta(event), *self._summary.delta(event)]

    def _done(self) -> list[Payload]:
        self._summary.part = self.part
        return [*super()._done(), *self._summary._done()]


def block_writer(item: WireItem, part: Part, writer: ItemWriter) -> BlockWriter:
    """Return the writer of a block that begins with ``part`` in ``item``."""
    if isinstance(part, ReasoningPart):
        is_summary = writer.summarises and part.form == "text"
        return (_SummarizedReasoning if is_summary else _REASONING[part.form])(item, part, writer)
    if isinstance(part, ToolCallPart):
        if item.is_search:
            return _Search(item, part, writer)
        return (_Custom if part.kind == "custom" else _Function)(item, part, writer)
    if item.kind in ("opaque", "image"):
        return _Hosted(item, part, writer)
    return _CONTENT.get(type(part), _Content)(item, part, writer)


_REASONING: Final[Mapping[str, type[BlockWriter]]] = {
    "text": _Reasoning,
    "summary": _Summary,
    "hidden": BlockWriter,
}
_CONTENT: Final[Mapping[type, type[BlockWriter]]] = {
    TextPart: _Text,
    RefusalPart: _Refusal,
    AudioPart: _Audio,
    ImagePart: _Content,
}
