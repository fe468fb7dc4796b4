"""The grammar of Responses streams.

Its rules hold in clean recordings of OpenAI and Azure; openai-python's ``responses.stream()`` enforces some of them by
exceptions. Items may overlap, so all state is kept by ``output_index``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from app.conformance.grammar import Grammar, Json

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
    """A streamed text: its ``member`` in the ``.done`` event and in the item or part of type ``kind``.

    ``place`` is the member of events that holds the part's index; None if the text belongs to the item itself.
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
    """A content or summary part that has started."""

    kind: str
    text: str = ""
    annotations: list[Json] = field(default_factory=list)
    text_done: bool = False
    closed: bool = False


@dataclass(slots=True)
class Item:
    """An output item that has started; ``parts`` by (index member, index), ``texts`` by event name."""

    id: str
    kind: str
    parts: dict[tuple[str, int], Part] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    texts_done: set[str] = field(default_factory=set)
    state: int = -1
    final: Json | None = None


def check_responses_frames(messages: Iterable[tuple[str, Json]], *, ours: bool = False) -> list[str]:
    """Return every broken rule of a whole stream, given as event name and parsed data of each message."""
    rows = list(enumerate(messages))
    violations = [
        f"{number}: event line {name!r} is not the type {event.get('type')!r}"
        for number, (name, event) in rows
        if name != event.get("type")
    ]
    return violations + check_responses_stream([event for _, (_, event) in rows], ours=ours)


def check_responses_stream(events: list[Json], *, ours: bool = False, first: int = 0) -> list[str]:
    """Return every broken rule of a whole Responses stream.

    ``ours`` adds a rule of this gateway: an ``error`` event has its members flat as well as nested.
    ``first`` is the ``sequence_number`` of the first event.
    """
    return _ResponsesGrammar(ours, first).check(events)


