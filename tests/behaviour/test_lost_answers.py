"""Content of an answer that a client's API has no place for: named in the warnings, whole and streamed, never an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.wire.eventstream import encode_event
from tests.behaviour.surfaces import EVERY, Surface, events
from tests.behaviour.world import (
    CHAT_DONE,
    EVERY_WIRE,
    ROLE,
    Answer,
    ResponsesStream,
    World,
    chat_body,
    chat_chunk,
    data_frame,
    event_frame,
    responses_body,
)
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply

PIXEL = "iVBORw0KGgo="
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
FOUND = "what the search found"
TOOLS = [{"type": "search", "output": FOUND}]
EXTRA: dict[str, Any] = {"images": [PICTURE], "executed_tools": TOOLS}
COMPLETIONS = Surface(
    "completions",
    "/v1/completions",
    {"prompt": "hi"},
    word=lambda body: body["error"]["type"],
    text=lambda body: body["choices"][0]["text"],
    delta=lambda event: "".join(choice["text"] for choice in event.get("choices", ())),
    broken=lambda event: None,
)
SURFACES = {surface.name: surface for surface in (*EVERY, COMPLETIONS)}
TAKES_PICTURES = {"chat", "responses", "gemini", "gemini array", "bedrock"}
NAMED = {"a picture": TAKES_PICTURES, "the member 'executed_tools'": {"chat"}}


def sentence(thing: str) -> str:
    return f"The provider sent {thing}, for which this API has no place; this was left out."


SETTING = EVERY_WIRE


def warnings(world: World, answer: Answer, stream: bool) -> list[str] | int:
    """Return the sentences of an answer's warnings; where a stream has no place for them, their number in the log."""
    if stream and "extra_fields" not in events(answer)[-1]:
        return eventually(lambda: log_line(world, answer)).get("warnings", 0)
    found = json.loads(answer.headers.get("x-sluice-warnings", "[]"))
    fields = events(answer)[-1].get("extra_fields") if stream else answer.json.get("extra_fields")
    found = found or (fields or {}).get("warnings", [])
    assert all(row["param"] is None for row in found)
    return [row["message"] for row in found]


def log_line(world: World, answer: Answer) -> dict[str, Any] | None:
    lines = [json.loads(line) for line in world.gateway.log.splitlines() if '"event":"call"' in line]
    known = answer.headers["x-request-id"]
    return next((line for line in lines if line["request_id"] == known), None)


