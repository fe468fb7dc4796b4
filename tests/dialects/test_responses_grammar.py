"""Native Responses streams that lack events, indexes, ids or members: whole again for the SDKs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.dialects.base import Frame, PassThrough, ServerContext
from app.dialects.responses.dialect import DIALECT
from app.dialects.responses.patch import ResponsesPatch
from tests.dialects import generic
from tests.dialects.generic import passed_frames
from tests.dialects.openresponses import faults_of_response
from tests.dialects.test_responses_sdk import client_of
from tests.traffic.grammar import check_responses_stream

Json = dict[str, Any]
Change = Callable[[list[Json]], list[Json]]


def events_of_text(index: int, item_id: str, text: str) -> list[Json]:
    place = {"item_id": item_id, "output_index": index, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": item_id, "status": "completed", "role": "assistant", "content": [part]}
    opened = {**item, "status": "in_progress", "content": []}
    pieces = [text[:3], text[3:]]
    return [
        {"type": "response.output_item.added", "output_index": index, "item": opened},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": p, "logprobs": []} for p in pieces),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def events_of_call(index: int, item_id: str, arguments: str) -> list[Json]:
    place = {"item_id": item_id, "output_index": index}
    item = {"type": "function_call", "id": item_id, "status": "completed", "call_id": f"call_{index}", "name": "look", "arguments": arguments}  # fmt: skip
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress", "arguments": ""}},
        *({"type": "response.function_call_arguments.delta", **place, "delta": p} for p in (arguments[:4], arguments[4:])),
        {"type": "response.function_call_arguments.done", **place, "arguments": arguments},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]  # fmt: skip


def events_of_thought(index: int, item_id: str, text: str) -> list[Json]:
    place = {"item_id": item_id, "output_index": index, "summary_index": 0}
    item = {"type": "reasoning", "id": item_id, "summary": [{"type": "summary_text", "text": text}]}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, "summary": []}},
        {"type": "response.reasoning_summary_part.added", **place, "part": {"type": "summary_text", "text": ""}},
        {"type": "response.reasoning_summary_text.delta", **place, "delta": text},
        {"type": "response.reasoning_summary_text.done", **place, "text": text},
        {"type": "response.reasoning_summary_part.done", **place, "part": item["summary"][0]},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]  # fmt: skip


def whole_stream() -> list[Json]:
    """A thought, a text and two calls, as OpenAI streams them."""
    items = [
        *events_of_thought(0, "rs_0", "hm"),
        *events_of_text(1, "msg_1", "good morning"),
        *events_of_call(2, "fc_2", '{"city": "Paris"}'),
        *events_of_call(3, "fc_3", '{"city": "Rome"}'),
    ]
    shell = {"id": "resp_theirs", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": []}  # fmt: skip
    output = [event["item"] for event in items if event["type"] == "response.output_item.done"]
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    final = {**shell, "status": "completed", "output": output, "usage": usage}
    opening = [{"type": f"response.{kind}", "response": shell} for kind in ("created", "in_progress")]
    events = [*opening, *items, {"type": "response.completed", "response": final}]
    return [{**copy.deepcopy(event), "sequence_number": at} for at, event in enumerate(events)]


def without_event(*kinds: str) -> Change:
    return lambda events: [event for event in events if event["type"] not in kinds]


def changed(rule: Callable[[Json], None]) -> Change:
    """Apply a rule to every object of every event."""

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            rule(value)
        for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(member)

    def change(events: list[Json]) -> list[Json]:
        for event in events:
            walk(event)
        return events

    return change


def without(*names: str) -> Change:
    def rule(value: Json) -> None:
        for name in names:
            value.pop(name, None)

    return changed(rule)


def null(*names: str) -> Change:
    return changed(lambda value: value.update({name: None for name in names if name in value}))


def bare_terminal(events: list[Json]) -> list[Json]:
    events[-1]["response"].pop("output")
    return events


def null_deltas(events: list[Json]) -> list[Json]:
    return [e for event in events for e in ([{**event, "delta": None}, event] if "delta" in event else [event])]  # fmt: skip


def new_ids_at_the_end(events: list[Json]) -> list[Json]:
    for event in events:
        if event["type"] == "response.output_item.done":
            event["item"]["id"] += "_other"
    return events


def numbers_from_five(events: list[Json]) -> list[Json]:
    return [{**e, "output_index": e["output_index"] + 5} if "output_index" in e else e for e in events]


def twice(events: list[Json]) -> list[Json]:
    return [e for event in events for e in ([event] if "delta" in event else [event, copy.deepcopy(event)])]


def early_arguments(events: list[Json]) -> list[Json]:
    last = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    for event in events:
        if event["type"] == "response.output_item.added":
            event["item"] = copy.deepcopy(last[event["output_index"]])
    return events


KINDS = sorted({event["type"] for event in whole_stream()} - {"response.completed"})
PARTS = [kind for kind in KINDS if "part" in kind]
CHANGES: dict[str, Change] = {
    "nothing": lambda events: events,
    **{f"no {kind}": without_event(kind) for kind in KINDS},
    "no opening": without_event("response.created", "response.in_progress"),
    "no parts": without_event(*PARTS),
    "no done events": without_event(*(k for k in KINDS if k.endswith(".done") and "item" not in k)),
    "no deltas": without_event(*(k for k in KINDS if k.endswith(".delta"))),
    "items alone": without_event(*(k for k in KINDS if "item" not in k)),
    "done items alone": without_event(*(k for k in KINDS if k != "response.output_item.done")),
    "the end alone": without_event(*KINDS),
    "no output_index": without("output_index"),
    "no content_index": without("content_index", "summary_index"),
    "no indexes": without("output_index", "content_index", "summary_index"),
    "no item_id": without("item_id"),
    "no ids": without("item_id", "id"),
    "no ids or indexes": without("item_id", "id", "output_index", "content_index", "summary_index"),
    "null ids and indexes": null("item_id", "id", "output_index", "content_index", "summary_index"),
    "no times": without("created_at", "completed_at"),
    "null times": null("created_at"),
    "no statuses": without("status"),
    "no lists": without("annotations", "logprobs"),
    "null lists": null("annotations", "logprobs"),
    "no numbers": without("sequence_number"),
    "bare end": bare_terminal,
    "null deltas": null_deltas,
    "new ids at the end": new_ids_at_the_end,
    "indexes from five": numbers_from_five,
    "all said twice": twice,
    "items whole at once": early_arguments,
}
WHAT_WAS_SAID = ["hm", "good morning", ("look", '{"city": "Paris"}'), ("look", '{"city": "Rome"}')]


def contents_of(output: list[Json]) -> list[Any]:
    """What the items say, by the kind of each."""
    rules: dict[str, Callable[[Json], Any]] = {
        "reasoning": lambda item: "".join(part["text"] for part in item["summary"]),
        "message": lambda item: "".join(part["text"] for part in item["content"]),
        "function_call": lambda item: (item["name"], item["arguments"]),
    }
    return [rules[item["type"]](item) for item in output]


def patch() -> ResponsesPatch:
    server = ServerContext(new_id=generic.counter(), now=1_700_000_000, response_id="resp_ours")
    client = generic.client_context(realm="here")
    return ResponsesPatch(PassThrough({"model": "m", "input": "hi"}, client, server))


def passed(events: list[Json]) -> list[Json]:
    return [frame.data for frame in passed_frames(patch(), [Frame(event["type"], event) for event in events])]


@pytest.mark.parametrize("name", CHANGES)
def test_a_stream_that_lacks_something_keeps_the_grammar(name: str) -> None:
    events = passed(CHANGES[name](whole_stream()))
    assert check_responses_stream(events, ours=True) == []
    assert contents_of(events[-1]["response"]["output"]) == WHAT_WAS_SAID
    assert faults_of_response(events[-1]["response"]) == []


@pytest.mark.parametrize("name", CHANGES)
def test_the_sdks_accumulator_takes_a_stream_that_lacked_something(name: str) -> None:
    told = passed(CHANGES[name](whole_stream()))
    with client_of(told).responses.stream(model="m", input="hi") as stream:
        types = [event.type for event in stream]
        final = stream.get_final_response()
    assert types == [event["type"] for event in told]
    assert final.output_text == "good morning"
    deltas = [e["delta"] for e in told if e["type"] == "response.function_call_arguments.delta"]
    assert json.loads("[" + "".join(deltas).replace("}{", "},{") + "]") == [{"city": "Paris"}, {"city": "Rome"}]  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_the_decoder_reads_a_stream_that_lacks_something(name: str) -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    events = [e for event in CHANGES[name](whole_stream()) for e in decoder.feed(event["type"], event)]
    told = generic.fold(events).response()
    parts = [part for message in told.choices[0].messages for part in message.parts]
    assert [getattr(part, "text", None) or (part.name, part.arguments) for part in parts] == WHAT_WAS_SAID


def test_a_whole_stream_passes_as_it_is() -> None:
    told = [{k: v for k, v in event.items() if k != "response"} for event in passed(whole_stream())]
    assert told == [{k: v for k, v in event.items() if k != "response"} for event in whole_stream()]


ANSWERS: list[tuple[Json, Json]] = [
    ({"type": "message", "content": None}, {"status": "completed", "role": "assistant", "content": []}),
    ({"type": "message"}, {"status": "completed", "role": "assistant", "content": []}),
    (
        {"type": "message", "content": [{"text": "hi"}]},
        {"content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]},
    ),
    ({"type": "reasoning", "summary": None}, {"summary": []}),
    ({"type": "function_call", "name": "f", "call_id": "c", "arguments": None}, {"arguments": "", "call_id": "c"}),
    ({"type": "custom_tool_call", "name": "f", "call_id": "c"}, {"input": "", "status": "completed"}),
]  # fmt: skip


@pytest.mark.parametrize("item, right", ANSWERS)
def test_a_whole_answer_has_the_members_that_sdks_need(item: Json, right: Json) -> None:
    shown = patch().answer({"status": "completed", "created_at": None, "output": [item]})["output"][0]
    assert {name: shown.get(name) for name in right} == right
    assert isinstance(shown["id"], str)


def test_a_part_that_begins_before_an_earlier_one_keeps_its_text() -> None:
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    item = {"type": "message", "id": "msg_0", "content": parts}
    place = {"item_id": "msg_0", "output_index": 0, "content_index": 1}
    events = passed(
        [
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
            {"type": "response.refusal.delta", **place, "delta": "n"},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        ]
    )
    deltas = [(event["type"], event["content_index"], event["delta"]) for event in events if "delta" in event]
    assert deltas == [("response.refusal.delta", 0, "n"), ("response.refusal.delta", 0, "o"), ("response.output_text.delta", 1, "a")]  # fmt: skip
    assert [part["type"] for part in events[-1]["item"]["content"]] == ["refusal", "output_text"]
