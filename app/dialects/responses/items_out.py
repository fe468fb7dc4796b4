"""Canonical messages written as Responses items, as a server's output or a client's input.

The inverse of ``items_in``; both agree on where unmodelled members ride.
Members and their order: contract/responses.md 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.responses.items_in import NAME, OPEN
from app.dialects.responses.tool_origins import Place
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, data_url, dicts
from app.dialects.shared.tool_values import argument_object
from app.responses_form.items import item_prefix

Seal = Callable[[Signature], str | None]
"""Turns a signature into an ``encrypted_content``, or None where it may not go."""


@record
class ItemWriter:
    """Writes messages as items.

    ``seal`` gives the text of ``encrypted_content``. With ``mint`` (id maker, taking a
    prefix) items are written as a server's output: every one has an id and a status, and
    text always has its annotations and logprobs; without it as a client's input.
    ``summarises``: a summary was asked for, so open thoughts are told as one, too; ``seals_open``:
    they are sealed, so that a client that keeps the cipher alone can send them back.
    ``places`` tell where a tool was offered whose name on the wire is another.
    """

    seal: Seal
    mint: Callable[[str], str] | None = None
    places: Mapping[str, Place] | None = None
    summarises: bool = False
    seals_open: bool = False

    def items(self, messages: Iterable[Message], status: str = "completed") -> list[dict[str, Any]]:
        """Return the items of all messages in order; ``status`` is for those without their own."""
        return [item for message in messages for item in self.split(message, status)]

    def split(self, message: Message, status: str = "completed") -> Iterator[dict[str, Any]]:
        """Yield the items of one message: runs of content, of reasoning, and single calls."""
        runs: list[tuple[str, list[Part]]] = list(part_runs(message.parts, message.role))
        if not message.parts:
            runs = [("content", [])]
        for kind, parts in runs:
            own = message.item if len(runs) == 1 else None
            item = _WRITERS[kind](self, message, parts)
            native = _native_of(parts[-1]).get("item") if parts else None
            if native is None and message.native is not None and message.native[0] == NAME:
                native = message.native[1].get("item")
            yield self._with_identity(item, own or Item(), status, as_dict(native))

    def _with_identity(
        self, item: dict[str, Any], own: Item, status: str, native: Mapping[str, Any]
    ) -> dict[str, Any]:
        head: dict[str, Any] = {}
        kind = as_str(item.get("type"))
        if own.id is not None:
            head["id"] = own.id
        elif self.mint is not None and not item.get("id"):
            head["id"] = self.mint(item_prefix(kind))
        head["type"] = kind
        shown = own.status
        if self.mint is not None and kind in _WITH_STATUS:
            shown = shown if shown in _CLOSED else status
        if shown is not None:
            head["status"] = shown
        if own.phase is not None and kind == "message":
            item["phase"] = own.phase
        return {**head, **item, **native}

    def content(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a message item of these parts."""
        assistant = message.role == "assistant"
        if self.mint is None and _is_plain(parts) and message.item is None:
            value: Any = parts[0].text  # type: ignore[union-attr]
        else:
            value = [self.part(part, assistant) for part in parts]
        return {"type": "message", "content": value, "role": message.role}

    def part(self, part: Part, assistant: bool = False) -> dict[str, Any]:
        """Return one content part in its input form, or output form for the assistant's."""
        body = _PART_WRITERS[type(part)](part, assistant)
        if self.mint is None and not body.get("logprobs", True):
            del body["logprobs"]
        return body

    def reasoning(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a reasoning item: open text in ``content``, summaries in ``summary``."""
        item: dict[str, Any] = {"type": "reasoning"}
        found = [part for part in parts if isinstance(part, ReasoningPart)]
        texts = [_reasoning_body(part, "reasoning_text") for part in found if part.form == "text"]
        if texts:
            item["content"] = texts
        signature = next((part.signature for part in reversed(found) if part.signature), None)
        if signature is None and texts and self.seals_open:
            signature = Signature("\n".join(text["text"] for text in texts), OPEN)
        sealed = self.seal(signature) if signature is not None else None
        if sealed is not None:
            item["encrypted_content"] = sealed
        summary = [_reasoning_body(part, "summary_text") for part in found if part.form == "summary"]
        if self.summarises and not summary:
            summary = [{"type": "summary_text", "text": text["text"]} for text in texts]
        item["summary"] = summary
        return item

    def call(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a function_call or custom_tool_call item."""
        part = parts[0]
        assert isinstance(part, ToolCallPart)
        if (whole := _whole_of(part)) is not None:
            return whole
        place = self.place(part)
        if place.search:
            arguments = argument_object(part.arguments)[0]
            return {**_SEARCH_CALL, "arguments": arguments, "call_id": part.id}
        named = {"call_id": part.id, **place.members()}
        if part.kind == "custom":
            return {"type": "custom_tool_call", "input": part.arguments, **named}
        return {"type": "function_call", "arguments": part.arguments or "{}", **named}

    def place(self, part: ToolCallPart) -> Place:
        """Return where the client offered the tool that ``part`` calls."""
        return (self.places or {}).get(part.name) or Place(part.name)

    def result(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a function_call_output or custom_tool_call_output item."""
        part = parts[0]
        assert isinstance(part, ToolResultPart)
        if (whole := _whole_of(part)) is not None:
            return whole
        output: Any = [self.part(piece) for piece in part.content]
        if _is_plain(part.content):
            output = part.content[0].text  # type: ignore[union-attr]
        elif not part.content:
            output = ""
        kind = "custom_tool_call_output" if part.kind == "custom" else "function_call_output"
        return {"type": kind, "call_id": part.call_id, "output": output}

    def image(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return an image that a model made as an image_generation_call item."""
        part = parts[0]
        assert isinstance(part, ImagePart)
        item: dict[str, Any] = {"type": "image_generation_call", "result": part.data or part.url}
        if part.media_type is not None:
            item["output_format"] = part.media_type.rpartition("/")[2]
        return item

    def opaque(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a hosted item as it came."""
        part = parts[0]
        assert isinstance(part, OpaquePart)
        return dict(part.native[1])


def _whole_of(part: ToolCallPart | ToolResultPart) -> dict[str, Any] | None:
    """Return the item of another type that a call or result came in, without its identity."""
    whole = _native_of(part).get("whole")
    if not isinstance(whole, dict):
        return None
    return {name: value for name, value in whole.items() if name not in ("id", "status")}


_SEARCH_CALL: Final = {"type": "tool_search_call", "execution": "client"}
_CLOSED: Final = frozenset({"completed", "incomplete", "failed"})
_WITH_STATUS: Final = frozenset(
    {
        "message",
        "function_call",
        "tool_search_call",
        "custom_tool_call",
        "function_call_output",
        "custom_tool_call_output",
        "image_generation_call",
    }
)


def part_kind(part: Part, role: str = "assistant") -> str:
    """Return which sort of item ``part`` belongs to: content, reasoning, call, result, image,
    opaque, or ``foreign`` for an opaque part that only another dialect reads."""
    if isinstance(part, OpaquePart):
        if part.native[0] != NAME:
            return "foreign"
        return "content" if "content_part" in part.native[1] else "opaque"
    if isinstance(part, ImagePart) and role == "assistant":
        return "image"
    return _KINDS.get(type(part), "content")


_KINDS: Final[Mapping[type, str]] = {
    ReasoningPart: "reasoning",
    ToolCallPart: "call",
    ToolResultPart: "result",
}


def part_runs(parts: Iterable[Part], role: str = "assistant") -> Iterator[tuple[str, list[Part]]]:
    """Yield the parts as items want them: content together, reasoning up to each signature,
    everything else alone; opaque parts of other dialects are left out."""
    kinds = [(part_kind(part, role), part) for part in parts]
    for kind, pairs in groupby((pair for pair in kinds if pair[0] != "foreign"), lambda pair: pair[0]):
        run = [part for _, part in pairs]
        if kind == "content":
            yield kind, run
        elif kind == "reasoning":
            yield from (("reasoning", group) for group in _signed_groups(run))
        else:
            yield from ((kind, [part]) for part in run)


def _signed_groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        group.append(part)
        if isinstance(part, ReasoningPart) and part.signature is not None:
            yield group
            group = []
    if group:
        yield group


def _is_plain(parts: Sequence[Part]) -> bool:
    if len(parts) != 1 or not isinstance(parts[0], TextPart):
        return False
    part = parts[0]
    return part.native is None and not part.annotations and part.logprobs is None


def _native_of(part: Part) -> Mapping[str, Any]:
    native = part.native
    return native[1] if native is not None and native[0] == NAME else {}


def _own_members(part: Part) -> dict[str, Any]:
    return {name: value for name, value in _native_of(part).items() if name != "item"}


def _reasoning_body(part: ReasoningPart, kind: str) -> dict[str, Any]:
    return {"type": kind, "text": part.text, **_own_members(part)}


def _write_text(part: Any, assistant: bool) -> dict[str, Any]:
    if not assistant:
        return {"type": "input_text", "text": part.text, **_own_members(part)}
    return {
        "type": "output_text",
        "annotations": [whole_annotation(annotation) for annotation in part.annotations],
        "logprobs": [whole_logprob(entry) for entry in part.logprobs or ()],
        "text": part.text,
        **_own_members(part),
    }


def whole_annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``url_citation`` with the members that its schema requires; others as they are."""
    if annotation.get("type") != "url_citation":
        return dict(annotation)
    return {"type": "url_citation", "end_index": 0, "start_index": 0, "title": "", "url": "", **annotation}


def whole_logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a token's logprob with ``bytes`` and ``top_logprobs`` as lists."""
    tops = [{**top, "bytes": as_list(top.get("bytes"))} for top in dicts(entry.get("top_logprobs"))]
    return {**entry, "bytes": as_list(entry.get("bytes")), "top_logprobs": tops}


def _write_refusal(part: Any, assistant: bool) -> dict[str, Any]:
    return {"type": "refusal", "refusal": part.text, **_own_members(part)}


def _write_image(part: Any, assistant: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "input_image"}
    if part.file_id is not None:
        body["file_id"] = part.file_id
    elif part.data is not None:
        body["image_url"] = data_url(part.media_type or "image/png", part.data)
    else:
        body["image_url"] = part.url
    body["detail"] = part.detail or "auto"
    return {**body, **_own_members(part)}


def _write_file(part: Any, assistant: bool) -> dict[str, Any]:
    if part.text is not None and part.data is None:
        return {"type": "input_text", "text": part.text}
    body: dict[str, Any] = {"type": "input_file"}
    if part.filename is not None:
        body["filename"] = part.filename
    if part.file_id is not None:
        body["file_id"] = part.file_id
    elif part.data is not None:
        body["file_data"] = data_url(part.media_type, part.data) if part.media_type else part.data
    else:
        body["file_url"] = part.url
    return {**body, **_own_members(part)}


def _write_audio(part: Any, assistant: bool) -> dict[str, Any]:
    if assistant:
        # No Responses item speaks: the transcript is the text, the sound rides beside it.
        sound = {"data": part.data, "format": part.format}
        spoken = _write_text(TextPart(part.transcript or ""), True)
        return {**spoken, "audio": sound} if part.data else spoken
    audio = {"data": part.data or "", "format": part.format or "wav"}
    return {"type": "input_audio", "input_audio": audio, **_own_members(part)}


def _write_unknown(part: Any, assistant: bool) -> dict[str, Any]:
    return dict(as_dict(part.native[1].get("content_part")))


_PART_WRITERS: Final[Mapping[type, Callable[[Any, bool], dict[str, Any]]]] = {
    TextPart: _write_text,
    RefusalPart: _write_refusal,
    ImagePart: _write_image,
    FilePart: _write_file,
    AudioPart: _write_audio,
    OpaquePart: _write_unknown,
}

_WRITERS: Final[Mapping[str, Callable[[ItemWriter, Message, Sequence[Part]], dict[str, Any]]]] = {
    "content": ItemWriter.content,
    "reasoning": ItemWriter.reasoning,
    "call": ItemWriter.call,
    "result": ItemWriter.result,
    "image": ItemWriter.image,
    "opaque": ItemWriter.opaque,
}