class _ResponsesGrammar(Grammar):
    def __init__(self, ours: bool, first: int) -> None:
        super().__init__()
        self.ours, self.next = ours, first
        self.items: dict[int, Item] = {}
        self.kinds: list[str] = []
        self.id: str | None = None
        self.error = False

    def check(self, events: list[Json]) -> list[str]:
        for event in events:
            kind, number = event.get("type"), event.get("sequence_number")
            self.where = f"{self.next} {kind}"
            self.expect(
                {
                    f"sequence_number is {number}, not {self.next}": number == self.next,
                    "comes after the terminal event": not self.kinds or self.kinds[-1] not in TERMINAL,
                    "has no type": isinstance(kind, str),
                }
            )
            self.next += 1
            if isinstance(kind, str):
                self.check_order(kind)
                try:
                    self.rule(kind)(event)
                except KeyError as missing:
                    self.report(f"lacks {missing}")
                self.kinds.append(kind)
        self.where = "end"
        self.expect({"no terminal event came last": self.kinds and self.kinds[-1] in TERMINAL})
        return self.violations

    def check_order(self, kind: str) -> None:
        """created, then perhaps queued, then in_progress, then all the rest."""
        before = tuple(self.kinds[:3])
        openings = {
            "response.created": ("created is not first", not before),
            "response.queued": ("queued does not follow created", before == _CREATED),
            "response.in_progress": (
                "in_progress does not follow created or queued",
                before in (_CREATED, _QUEUED),
            ),
        }
        if kind in TERMINAL or kind == "error":
            other = ("response.created did not come first", bool(before))
        else:
            other = ("comes before created and in_progress", "response.in_progress" in before)
        violation, holds = openings.get(kind, other)
        only_failure = not self.error or kind == "response.failed"
        self.expect({violation: holds, "only response.failed may follow an error event": only_failure})

    def rule(self, kind: str) -> Callable[[Json], None]:
        name, _, verb = kind.rpartition(".")
        if kind in OPENING:
            return self.check_opening
        if kind in TERMINAL:
            return self.check_terminal
        if kind in _SINGLE:
            return partial(_SINGLE[kind], self)
        if name in CHANNELS and verb in ("delta", "done"):
            return partial(self.grow, name=name, done=verb == "done")
        if name.removeprefix("response.") in STATES:
            return self.check_state
        return partial(self.check_other, known=kind.startswith(FREE))

    def check_other(self, event: Json, *, known: bool) -> None:
        has_item = "output_index" in event or "item_id" in event
        self.expect({"is no event of the contract": known, "belongs to no item": not known or has_item})

    # snapshots

    def check_opening(self, event: Json) -> None:
        response = event["response"]
        self.check_identity(response)
        self.expect(
            {
                "the snapshot's output is not empty": response["output"] == [],
                "the snapshot's usage is not null": response["usage"] is None,
                f"status is {response['status']}": response["status"] in OPENING[event["type"]],
                "the snapshot holds an error": response.get("error") is None,
            }
        )

    def check_identity(self, response: Json) -> None:
        self.id = self.id or response["id"]
        self.expect(
            {
                "the response id changed": response["id"] == self.id,
                "object is not response": response.get("object") == "response",
            }
        )

    def check_terminal(self, event: Json) -> None:
        response, kind = event["response"], event["type"]
        self.check_identity(response)
        status = response["status"]
        reason = (response.get("incomplete_details") or {}).get("reason")
        self.expect(
            {
                f"status is {status}": status in TERMINAL[kind],
                "error is set if and only if failed": (response.get("error") is not None)
                == (status == "failed"),
                "incomplete_details goes with incomplete": bool(reason) == (kind == "response.incomplete"),
            }
        )
        if kind == "response.failed":
            return
        finals = [_without_encrypted(self.items[index].final or {}) for index in sorted(self.items)]
        self.expect(
            {
                "usage is missing at the end": isinstance(response["usage"], dict),
                **{f"item {index} is unfinished": item.final for index, item in self.items.items()},
                "output differs from the finished items": finals
                == [_without_encrypted(item) for item in response["output"]],
            }
        )

    def check_error(self, event: Json) -> None:
        self.error = True
        nested = event["error"]
        flat = {name: event.get(name) for name in ("code", "message", "param")}
        self.expect(
            {
                "the nested error has no message": nested.get("message"),
                "the nested error lacks code or type": "code" in nested and "type" in nested,
                "flat and nested differ": not self.ours or flat == {name: nested.get(name) for name in flat},
            }
        )

    # items

    def add_item(self, event: Json) -> None:
        index, item = event["output_index"], event["item"]
        kind = item["type"]
        empty = EMPTY_AT_FIRST.get(kind, {})
        members = {name: item.get(name) for name in empty}
        self.expect(
            {
                f"output_index {index} does not open in order": index == len(self.items),
                f"a new {kind} holds {members}": members == empty,
                **{f"a new {kind} has no {name}": item.get(name) for name in NAMED.get(kind, ())},
            }
        )
        self.items[index] = Item(item["id"], kind)

    def finish_item(self, event: Json) -> None:
        item = self.find_item(event, event["item"].get("id"))
        if item is None:
            return
        final = item.final = event["item"]
        self.expect(
            {
                "the item's type changed": final["type"] == item.kind,
                f"status is {final.get('status')}": final.get("status", "completed") in CLOSED,
                **{f"part {number} is unfinished": part.closed for (_, number), part in item.parts.items()},
            }
        )
        for (member, place), kinds in _PLACES.items():
            texts = [part.text for (index, _), part in sorted(item.parts.items()) if index == member]
            final_texts = [_text(part) for part in final.get(place) or [] if part.get("type") in kinds]
            comparable = texts or item.kind == "message"
            self.expect({f"{place} differs from its parts": not comparable or texts == final_texts})
        for name, text in item.texts.items():
            member = CHANNELS[name].member
            self.expect(
                {
                    f"{name}.done is missing": name in item.texts_done or name in DONE_MAY_LACK,
                    f"{member} differs from its deltas": _member(final, member) == text,
                }
            )
        arguments = "response.function_call_arguments" in item.texts_done
        self.expect({"no function_call_arguments.done came": arguments or item.kind != "function_call"})

    def find_item(self, event: Json, identifier: str | None) -> Item | None:
        item = self.items.get(event["output_index"])
        if item is None or item.final is not None:
            self.report(f"item {event['output_index']} is not open")
            return None
        self.expect({"the item's id is another": identifier == item.id})
        return item

    # parts and texts

    def add_part(self, event: Json) -> None:
        member = _index_member(event)
        if item := self.find_item(event, event["item_id"]):
            index, part = event[member], event["part"]
            count = sum(name == member for name, _ in item.parts)
            self.expect(
                {
                    f"{member} {index} does not open in order": index == count,
                    "a new part has text": _text(part) == "",
                    "a new part has annotations": not part.get("annotations"),
                }
            )
            item.parts[member, index] = Part(part["type"])

    def finish_part(self, event: Json) -> None:
        if part := self.find_part(event):
            final = event["part"]
            part.closed = True
            annotations = final.get("annotations", [])
            self.expect(
                {
                    "the part's type changed": final["type"] == part.kind,
                    "the part's text was not done": part.text_done,
                    "the part differs from its deltas": _text(final) == part.text,
                    "annotations were not all added": part.kind != "output_text"
                    or annotations == part.annotations,
                }
            )

    def find_part(self, event: Json) -> Part | None:
        member = _index_member(event)
        if (item := self.find_item(event, event["item_id"])) is None:
            return None
        part = item.parts.get((member, event[member]))
        if part is None or part.closed:
            self.report(f"part {event[member]} is not open")
            return None
        return part

    def add_annotation(self, event: Json) -> None:
        if part := self.find_part(event):
            in_order = event["annotation_index"] == len(part.annotations)
            self.expect(
                {
                    f"an annotation in a {part.kind} part": part.kind == "output_text",
                    "annotation_index is out of order": in_order,
                }
            )
            part.annotations.append(event["annotation"])

    def grow(self, event: Json, *, name: str, done: bool) -> None:
        """Add the delta to its part or item; the ``.done`` event repeats the whole text."""
        channel, delta = CHANNELS[name], "" if done else event["delta"]
        if channel.place is not None:
            if part := self.find_part(event):
                part.text += delta
                self.expect(
                    {
                        f"goes to a {part.kind} part": part.kind == channel.kind,
                        "comes after the text was done": not part.text_done,
                        "differs from its deltas": not done or event[channel.member] == part.text,
                    }
                )
                part.text_done = done
        elif item := self.find_item(event, event["item_id"]):
            text = item.texts[name] = item.texts.get(name, "") + delta
            self.expect(
                {
                    f"goes to a {item.kind}": item.kind == channel.kind,
                    "comes after the text was done": name not in item.texts_done,
                    "differs from its deltas": not done or event[channel.member] == text,
                }
            )
            item.texts_done |= {name} if done else set()

    def check_state(self, event: Json) -> None:
        kind, _, state = event["type"].removeprefix("response.").partition(".")
        if item := self.find_item(event, event["item_id"]):
            rank = STATES[kind].index(state) if state in STATES[kind] else -1
            repeats = state == "partial_image" and rank == item.state
            self.expect(
                {
                    f"goes to a {item.kind}": item.kind == kind,
                    f"{state} is no state of a {kind}": rank >= 0,
                    f"{state} comes too late": rank > item.state or repeats,
                }
            )
            item.state = rank