def chat_reply(extra: Mapping[str, Any], stream: bool, content: Any = "good") -> Reply:
    if stream:
        chunks = [
            ROLE,
            chat_chunk({"content": content}),
            chat_chunk(extra),
            chat_chunk({}, "stop"),
            CHAT_DONE,
        ]
        return Reply.sse(b"".join(chunks))
    message = {"role": "assistant", "content": content, **extra}
    return Reply.json(chat_body(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", SURFACES)
def test_what_an_api_cannot_hold_is_named(name: str, stream: bool, world: World) -> None:
    surface = SURFACES[name]
    world.upstream.add(chat_reply(EXTRA, stream))

    answer = surface.ask(world, "groq/x", stream=stream, headers={"x-sluice-strict": "true"})

    assert answer.status == 200, answer.body
    assert surface.text_of(answer) == "good"
    lost = [sentence(thing) for thing, holders in NAMED.items() if name not in holders]
    told = warnings(world, answer, stream)
    assert told == len(lost) if isinstance(told, int) else sorted(told) == sorted(lost)
    assert (PIXEL.encode() in answer.body) == (name in TAKES_PICTURES)
    assert (FOUND.encode() in answer.body) == (name == "chat")


def test_an_answer_that_passes_loses_nothing(world: World) -> None:
    world.upstream.add(chat_reply(EXTRA, False))
    world.upstream.add(chat_reply(EXTRA, True))

    for stream in (False, True):
        answer = world.ask("chat", model="openai/x", stream=stream)
        assert b"executed_tools" in answer.body
        assert warnings(world, answer, stream) == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_pieces_of_a_list_are_read(stream: bool, world: World) -> None:
    pieces = ["go", {"type": "text", "text": "od"}, PICTURE, {"type": "reference", "ids": [1]}, {"new": 2}]
    world.upstream.add(chat_reply({}, stream, pieces))

    answer = world.ask("chat", stream=stream)

    assert answer.text == "good"
    assert PIXEL.encode() in answer.body
    assert warnings(world, answer, stream) == [
        sentence("an item of type 'reference'"),
        sentence("an item of type 'unknown'"),
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_name_of_geminis_picture(stream: bool, world: World) -> None:
    blob = {"mimeType": "image/png", "data": PIXEL, "displayName": "a barn"}
    candidate = {"content": {"parts": [{"inlineData": blob}]}, "finishReason": "STOP", "newMember": [1]}
    body = {"candidates": [{"index": 0, **candidate}]}
    world.upstream.add(Reply.sse(data_frame(body)) if stream else Reply.json(body))

    answer = world.ask("chat", model="gemini/gemini-3-pro-preview", stream=stream)

    assert PIXEL.encode() in answer.body
    assert warnings(world, answer, stream) == [
        sentence("the member 'displayName'"),
        sentence("the member 'newMember'"),
    ]


def anthropic_frames() -> bytes:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "usage": usage}
    return b"".join(
        map(
            event_frame,
            (
                {"type": "message_start", "message": message},
                {"type": "ping"},
                {"type": "news", "text": "x"},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "good"}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "odd_delta", "odd": "x"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
                {"type": "message_stop"},
            ),
        )
    )


def cohere_frames() -> bytes:
    empty, text = ({"message": {"content": {"type": "text", "text": text}}} for text in ("", "good"))
    return b"".join(
        map(
            event_frame,
            (
                {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant"}}},
                {"type": "news", "delta": {}},
                {"type": "content-start", "index": 0, "delta": empty},
                {"type": "content-delta", "index": 0, "delta": text},
                {"type": "content-end", "index": 0},
                {"type": "debug"},
                {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
            ),
        )
    )


def bedrock_frames() -> bytes:
    messages: tuple[tuple[str, Any], ...] = (
        ("messageStart", {"role": "assistant"}),
        ("news", {"text": "x"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "good"}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"odd": {"x": 1}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}),
    )
    return b"".join(encode_event(name, json.dumps(data).encode()) for name, data in messages)


@pytest.mark.parametrize(
    ("model", "home", "reply", "odd"),
    [
        ("anthropic/claude-x", "anthropic", Reply.sse(anthropic_frames()), "odd_delta"),
        ("cohere/command-x", "cohere", Reply.sse(cohere_frames()), None),
        (
            "bedrock/us.amazon.nova-pro-v1:0",
            "bedrock",
            Reply(body=bedrock_frames(), headers={"content-type": "application/vnd.amazon.eventstream"}),
            "odd",
        ),
    ],
    ids=["messages", "cohere", "converse"],
)
def test_events_that_nobody_knows(model: str, home: str, reply: Reply, odd: str | None, world: World) -> None:
    world.upstream.add(reply, times=2)

    answer, passed = (
        world.ask("chat", model=model, stream=True),
        SURFACES[home].ask(world, model, stream=True),
    )

    assert answer.text == "good"
    pieces = [sentence(f"a piece of a block, '{odd}'")] if odd else []
    assert warnings(world, answer, True) == [sentence("an event of type 'news'"), *pieces]
    assert SURFACES[home].text_of(passed) == "good"
    assert warnings(world, passed, True) == 0


@pytest.mark.parametrize("end", [b"", data_frame({"error": {"message": "it broke"}})], ids=["cut", "error"])
def test_a_stream_that_fails_reports_what_it_lost_before(end: bytes, world: World) -> None:
    pieces = (ROLE, chat_chunk({"content": "good"}), chat_chunk({"images": [PICTURE]}), end)
    world.upstream.add(Reply.sse(b"".join(pieces)))

    answer = COMPLETIONS.ask(world, "groq/x", stream=True)

    assert events(answer)[-1]["error"]
    assert warnings(world, answer, True) == [sentence("a picture")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_result_among_the_items_of_an_answer(stream: bool, world: World) -> None:
    item = {
        "id": "fco_1",
        "type": "function_call_output",
        "call_id": "c",
        "output": FOUND,
        "status": "completed",
    }
    body = responses_body(output=[item])
    made, place = ResponsesStream(), {"output_index": 0, "item": item}
    frames = made.opening() + made.frame("response.output_item.added", **place)
    frames += made.frame("response.output_item.done", **place)
    frames += made.frame("response.completed", response=body)
    world.upstream.add(Reply.sse(frames) if stream else Reply.json(body), times=2)

    kept = world.ask("responses", model="responder/x", stream=stream)
    lost = world.ask("chat", model="responder/x", stream=stream)

    assert FOUND.encode() in kept.body
    assert warnings(world, kept, stream) == []
    assert warnings(world, lost, stream) == [sentence("an item of type 'function_call_output'")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_stored_response_keeps_the_warnings(stream: bool, world: World) -> None:
    world.upstream.add(chat_reply(EXTRA, stream))

    answer = world.ask("responses", stream=stream)
    response = answer.events[-1]["response"] if stream else answer.json
    stored = world.send("GET", f"/v1/responses/{response['id']}")

    fields = stored.json["extra_fields"]
    assert [row["message"] for row in fields["warnings"]] == warnings(world, answer, stream)
    assert fields["warnings"]


def test_a_job_keeps_the_warnings(world: World) -> None:
    world.upstream.script = lambda request: chat_reply(EXTRA, request.json().get("stream", False))

    job = world.ask("responses", background=True).json

    def ended() -> Any:
        found = world.send("GET", f"/v1/responses/{job['id']}").json
        return found if found["status"] == "completed" else None

    assert eventually(ended)["extra_fields"]["warnings"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ["chat", "gemini", "bedrock", "anthropic", "responses"])
def test_a_picture_that_a_tool_drew(name: str, stream: bool, world: World) -> None:
    item = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": PIXEL}
    body = responses_body(output=[item])
    made, empty = ResponsesStream(), {**item, "status": "in_progress", "result": None}
    frames = made.opening() + made.frame("response.output_item.added", output_index=0, item=empty)
    frames += made.frame("response.output_item.done", output_index=0, item=item)
    frames += made.frame("response.completed", response=body)
    world.upstream.add(Reply.sse(frames) if stream else Reply.json(body))

    answer = SURFACES[name].ask(world, "responder/x", stream=stream)

    assert answer.status == 200, answer.body
    assert (PIXEL.encode() in answer.body) == (name in TAKES_PICTURES)
    lost = [] if name in TAKES_PICTURES else [sentence("a picture")]
    told = warnings(world, answer, stream)
    assert told == (len(lost) if isinstance(told, int) else lost)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("word", ["odd_end", "stop"])
def test_an_end_by_an_unknown_word(word: str, stream: bool, world: World) -> None:
    message = {"role": "assistant", "content": "good"}
    body = chat_body(choices=[{"index": 0, "message": message, "finish_reason": word}])
    world.upstream.add(
        Reply.sse(chat_chunk(message) + chat_chunk({}, word) + CHAT_DONE) if stream else Reply.json(body)
    )

    answer = world.ask("chat", stream=stream)

    assert b'"finish_reason":"stop"' in answer.body
    lost = [sentence("the finish reason 'odd_end'")] if word == "odd_end" else []
    assert warnings(world, answer, stream) == lost


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
)
def test_an_answer_without_a_status_that_says_why_it_is_incomplete(
    reason: str, finish: str, world: World
) -> None:
    body = responses_body(incomplete_details={"reason": reason})
    del body["status"]
    world.upstream.add(Reply.json(body), times=2)

    passed = world.ask("responses", model="responder/x").json
    chosen = world.ask("chat", model="responder/x").json["choices"][0]

    assert (passed["status"], chosen["finish_reason"]) == ("incomplete", finish)


@pytest.mark.parametrize("form", ["whole", "stream", "whole for a stream"])
def test_members_of_a_completion_that_no_api_defines(form: str, world: World) -> None:
    """OpenRouter's and SGLang's, in two choices; ``reasoning`` and lists of a stream come in pieces."""
    own = {"reasoning": "two words", "native_finish_reason": "eos", "matched_stop": 7, "token_ids": [1, 1, 2]}
    done = {"text": "", "finish_reason": "stop", "native_finish_reason": "eos", "matched_stop": 7}
    second = {"index": 1, "text": "other", "finish_reason": "length", "matched_stop": "\n"}
    rows: list[dict[str, Any]] = [
        {"text": "go", "reasoning": "two ", "native_finish_reason": None, "token_ids": [1]},
        {"text": "od", "reasoning": None, "native_finish_reason": None, "token_ids": [1]},
        {"text": "", "reasoning": "words", "token_ids": [2]},
        done,
        second,
    ]
    head = {"id": "c", "object": "text_completion", "created": 1, "model": "up", "provider": "p"}
    first = {"index": 0, "text": "good", "finish_reason": "stop", **own}
    pieces = [data_frame({**head, "choices": [{"index": 0, "finish_reason": None, **row}]}) for row in rows]
    is_stream = form != "whole"
    body = {**head, "choices": [first, second]}
    world.upstream.add(Reply.sse(b"".join(pieces) + CHAT_DONE) if form == "stream" else Reply.json(body))

    answer = COMPLETIONS.ask(world, "openai/gpt-3.5-turbo-instruct", stream=is_stream)

    assert answer.status == 200, answer.body
    found = events(answer) if is_stream else [answer.json]
    choices = [choice for chunk in found for choice in chunk["choices"] if choice["finish_reason"]]
    assert [{name: choice.get(name) for name in own} for choice in choices] == [
        own,
        {**dict.fromkeys(own), "matched_stop": "\n"},
    ]
    texts = [c["text"] for chunk in found for c in chunk["choices"] if c["index"] == 0]
    assert ("".join(texts), found[-1]["provider"]) == ("good", "p")
