"""The guards themselves: clean recordings pass, each rule bites on a stream broken on purpose."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.traffic.chat_grammar import DONE, check_chat_stream
from tests.traffic.frames import Frame, payloads, sse
from tests.traffic.grammar import (
    check_padding,
    check_responses_frames,
    check_responses_stream,
)
from tests.traffic.load import Exchange, exchanges, params

Json = dict[str, Any]
Mutation = Callable[[list[Any]], object]
RESPONSES = ["openai.responses", "azure.openai.responses", "openrouter.openai.responses"]
CHAT = ["openai.chat", "azure.openai.chat"]

OPENROUTER = "no event lines, and [DONE] at the end"
DEVIATIONS = {
    "azure-responses_stream-2b534b04c531": "four streams joined in one recording",
    "openai-responses_stream-4afcf6e630de": "mcp_call.in_progress came twice (framing rebuilt)",
    "openai-responses_stream-7b43502d6ffb": "of March 2025: no sequence_number yet",
    "openai-responses_stream-db323d0cd038": "hand-written: no sequence_number, another response id at the end",
    "openrouter-responses_stream-3b806c051d0c": OPENROUTER,
    "openrouter-responses_stream-8ea281a3b07e": OPENROUTER,
    "openrouter-responses_stream-f3cf95cacf24": OPENROUTER,
    "openrouter-responses_stream-facf8c5c48cc": OPENROUTER,
}
CHAT_DEVIATIONS = {
    "azure-chat_completion_stream-416b928ce4b0": "no OpenAI model: `created` moves on within the stream",
    "openai-chat_completion_stream-475108e005bb": "served by OpenRouter: usage comes with a choice",
}


@pytest.mark.parametrize("recording", params(i for i in exchanges(RESPONSES) if i.kind == "sse"))
def test_recorded_responses_streams_keep_the_grammar(recording: Exchange) -> None:
    broken = check_responses_frames(sse(recording.content()))
    assert bool(broken) == (recording.id in DEVIATIONS), broken[:5]


@pytest.mark.parametrize(
    "recording", params(exchanges(["openrouter.openai.responses"], ["responses_stream"]))
)
def test_openrouter_differs_only_in_its_framing(recording: Exchange) -> None:
    assert check_responses_stream(payloads(recording.content())) == []


@pytest.mark.parametrize("recording", params(i for i in exchanges(RESPONSES) if i.kind == "sse"))
def test_recorded_deltas_are_padded_to_sixteen(recording: Exchange) -> None:
    assert check_padding(payloads(recording.content())) == []


@pytest.mark.parametrize("recording", params(i for i in exchanges(CHAT) if i.kind == "sse"))
def test_recorded_chat_streams_keep_the_grammar(recording: Exchange) -> None:
    broken = check_chat_stream(
        [f.data if f.data == DONE else json.loads(f.data) for f in sse(recording.content())]
    )
    assert bool(broken) == (recording.id in CHAT_DEVIATIONS), broken[:5]


# --- a clean stream, and ways to break it -------------------------------------------------------------

MESSAGE, REASONING, CALL, SEARCH = "msg_1", "rs_1", "fc_1", "ws_1"
CITED = {"type": "url_citation", "url": "https://example.com", "title": "t", "start_index": 0, "end_index": 2}


def snapshot(status: str, **more: Any) -> Json:
    base: Json = {
        "id": "resp_1",
        "object": "response",
        "status": status,
        "output": [],
        "usage": None,
        "error": None,
    }
    return base | more


def body() -> list[Json]:
    """A reasoning item with summary, a cited message that overlaps a function call, and a search."""
    thought = {"type": "summary_text", "text": "hm"}
    said = {"type": "output_text", "text": "Hello", "annotations": [CITED], "logprobs": []}
    message = {"id": MESSAGE, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    call = {"id": CALL, "type": "function_call", "call_id": "call_1", "name": "f", "status": "in_progress"}
    search = {"id": SEARCH, "type": "web_search_call", "status": "in_progress"}
    at_0 = {"item_id": REASONING, "output_index": 0, "summary_index": 0}
    at_1 = {"item_id": MESSAGE, "output_index": 1, "content_index": 0}
    at_2 = {"item_id": CALL, "output_index": 2}
    at_3 = {"item_id": SEARCH, "output_index": 3}
    events: list[tuple[str, Json]] = [
        (
            "output_item.added",
            {"output_index": 0, "item": {"id": REASONING, "type": "reasoning", "summary": []}},
        ),
        ("reasoning_summary_part.added", at_0 | {"part": thought | {"text": ""}}),
        ("reasoning_summary_text.delta", at_0 | {"delta": "hm"}),
        ("reasoning_summary_text.done", at_0 | {"text": "hm"}),
        ("reasoning_summary_part.done", at_0 | {"part": thought}),
        ("output_item.done", {"output_index": 0, "item": reasoning(thought)}),
        ("output_item.added", {"output_index": 1, "item": message}),
        ("content_part.added", at_1 | {"part": said | {"text": "", "annotations": []}}),
        ("output_text.delta", at_1 | {"delta": "Hel", "obfuscation": "x" * 13}),
        ("output_item.added", {"output_index": 2, "item": call | {"arguments": ""}}),
        ("output_text.delta", at_1 | {"delta": "lo"}),
        ("function_call_arguments.delta", at_2 | {"delta": "{}"}),
        ("output_text.annotation.added", at_1 | {"annotation_index": 0, "annotation": CITED}),
        ("output_text.done", at_1 | {"text": "Hello"}),
        ("content_part.done", at_1 | {"part": said}),
        (
            "output_item.done",
            {"output_index": 1, "item": message | {"status": "completed", "content": [said]}},
        ),
        ("function_call_arguments.done", at_2 | {"arguments": "{}"}),
        ("output_item.done", {"output_index": 2, "item": call | {"arguments": "{}", "status": "completed"}}),
        ("output_item.added", {"output_index": 3, "item": search}),
        ("web_search_call.in_progress", at_3),
        ("web_search_call.searching", at_3),
        ("web_search_call.completed", at_3),
        ("output_item.done", {"output_index": 3, "item": search | {"status": "completed"}}),
    ]
    return [{"type": f"response.{kind}"} | copy.deepcopy(members) for kind, members in events]


def reasoning(thought: Json) -> Json:
    return {"id": REASONING, "type": "reasoning", "summary": [thought], "encrypted_content": "first"}


def stream(ending: str = "completed") -> list[Json]:
    """A clean stream with this ending, numbered."""
    middle = body()
    output = [copy.deepcopy(e["item"]) for e in middle if e["type"] == "response.output_item.done"]
    output[0]["encrypted_content"] = "second"
    endings: dict[str, list[Json]] = {
        "completed": [snapshot("completed", output=output, usage={})],
        "incomplete": [
            snapshot(
                "incomplete", output=output, usage={}, incomplete_details={"reason": "max_output_tokens"}
            )
        ],
        "failed": [snapshot("failed", error={"code": "server_error", "message": "m"})],
        "cancelled": [snapshot("cancelled")],
    }
    kind = "failed" if ending == "cancelled" else ending
    words = {"type": "server_error", "code": "server_error", "message": "m", "param": None}
    error = [{**words, "type": "error", "error": words}] if ending == "failed" else []
    events = [
        {"type": "response.created", "response": snapshot("in_progress")},
        {"type": "response.in_progress", "response": snapshot("in_progress")},
        *(middle if ending != "failed" else middle[:9]),
        *error,
        {"type": f"response.{kind}", "response": endings[ending][0]},
    ]
    return numbered(events)


def numbered(events: list[Json]) -> list[Json]:
    for number, event in enumerate(events):
        event["sequence_number"] = number
    return events


def first(events: list[Any], kind: str, nth: int = 0) -> Json:
    found: Json = [event for event in events if event["type"] == f"response.{kind}"][nth]
    return found


def without(kind: str, nth: int = 0) -> Mutation:
    def mutate(events: list[Any]) -> None:
        events.remove(first(events, kind, nth))
        numbered(events)

    return mutate


def again(kind: str) -> Mutation:
    def mutate(events: list[Any]) -> None:
        event = first(events, kind)
        events.insert(events.index(event) + 1, copy.deepcopy(event))
        numbered(events)

    return mutate


def swapped(kind: str, other: str) -> Mutation:
    def mutate(events: list[Any]) -> None:
        a, b = events.index(first(events, kind)), events.index(first(events, other))
        events[a], events[b] = events[b], events[a]
        numbered(events)

    return mutate


def changed(kind: str, *path: str | int, to: Any, nth: int = 0) -> Mutation:
    """Set the member at ``path`` of the nth event of this kind; an absent one is made."""

    def mutate(events: list[Any]) -> None:
        place: Any = first(events, kind, nth)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return mutate


def removed(kind: str, *path: str | int, nth: int = 0) -> Mutation:
    def mutate(events: list[Any]) -> None:
        place: Any = first(events, kind, nth)
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return mutate


def cut(events: list[Any]) -> None:
    events.pop()


def late(events: list[Any]) -> None:
    events.append(copy.deepcopy(events[-2]))
    numbered(events)


def unknown(events: list[Any]) -> None:
    events.insert(5, {"type": "response.reasoning.delta", "delta": "x"})
    numbered(events)


ADDED, ITEM, FINAL = "output_item.added", "output_item.done", "completed"
BROKEN: list[tuple[str, Mutation]] = [
    ("sequence_number is 7, not 3", changed("reasoning_summary_part.added", "sequence_number", to=7)),
    ("sequence_number is None", removed("output_text.done", "sequence_number")),
    ("no terminal event came last", cut),
    ("comes after the terminal event", late),
    ("comes after the terminal event", again(FINAL)),
    ("created is not first", again("created")),
    ("created is not first", swapped("created", "in_progress")),
    ("comes before created and in_progress", without("in_progress")),
    ("in_progress does not follow", without("created")),
    ("is no event of the contract", unknown),
    ("has no type", changed("output_text.done", "type", to=None)),
    ("the snapshot's output is not empty", changed("created", "response", "output", to=[{}])),
    ("the snapshot's usage is not null", changed("in_progress", "response", "usage", to={})),
    ("status is completed", changed("created", "response", "status", to="completed")),
    ("status is in_progress", changed(FINAL, "response", "status", to="in_progress")),
    ("the response id changed", changed(FINAL, "response", "id", to="resp_2")),
    ("object is not response", changed("in_progress", "response", "object", to="realtime")),
    ("error is set if and only if failed", changed(FINAL, "response", "error", to={"code": "x"})),
    ("incomplete_details goes with", changed(FINAL, "response", "incomplete_details", to={"reason": "x"})),
    ("usage is missing at the end", changed(FINAL, "response", "usage", to=None)),
    ("output differs from the finished items", changed(FINAL, "response", "output", 1, "id", to="msg_2")),
    ("output differs from the finished items", changed(FINAL, "response", "output", to=[])),
    ("item 3 is unfinished", without(ITEM, 3)),
    ("output_index 5 does not open in order", changed(ADDED, "output_index", to=5, nth=3)),
    ("output_index 0 does not open in order", changed(ADDED, "output_index", to=0, nth=1)),
    ("a new message holds", changed(ADDED, "item", "content", to=[{"type": "output_text"}], nth=1)),
    ("a new message holds", changed(ADDED, "item", "status", to="completed", nth=1)),
    ("a new function_call holds", changed(ADDED, "item", "arguments", to="{}", nth=2)),
    ("a new function_call has no name", changed(ADDED, "item", "name", to="", nth=2)),
    ("a new function_call has no call_id", removed(ADDED, "item", "call_id", nth=2)),
    ("the item's id is another", changed(ITEM, "item", "id", to="msg_2", nth=1)),
    ("the item's id is another", changed("output_text.delta", "item_id", to="msg_2")),
    ("the item's type changed", changed(ITEM, "item", "type", to="custom_tool_call", nth=2)),
    ("status is in_progress", changed(ITEM, "item", "status", to="in_progress", nth=1)),
    ("item 1 is not open", lambda events: first(events, ITEM, 2).update(output_index=1)),
    ("part 0 is unfinished", without("content_part.done")),
    ("content differs from its parts", changed(ITEM, "item", "content", 0, "text", to="Help", nth=1)),
    ("content differs from its parts", changed(ITEM, "item", "content", to=[], nth=1)),
    ("summary differs from its parts", changed(ITEM, "item", "summary", to=[])),
    ("content_index 1 does not open in order", changed("content_part.added", "content_index", to=1)),
    ("a new part has text", changed("content_part.added", "part", "text", to="H")),
    ("a new part has annotations", changed("content_part.added", "part", "annotations", to=[CITED])),
    ("part 0 is not open", without("content_part.added")),
    ("part 0 is not open", swapped("output_text.delta", "content_part.done")),
    ("the part's type changed", changed("content_part.done", "part", "type", to="refusal")),
    ("the part's text was not done", without("output_text.done")),
    ("the part differs from its deltas", changed("content_part.done", "part", "text", to="Hell")),
    ("annotations were not all added", without("output_text.annotation.added")),
    ("annotation_index is out of order", changed("output_text.annotation.added", "annotation_index", to=1)),
    (
        "goes to a summary_text part",
        changed("reasoning_summary_text.delta", "type", to="response.reasoning_text.delta"),
    ),
    ("comes after the text was done", again("output_text.done")),
    ("comes after the text was done", again("function_call_arguments.done")),
    ("differs from its deltas", changed("output_text.done", "text", to="Hello!")),
    ("differs from its deltas", changed("function_call_arguments.done", "arguments", to="{ }")),
    ("arguments differs from its deltas", changed(ITEM, "item", "arguments", to="{ }", nth=2)),
    ("differs from its deltas", without("output_text.delta")),
    ("function_call_arguments.done is missing", without("function_call_arguments.done")),
    ("lacks 'delta'", removed("output_text.delta", "delta")),
    ("lacks 'item_id'", removed("web_search_call.searching", "item_id")),
    ("lacks 'output_index'", removed("output_text.done", "output_index")),
    (
        "goes to a web_search_call",
        changed("web_search_call.searching", "type", to="response.file_search_call.searching"),
    ),
    ("searching comes too late", swapped("web_search_call.searching", "web_search_call.completed")),
    (
        "dreaming is no state",
        changed("web_search_call.searching", "type", to="response.web_search_call.dreaming"),
    ),
]
BROKEN_ENDINGS: list[tuple[str, Mutation]] = [
    (
        "only response.failed may follow",
        lambda events: changed("failed", "type", to="response.completed")(events),
    ),
    ("the nested error has no message", lambda events: events[-2]["error"].update(message="")),
    ("the nested error lacks code", lambda events: events[-2]["error"].pop("code")),
    ("lacks 'error'", lambda events: events[-2].pop("error")),
    ("flat and nested differ", lambda events: events[-2].pop("message")),
    ("error is set if and only if failed", changed("failed", "response", "error", to=None)),
    ("no terminal event came last", cut),
]


@pytest.mark.parametrize("ending", ["completed", "incomplete", "failed", "cancelled"])
def test_a_clean_stream_with_any_ending_passes(ending: str) -> None:
    assert check_responses_stream(stream(ending), ours=True) == []


@pytest.mark.parametrize("rule, mutate", BROKEN, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BROKEN)])
def test_each_rule_of_responses_bites(rule: str, mutate: Mutation) -> None:
    events = stream()
    mutate(events)
    assert rule in "\n".join(check_responses_stream(events))


@pytest.mark.parametrize("rule, mutate", BROKEN_ENDINGS, ids=[rule for rule, _ in BROKEN_ENDINGS])
def test_each_rule_of_the_failed_ending_bites(rule: str, mutate: Mutation) -> None:
    events = stream("failed")
    mutate(events)
    assert rule in "\n".join(check_responses_stream(events, ours=True))


def test_a_resumed_stream_is_checked_from_its_own_first_number() -> None:
    events = stream()
    for event in events:
        event["sequence_number"] += 5
    assert check_responses_stream(events, first=5) == []
    assert len(check_responses_stream(events)) == len(events)


def test_the_framing_of_responses_is_checked() -> None:
    frames = [Frame(event["type"], json.dumps(event)) for event in stream()]
    assert check_responses_frames(frames) == []
    assert "event line" in check_responses_frames([frames[0]._replace(event="message"), *frames[1:]])[0]
    assert "has no place" in check_responses_frames([*frames, Frame("", DONE)])[0]


def test_a_pad_that_misses_sixteen_is_told() -> None:
    events = stream()
    assert check_padding(events) == []
    first(events, "output_text.delta")["obfuscation"] = "x"
    assert check_padding(events) == ["10: 3 + 1"]


# --- chat -------------------------------------------------------------------------------------------


def chunk(*choices: Json, **more: Any) -> Json:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return base | {"choices": list(choices)} | more


def choice(delta: Json, finish: str | None = None, index: int = 0) -> Json:
    return {"index": index, "delta": delta, "finish_reason": finish}


def fragment(index: int, arguments: str, **more: Any) -> Json:
    return {"index": index, "function": {"arguments": arguments} | more.pop("function", {})} | more


def chat() -> list[Any]:
    """Two choices; the first calls two functions."""
    a = fragment(0, "", id="call_a", type="function", function={"name": "a"})
    b = fragment(1, "{}", id="call_b", type="function", function={"name": "b"})
    return [
        chunk(choice({"role": "assistant", "content": ""})),
        chunk(choice({"role": "assistant", "content": "Hi"}, index=1)),
        chunk(choice({"tool_calls": [a]})),
        chunk(choice({"tool_calls": [fragment(0, "{}")]})),
        chunk(choice({"tool_calls": [b]})),
        chunk(choice({}, "tool_calls"), choice({}, "stop", 1)),
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
        DONE,
    ]


def call(chunks: list[Any], position: int) -> Json:
    found: Json = chunks[position]["choices"][0]["delta"]["tool_calls"][0]
    return found


CHAT_BROKEN: list[tuple[str, Mutation]] = [
    ("[DONE] is not last", lambda chunks: chunks.pop()),
    ("[DONE] in the middle", lambda chunks: chunks.insert(3, DONE)),
    ("id, object, created or model changed", lambda chunks: chunks[3].update(id="chatcmpl-2")),
    ("id, object, created or model changed", lambda chunks: chunks[3].update(created=2)),
    ("id, object, created or model changed", lambda chunks: chunks[4].pop("model")),
    ("id, created or model is missing", lambda chunks: chunks[0].pop("created")),
    ("object is chat.completion", lambda chunks: chunks[0].update(object="chat.completion")),
    ("first chunk has no role", lambda chunks: chunks[0]["choices"][0]["delta"].pop("role")),
    ("a choice is unfinished", lambda chunks: chunks[5]["choices"].pop()),
    ("finish_reason came twice", lambda chunks: chunks.insert(6, chunks[5])),
    ("finish_reason is end_turn", lambda chunks: chunks[5]["choices"][0].update(finish_reason="end_turn")),
    ("content comes after finish_reason", lambda chunks: chunks.insert(6, chunk(choice({"content": "x"})))),
    (
        "choice indices have a gap",
        lambda chunks: [c.update(index=2) for n in (1, 5) for c in chunks[n]["choices"][-1:]],
    ),
    ("no choice came", lambda chunks: chunks.__delitem__(slice(0, 6))),
    ("a new call has no id", lambda chunks: call(chunks, 2).pop("id")),
    ("a new call has no type", lambda chunks: call(chunks, 2).pop("type")),
    ("a new call has no name", lambda chunks: call(chunks, 4)["function"].pop("name")),
    ("id or name came again", lambda chunks: call(chunks, 3).update(id="call_a")),
    ("call index 5 is out of order", lambda chunks: call(chunks, 3).update(index=5)),
    ("call index None is out of order", lambda chunks: call(chunks, 3).pop("index")),
    ("arguments are no text", lambda chunks: call(chunks, 3)["function"].update(arguments={})),
    ("comes after the usage chunk", lambda chunks: chunks.insert(0, chunks.pop(6))),
    ("usage comes with choices", lambda chunks: chunks[5].update(usage={})),
    ("no choices and no usage", lambda chunks: chunks[6].update(usage=None)),
    ("prompt_filter_results come late", lambda chunks: chunks.insert(3, chunk(prompt_filter_results=[]))),
    ("comes after an error", lambda chunks: chunks.insert(2, {"error": {"message": "m"}})),
    ("the error has no message", lambda chunks: chunks.insert(6, {"error": {}})),
]


def test_a_clean_chat_stream_passes_also_with_an_error_at_the_end() -> None:
    assert check_chat_stream(chat()) == []
    assert check_chat_stream([*chat()[:3], {"error": {"message": "m"}}, DONE]) == []
    assert check_chat_stream([{"error": {"message": "m"}}, DONE]) == []
    assert check_chat_stream([chunk(prompt_filter_results=[], id="", object="", model=""), *chat()]) == []


@pytest.mark.parametrize(
    "rule, mutate", CHAT_BROKEN, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(CHAT_BROKEN)]
)
def test_each_rule_of_chat_bites(rule: str, mutate: Mutation) -> None:
    chunks = chat()
    mutate(chunks)
    assert rule in "\n".join(check_chat_stream(chunks))