_CREATED = ("response.created",)
_QUEUED = ("response.created", "response.queued")
_SINGLE: dict[str, Callable[[_ResponsesGrammar, Json], None]] = {
    "error": _ResponsesGrammar.check_error,
    "response.output_item.added": _ResponsesGrammar.add_item,
    "response.output_item.done": _ResponsesGrammar.finish_item,
    "response.content_part.added": _ResponsesGrammar.add_part,
    "response.content_part.done": _ResponsesGrammar.finish_part,
    "response.reasoning_summary_part.added": _ResponsesGrammar.add_part,
    "response.reasoning_summary_part.done": _ResponsesGrammar.finish_part,
    "response.output_text.annotation.added": _ResponsesGrammar.add_annotation,
}
_PLACES = {
    ("content_index", "content"): ("output_text", "refusal", "reasoning_text"),
    ("summary_index", "summary"): ("summary_text",),
}


def _without_encrypted(item: Json) -> Json:
    """Return an item without ``encrypted_content``: OpenAI encrypts it anew for the terminal event."""
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def _text(part: Mapping[str, Any]) -> Any:
    return part.get(PART_TEXT.get(part.get("type", ""), "text"))


def _member(item: Json, name: str) -> Any:
    """Return a member of an item; an apply-patch item has its diff in ``operation``."""
    return item["operation"].get(name) if "operation" in item else item.get(name)


def _index_member(event: Json) -> str:
    return "summary_index" if "summary_index" in event else "content_index"
