"""Order rules of Responses streams. Each check returns what was broken (chat: ``chat_stream``).

The rules are those that hold in clean recordings of OpenAI and Azure, together with what
openai-python's ``responses.stream()`` enforces by exceptions. Items may overlap, so all state hangs
on ``output_index``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]
TERMINAL = {
    "response.completed": ("completed",),
    "response.incomplete": ("incomplete",),
    "response.failed": ("failed", "cancelled"),
}
OPENING = {
    "response.created": ("in_progress", "queued"),
    "response.queued": ("queued",),
    "response.in_progress": ("in_progress",),
}
CLOSED = ("completed", "incomplete", "failed")


class Channel(NamedTuple):
    """A text that is streamed: its member in the ``.done`` event, and what it is a part of.

    ``place`` names the member that tells the part (``None``: the text belongs to the item itself).
    """

    member: str
    place: str | None
    kind: str


CHANNELS = {
    "response.output_text": Channel("text", "content_index", "output_text"),
    "response.refusal": Channel("refusal", "content_index", "refusal"),
    "response.reasoning_text": Channel("text", "content_index", "reasoning_text"),
    "response.reasoning_summary_text": Channel("text", "summary_index", "summary_text"),
    "response.function_call_arguments": Channel("arguments", None, "function_call"),
    "response.mcp_call_arguments": Channel("arguments", None, "mcp_call"),
    "response.custom_tool_call_input": Channel("input", None, "custom_tool_call"),
    "response.code_interpreter_call_code": Channel("code", None, "code_interpreter_call"),
    "response.apply_patch_call_operation_diff": Channel("diff", None, "apply_patch_call"),
}
DONE_MAY_LACK = {"response.custom_tool_call_input"}
PART_TEXT = {"output_text": "text", "reasoning_text": "text", "summary_text": "text", "refusal": "refusal"}
STATES = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "partial_image", "completed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
    "mcp_call": ("in_progress", "completed", "failed"),
}
EMPTY_AT_FIRST: dict[str, Json] = {
    "message": {"content": [], "status": "in_progress", "role": "assistant"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": ""},
    "reasoning": {"summary": []},
}
NAMED = {"function_call": ("call_id", "name"), "custom_tool_call": ("call_id", "name")}
FREE = ("response.shell_call_command.", "response.shell_call_output_content.", "response.compaction.")


@dataclass(slots=True)
class Part:
    """A content or summary part that was opened."""

    kind: str
    text: str = ""
    annotations: list[Json] = field(default_factory=list)
    text_done: bool = False
    closed: bool = False


@dataclass(slots=True)
class Item:
    """An output item that was opened; ``parts`` by (index member, index)."""

    id: str
    kind: str
    parts: dict[tuple[str, int], Part] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    texts_done: set[str] = field(default_factory=set)
    state: int = -1
    final: Json | None = None


def check_responses_frames(messages: Iterable[tuple[str, Json]], *, ours: bool = False) -> list[str]:
    """Check the event line of every message of a stream as well, given with its parsed data."""
    broken, events = [], []
    for number, (name, event) in enumerate(messages):
        events.append(event)
        if name != event.get("type"):
            broken.append(f"{number}: event line {name!r} is not the type {event.get('type')!r}")
    return broken + check_responses_stream(events, ours=ours)


def check_responses_stream(events: list[Json], *, ours: bool = False, first: int = 0) -> list[str]:
    """Name every broken rule of a whole Responses stream.

    ``ours`` adds what the gateway promises beyond OpenAI: the ``error`` event has its members flat
    as well as nested. ``first`` is the number the first event must have.
    """
    return _Responses(ours, first).check(events)


class _Responses:
    def __init__(self, ours: bool, first: int) -> None:
        self.ours, self.next = ours, first
        self.items: dict[int, Item] = {}
        self.broken: list[str] = []
        self.seen: list[str] = []
        self.id: str | None = None
        self.error = False
        self.where = ""

    def check(self, events: list[Json]) -> list[str]:
        for event in events:
            kind = event.get("type")
            self.where = f"{self.next} {kind}"
            self.number(event)
            if self.seen and self.seen[-1] in TERMINAL:
                self.say("comes after the terminal event")
            if not isinstance(kind, str):
                self.say("has no type")
                continue
            self.order(kind)
            try:
                self.rule(kind)(event)
            except KeyError as missing:
                self.say(f"lacks {missing}")
            self.seen.append(kind)
        self.where = "end"
        if not self.seen or self.seen[-1] not in TERMINAL:
            self.say("no terminal event came last")
        return self.broken

    def say(self, words: str) -> None:
        self.broken.append(f"{self.where}: {words}")

    def expect(self, holds: bool, words: str) -> None:
        if not holds:
            self.say(words)

    def number(self, event: Json) -> None:
        got = event.get("sequence_number")
        self.expect(got == self.next, f"sequence_number is {got}, not {self.next}")
        self.next += 1

    def order(self, kind: str) -> None:
        """created, then perhaps queued, then in_progress, then all the rest."""
        before = tuple(self.seen[:3])
        if kind == "response.created":
            self.expect(not before, "created is not first")
        elif kind == "response.queued":
            self.expect(before == ("response.created",), "queued does not follow created")
        elif kind == "response.in_progress":
            self.expect(before in (_CREATED, _QUEUED), "in_progress does not follow created or queued")
        elif kind not in TERMINAL and kind != "error":
            self.expect("response.in_progress" in before, "comes before created and in_progress")
        elif not before:
            self.say("response.created did not come first")
        if self.error:
            self.expect(kind == "response.failed", "only response.failed may follow an error event")

    def rule(self, kind: str) -> Callable[[Json], None]:
        name, _, verb = kind.rpartition(".")
        if kind in OPENING:
            return self.opening
        if kind in TERMINAL:
            return self.terminal
        if kind in _SINGLE:
            found: Callable[[Json], None] = getattr(self, _SINGLE[kind])
            return found
        if name in CHANNELS and verb in ("delta", "done"):
            return self.delta if verb == "delta" else self.text_done
        if name.removeprefix("response.") in STATES:
            return self.state
        return self.free if kind.startswith(FREE) else self.unknown

    def free(self, event: Json) -> None:
        self.expect("output_index" in event or "item_id" in event, "belongs to no item")

    def unknown(self, event: Json) -> None:
        self.say("is no event of the contract")

    # snapshots

    def opening(self, event: Json) -> None:
        response = event["response"]
        self.identity(response)
        self.expect(response["output"] == [], "the snapshot's output is not empty")
        self.expect(response["usage"] is None, "the snapshot's usage is not null")
        self.expect(response["status"] in OPENING[event["type"]], f"status is {response['status']}")
        self.expect(response.get("error") is None, "the snapshot holds an error")

    def identity(self, response: Json) -> None:
        self.id = self.id or response["id"]
        self.expect(response["id"] == self.id, "the response id changed")
        self.expect(response.get("object") == "response", "object is not response")

    def terminal(self, event: Json) -> None:
        response, kind = event["response"], event["type"]
        self.identity(response)
        self.expect(response["status"] in TERMINAL[kind], f"status is {response['status']}")
        failed = response["status"] == "failed"
        self.expect((response.get("error") is not None) == failed, "error is set if and only if failed")
        reason = (response.get("incomplete_details") or {}).get("reason")
        self.expect(
            bool(reason) == (kind == "response.incomplete"), "incomplete_details goes with incomplete"
        )
        if kind == "response.failed":
            return
        self.expect(isinstance(response["usage"], dict), "usage is missing at the end")
        for index, item in self.items.items():
            self.expect(item.final is not None, f"item {index} is unfinished")
        finals = [_open(self.items[index].final or {}) for index in sorted(self.items)]
        ended = [_open(item) for item in response["output"]]
        self.expect(ended == finals, "output differs from the finished items")

    def error_event(self, event: Json) -> None:
        self.error = True
        nested = event["error"]
        self.expect(bool(nested.get("message")), "the nested error has no message")
        self.expect("code" in nested and "type" in nested, "the nested error lacks code or type")
        if self.ours:
            flat = {name: event.get(name) for name in ("code", "message", "param")}
            self.expect(flat == {name: nested.get(name) for name in flat}, "flat and nested differ")

    # items

    def item_added(self, event: Json) -> None:
        index, item = event["output_index"], event["item"]
        self.expect(index == len(self.items), f"output_index {index} does not open in order")
        kind = item["type"]
        wanted = EMPTY_AT_FIRST.get(kind, {})
        held = {name: item.get(name) for name in wanted}
        self.expect(held == wanted, f"a new {kind} holds {held}")
        for name in NAMED.get(kind, ()):
            self.expect(bool(item.get(name)), f"a new {kind} has no {name}")
        self.items[index] = Item(item["id"], kind)

    def item_done(self, event: Json) -> None:
        item = self.item(event, event["item"].get("id"))
        if item is None:
            return
        final = item.final = event["item"]
        self.expect(final["type"] == item.kind, "the item's type changed")
        self.expect(final.get("status", "completed") in CLOSED, f"status is {final.get('status')}")
        for (_, number), part in item.parts.items():
            self.expect(part.closed, f"part {number} is unfinished")
        for (member, place), kinds in _PLACES.items():
            texts = [part.text for (index, _), part in sorted(item.parts.items()) if index == member]
            held = [_text(part) for part in final.get(place) or [] if part.get("type") in kinds]
            self.expect(
                not (texts or item.kind == "message") or texts == held, f"{place} differs from its parts"
            )
        for name, text in item.texts.items():
            self.expect(name in item.texts_done or name in DONE_MAY_LACK, f"{name}.done is missing")
            member = CHANNELS[name].member
            self.expect(_member(final, member) == text, f"{member} differs from its deltas")
        if item.kind == "function_call":
            self.expect(
                "response.function_call_arguments" in item.texts_done, "no function_call_arguments.done came"
            )

    def item(self, event: Json, identifier: str | None) -> Item | None:
        item = self.items.get(event["output_index"])
        if item is None or item.final is not None:
            self.say(f"item {event['output_index']} is not open")
            return None
        self.expect(identifier == item.id, "the item's id is another")
        return item

    # parts and texts

    def part_added(self, event: Json) -> None:
        member = "summary_index" if "summary_index" in event else "content_index"
        if item := self.item(event, event["item_id"]):
            count = sum(index == member for index, _ in item.parts)
            self.expect(event[member] == count, f"{member} {event[member]} does not open in order")
            part = event["part"]
            self.expect(_text(part) == "", "a new part has text")
            self.expect(not part.get("annotations"), "a new part has annotations")
            item.parts[member, event[member]] = Part(part["type"])

    def part_done(self, event: Json) -> None:
        part = self.part(event)
        if part is None:
            return
        final = event["part"]
        part.closed = True
        self.expect(final["type"] == part.kind, "the part's type changed")
        self.expect(part.text_done, "the part's text was not done")
        self.expect(_text(final) == part.text, "the part differs from its deltas")
        if part.kind == "output_text":
            self.expect(final.get("annotations", []) == part.annotations, "annotations were not all added")

    def part(self, event: Json) -> Part | None:
        member = "summary_index" if "summary_index" in event else "content_index"
        if (item := self.item(event, event["item_id"])) is None:
            return None
        part = item.parts.get((member, event[member]))
        if part is None or part.closed:
            self.say(f"part {event[member]} is not open")
            return None
        return part

    def annotation(self, event: Json) -> None:
        if part := self.part(event):
            self.expect(part.kind == "output_text", f"an annotation in a {part.kind} part")
            self.expect(
                event["annotation_index"] == len(part.annotations), "annotation_index is out of order"
            )
            part.annotations.append(event["annotation"])

    def delta(self, event: Json) -> None:
        name = event["type"].removesuffix(".delta")
        self.grow(event, name, event["delta"])

    def text_done(self, event: Json) -> None:
        name = event["type"].removesuffix(".done")
        self.grow(event, name, None)

    def grow(self, event: Json, name: str, more: str | None) -> None:
        """Add a delta to its part or item; ``None`` stands for the ``.done`` event."""
        channel = CHANNELS[name]
        if channel.place is not None:
            if part := self.part(event):
                self.expect(part.kind == channel.kind, f"goes to a {part.kind} part")
                self.expect(not part.text_done, "comes after the text was done")
                part.text += more or ""
                part.text_done = more is None
                self.expect(more is not None or event[channel.member] == part.text, "differs from its deltas")
        elif item := self.item(event, event["item_id"]):
            self.expect(item.kind == channel.kind, f"goes to a {item.kind}")
            self.expect(name not in item.texts_done, "comes after the text was done")
            text = item.texts[name] = item.texts.get(name, "") + (more or "")
            if more is None:
                item.texts_done.add(name)
                self.expect(event[channel.member] == text, "differs from its deltas")

    def state(self, event: Json) -> None:
        kind, _, state = event["type"].removeprefix("response.").partition(".")
        if item := self.item(event, event["item_id"]):
            self.expect(item.kind == kind, f"goes to a {item.kind}")
            rank = STATES[kind].index(state) if state in STATES[kind] else -1
            self.expect(rank >= 0, f"{state} is no state of a {kind}")
            again = state == "partial_image"
            self.expect(rank > item.state or (again and rank == item.state), f"{state} comes too late")
            item.state = rank


_CREATED = ("response.created",)
_QUEUED = ("response.created", "response.queued")
_SINGLE = {
    "error": "error_event",
    "response.output_item.added": "item_added",
    "response.output_item.done": "item_done",
    "response.content_part.added": "part_added",
    "response.content_part.done": "part_done",
    "response.reasoning_summary_part.added": "part_added",
    "response.reasoning_summary_part.done": "part_done",
    "response.output_text.annotation.added": "annotation",
}
_PLACES = {
    ("content_index", "content"): ("output_text", "refusal", "reasoning_text"),
    ("summary_index", "summary"): ("summary_text",),
}


def _open(item: Json) -> Json:
    """An item without what is encrypted: real servers encrypt it anew for the terminal object."""
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def _text(part: Mapping[str, Any]) -> Any:
    return part.get(PART_TEXT.get(part.get("type", ""), "text"))


def _member(item: Json, name: str) -> Any:
    """An apply-patch item keeps its diff one level down."""
    return item["operation"].get(name) if "operation" in item else item.get(name)


def check_padding(events: list[Json]) -> list[str]:
    """Where a stream pads its deltas, every padded one must reach a multiple of 16 characters."""
    return [
        f"{event['sequence_number']}: {len(event['delta'])} + {len(event['obfuscation'])}"
        for event in events
        if event.get("obfuscation") and (len(event["delta"]) + len(event["obfuscation"])) % 16
    ]
