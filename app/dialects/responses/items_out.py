"""Canonical messages encoded as Responses items: as the output of a server or the input of a client.

The inverse of ``items_in``, with native members in the same places. Members and their order are those of
OpenAI's recorded answers.
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
from app.dialects.responses.tools_in import Place
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, data_url, dicts, rest, without_nulls
from app.dialects.shared.members import own_members
from app.dialects.shared.tool_values import argument_object
from app.responses_form.items import item_prefix

Seal = Callable[[Signature], str | None]
"""Returns the ``encrypted_content`` of a signature, None if it must not be sent."""


@record
class ItemWriter:
    """Encodes messages as items.

    - ``seal`` returns the ``encrypted_content`` of a signature.
    - ``new_id`` returns a new id for a prefix. With it, items are a server's output: all have ids and
      statuses, and texts have annotations and logprobs. Without it, they are a client's input.
    - ``places`` has the place of each tool whose name on the wire differs from the client's.
    - ``summarises``: the client requested summaries, so reasoning text is written as one, too.
    - ``seals_open``: reasoning text is sealed, so that a client that keeps only ``encrypted_content``
      can send it back.
    """

    seal: Seal
    new_id: Callable[[str], str] | None = None
    places: Mapping[str, Place] | None = None
    summarises: bool = False
    seals_open: bool = False

    def items(self, messages: Iterable[Message], status: str = "completed") -> list[dict[str, Any]]:
        """Return the items of all messages in order; ``status`` is for items without one."""
        return [item for message in messages for item in self.split(message, status)]

    def split(self, message: Message, status: str = "completed") -> Iterator[dict[str, Any]]:
        """Yield the items of one message: of each run of content and of reasoning, and of each other part."""
        runs = list(part_runs(message.parts, message.role)) if message.parts else [("content", [])]
        for kind, parts in runs:
            info = message.item if len(runs) == 1 else None
            item = _WRITERS[kind](self, message, parts)
            native = own_members(parts[-1].native, NAME).get("item") if parts else None
            if native is None:
                native = own_members(message.native, NAME).get("item")
            yield self._with_identity(item, info or Item(), status, as_dict(native))

    def _with_identity(
        self, item: dict[str, Any], info: Item, default: str, native: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return an item with id, status and phase in front of its members, and native members behind."""
        kind, item_id, status = as_str(item.get("type")), info.id, info.status
        if item_id is None and self.new_id is not None and not item.get("id"):
            item_id = self.new_id(item_prefix(kind))
        if self.new_id is not None and kind in _WITH_STATUS and status not in _CLOSED:
            status = default
        phase = {"phase": info.phase} if info.phase is not None and kind == "message" else {}
        return {**without_nulls({"id": item_id, "type": kind, "status": status}), **item, **phase, **native}

    def content(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a message item."""
        assistant = message.role == "assistant"
        if self.new_id is None and _is_plain(parts) and message.item is None:
            value: Any = parts[0].text  # type: ignore[union-attr]
        else:
            value = [self.part(part, assistant) for part in parts]
        return {"type": "message", "content": value, "role": message.role}

    def part(self, part: Part, assistant: bool = False) -> dict[str, Any]:
        """Return one content part in the form of output if ``assistant``, otherwise of input."""
        body = _PART_WRITERS[type(part)](part, assistant)
        if self.new_id is None and not body.get("logprobs", True):
            del body["logprobs"]
        return body

    def reasoning(self, message: Message, parts: Sequence[Part]) -> dict[str, Any]:
        """Return a reasoning item: full text in ``content``, summaries in ``summary``."""
        thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
        texts = [_reasoning_body(part, "reasoning_text") for part in thoughts if part.form == "text"]
        signature = next((part.signature for part in reversed(thoughts) if part.signature), None)
        if signature is None and texts and self.seals_open:
            signature = Signature("\n".join(text["text"] for text in texts), OPEN)
        summary = [_reasoning_body(part, "summary_text") for part in thoughts if part.form == "summary"]
        if self.summarises and not summary:
            summary = [{"type": "summary_text", "text": text["text"]} for text in texts]
        members = {
            "type": "reasoning",
            "content": texts or None,
            "encrypted_content": self.seal(signature) if signature is not None else None,
            "summary": summary,
        }
        return without_nulls(members)

    def call(self, message: Message, parts: Sequence[Any]) -> dict[str, Any]:
        """Return a ``function_call`` or ``custom_tool_call`` item."""
        part: ToolCallPart = parts[0]
        if (whole := _whole_of(part)) is not None:
            return whole
        place = self.place(part)
        if place.search:
            arguments = argument_object(part.arguments)[0]
            return {**_SEARCH_CALL, "arguments": arguments, "call_id": part.id}
        reference = {"call_id": part.id, **place.members()}
        if part.kind == "custom":
            return {"type": "custom_tool_call", "input": part.arguments, **reference}
        return {"type": "function_call", "arguments": part.arguments or "{}", **reference}

    def place(self, part: ToolCallPart) -> Place:
        """Return the place of the tool that ``part`` calls."""
        return (self.places or {}).get(part.name) or Place(part.name)

    def result(self, message: Message, parts: Sequence[Any]) -> dict[str, Any]:
        """Return a ``function_call_output`` or ``custom_tool_call_output`` item."""
        part: ToolResultPart = parts[0]
        if (whole := _whole_of(part)) is not None:
            return whole
        output: Any = [self.part(piece) for piece in part.content] or ""
        if _is_plain(part.content):
            output = part.content[0].text  # type: ignore[union-attr]
        kind = "custom_tool_call_output" if part.kind == "custom" else "function_call_output"
        return {"type": kind, "call_id": part.call_id, "output": output}

    def image(self, message: Message, parts: Sequence[Any]) -> dict[str, Any]:
        """Return a generated image as an ``image_generation_call`` item."""
        part: ImagePart = parts[0]
        form = {} if part.media_type is None else {"output_format": part.media_type.rpartition("/")[2]}
        return {"type": "image_generation_call", "result": part.data or part.url, **form}

    def opaque(self, message: Message, parts: Sequence[Any]) -> dict[str, Any]:
        """Return the item of a hosted tool unchanged."""
        return dict(parts[0].native[1])


def _whole_of(part: ToolCallPart | ToolResultPart) -> dict[str, Any] | None:
    """Return the item that a call or result was decoded from if its type differs, without id and status."""
    whole = own_members(part.native, NAME).get("whole")
    return rest(whole, frozenset({"id", "status"})) if isinstance(whole, dict) else None


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
    """Return the kind of item for ``part``: ``content``, ``reasoning``, ``call``, ``result``, ``image``,
    ``opaque``, or ``foreign`` for an opaque part of another dialect."""
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


def part_runs(parts: Iterable[Part], role: str) -> Iterator[tuple[str, list[Part]]]:
    """Yield the kind and the parts of each item: adjacent content, adjacent reasoning up to a signature,
    and every other part alone. Opaque parts of other dialects are skipped."""
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


_ITEM: Final = frozenset({"item"})


def _native(part: Part) -> dict[str, Any]:
    """Return the native members of a part, without those of its item."""
    return {} if part.native is None else rest(own_members(part.native, NAME), _ITEM)


def _reasoning_body(part: ReasoningPart, kind: str) -> dict[str, Any]:
    return {"type": kind, "text": part.text, **_native(part)}


def _write_text(part: Any, assistant: bool) -> dict[str, Any]:
    if not assistant:
        return {"type": "input_text", "text": part.text, **_native(part)}
    return {
        "type": "output_text",
        "annotations": [whole_annotation(annotation) for annotation in part.annotations],
        "logprobs": [whole_logprob(entry) for entry in part.logprobs or ()],
        "text": part.text,
        **_native(part),
    }


def whole_annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``url_citation`` with the members that its schema requires; other annotations unchanged."""
    if annotation.get("type") != "url_citation":
        return dict(annotation)
    return {"type": "url_citation", "end_index": 0, "start_index": 0, "title": "", "url": "", **annotation}


def whole_logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the log probability of a token with ``bytes`` and ``top_logprobs``, which its schema requires."""
    tops = [{**top, "bytes": as_list(top.get("bytes"))} for top in dicts(entry.get("top_logprobs"))]
    return {**entry, "bytes": as_list(entry.get("bytes")), "top_logprobs": tops}


def _write_image(part: Any, assistant: bool) -> dict[str, Any]:
    url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
    source = {"image_url": url} if part.file_id is None else {"file_id": part.file_id}
    return {"type": "input_image", **source, "detail": part.detail or "auto", **_native(part)}


def _write_file(part: Any, assistant: bool) -> dict[str, Any]:
    if part.text is not None and part.data is None:
        return {"type": "input_text", "text": part.text}
    source = {"file_url": part.url}
    if part.file_id is not None:
        source = {"file_id": part.file_id}
    elif part.data is not None:
        source = {"file_data": data_url(part.media_type, part.data) if part.media_type else part.data}
    name = {} if part.filename is None else {"filename": part.filename}
    return {"type": "input_file", **name, **source, **_native(part)}


def _write_audio(part: Any, assistant: bool) -> dict[str, Any]:
    if assistant:
        # Responses has no part for speech: the transcript is the text, with the sound beside it
        sound = {"data": part.data, "format": part.format}
        text = _write_text(TextPart(part.transcript or ""), True)
        return {**text, "audio": sound} if part.data else text
    audio = {"data": part.data or "", "format": part.format or "wav"}
    return {"type": "input_audio", "input_audio": audio, **_native(part)}


_PART_WRITERS: Final[Mapping[type, Callable[[Any, bool], dict[str, Any]]]] = {
    TextPart: _write_text,
    RefusalPart: lambda part, _: {"type": "refusal", "refusal": part.text, **_native(part)},
    ImagePart: _write_image,
    FilePart: _write_file,
    AudioPart: _write_audio,
    OpaquePart: lambda part, _: dict(as_dict(part.native[1].get("content_part"))),
}

_WRITERS: Final[Mapping[str, Callable[[ItemWriter, Message, Sequence[Part]], dict[str, Any]]]] = {
    "content": ItemWriter.content,
    "reasoning": ItemWriter.reasoning,
    "call": ItemWriter.call,
    "result": ItemWriter.result,
    "image": ItemWriter.image,
    "opaque": ItemWriter.opaque,
}
