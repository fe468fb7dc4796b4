"""The Responses encoder on streams of our own making, the response shell and the pads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
    replay,
)
from app.canonical.request import (
    AudioPart,
    ImagePart,
    Item,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects.responses.dialect import DIALECT
from app.dialects.responses.echo import response_shell
from app.dialects.responses.obfuscation import OBFUSCATED, pad
from app.dialects.responses.stream_out import ResponsesEncoder
from app.errors import GatewayError
from tests.dialects.generic import server_context
from tests.dialects.openresponses import faults_of_response
from tests.traffic.grammar import check_responses_stream

REQUEST = Request(model="m")
USAGE = Usage(10, 5, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=2)


def run(events: list[Event], request: Request = REQUEST) -> list[dict[str, Any]]:
    """The frames' data, held to the grammar."""
    encoder = ResponsesEncoder(request, server_context(response_id="resp_1"))
    frames = [frame.data for event in events for frame in encoder.feed(event)]
    assert check_responses_stream(frames, ours=True) == []
    assert encoder.final == frames[-1]["response"]
    return frames


def answer(*parts: Part, reason: Any = "stop", item: Item | None = None) -> Response:
    choice = Choice(0, (Message("assistant", parts, item=item),), Finish(reason))
    return Response("up_1", "m-1", (choice,), USAGE)


def output(*parts: Part, reason: Any = "stop", request: Request = REQUEST) -> list[dict[str, Any]]:
    """The output of stream and object, which must be one."""
    response = answer(*parts, reason=reason)
    told = run(list(replay(response)), request)
    whole = DIALECT.encode_response(response, request, server_context(response_id="resp_1"))
    assert whole == told[-1]["response"]
    assert faults_of_response(whole) == []
    items: list[dict[str, Any]] = whole["output"]
    return items


def text(value: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": value}


def test_one_mixed_message_is_split_into_items() -> None:
    signed = ReasoningPart("why", signature=Signature("sig", "messages", "r"))
    parts = (
        signed,
        TextPart("hi"),
        RefusalPart("no"),
        ToolCallPart("call_1", "f", '{"a":1}'),
        ToolCallPart("call_2", "g", ""),
    )
    assert output(*parts, reason="tool_calls") == [
        {"id": "rs_1", "type": "reasoning", "content": [{"type": "reasoning_text", "text": "why"}], "encrypted_content": "sig", "summary": []},
        {"id": "msg_2", "type": "message", "status": "completed", "role": "assistant", "content": [text("hi"), {"type": "refusal", "refusal": "no"}]},
        {"id": "fc_3", "type": "function_call", "status": "completed", "arguments": '{"a":1}', "call_id": "call_1", "name": "f"},
        {"id": "fc_4", "type": "function_call", "status": "completed", "arguments": "{}", "call_id": "call_2", "name": "g"},
    ]  # fmt: skip


def test_each_signature_ends_a_reasoning_item() -> None:
    first = ReasoningPart("a", "summary", Signature("s1", "chat"))
    second = ReasoningPart("b", "summary")
    hidden = ReasoningPart("", "hidden", Signature("s2", "chat"))
    assert [
        (i["encrypted_content"], [s["text"] for s in i["summary"]]) for i in output(first, second, hidden)
    ] == [
        ("s1", ["a"]),
        ("s2", ["b"]),
    ]


def test_foreign_blocks_are_left_out_of_the_wire_and_join_what_they_parted() -> None:
    foreign = OpaquePart("executableCode", ("gemini", {}))
    assert [i["content"] for i in output(TextPart("a"), foreign, TextPart("b"))] == [[text("a"), text("b")]]
    assert output(foreign) == []


def test_custom_input_image_and_sound_have_their_forms() -> None:
    custom = ToolCallPart("call_1", "sql", "SELECT 1", "custom")
    image = ImagePart(data="AAAA", media_type="image/png")
    sound = AudioPart(data="BBBB", format="wav", transcript="hello")
    assert output(custom, image, sound) == [
        {"id": "ctc_1", "type": "custom_tool_call", "status": "completed", "call_id": "call_1", "input": "SELECT 1", "name": "sql"},
        {"id": "ig_2", "type": "image_generation_call", "status": "completed", "result": "AAAA", "output_format": "png"},
        {"id": "msg_3", "type": "message", "status": "completed", "role": "assistant",
         "content": [{**text("hello"), "audio": {"data": "BBBB", "format": "wav"}}]},
    ]  # fmt: skip


def test_a_tool_out_of_a_namespace_is_called_by_it() -> None:
    tools = [{"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}]},
             {"type": "namespace", "name": "erp", "tools": [{"type": "function", "name": "find"}]}]  # fmt: skip
    request = DIALECT.decode_request({"model": "m", "input": "x", "tools": tools}, server_context())
    assert [tool.name for tool in request.tools] == ["find", "erp_find"]
    items = output(
        ToolCallPart("c1", "find"), ToolCallPart("c2", "erp_find"), request=request, reason="tool_calls"
    )
    assert [(i["namespace"], i["name"]) for i in items] == [("crm", "find"), ("erp", "find")]


@pytest.mark.parametrize(
    "reason, status, details",
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("error", "failed", None),
    ],
)
def test_the_finish_decides_status_terminal_and_last_item(reason: str, status: str, details: Any) -> None:
    told = run(list(replay(answer(TextPart("a"), ToolCallPart("c", "f", '{"a"'), reason=reason))))
    response = told[-1]["response"]
    assert (told[-1]["type"], response["status"], response["incomplete_details"]) == (
        f"response.{status}",
        status,
        details,
    )
    assert [item["status"] for item in response["output"]] == [
        "completed",
        "completed" if status == "completed" else "incomplete",
    ]
    assert (response["completed_at"] is not None, response["error"] is not None) == (
        status == "completed",
        status == "failed",
    )


def test_the_usage_has_every_count() -> None:
    assert run(list(replay(answer(TextPart("a")))))[-1]["response"]["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


STARTED = [Started(model="m-1"), BlockStarted(0, 0, TextPart("")), BlockDelta(0, "some ")]


def test_a_failure_keeps_what_was_said_and_is_told_twice() -> None:
    error = GatewayError("upstream_idle", "Silence.", param="model")
    told = run([*STARTED, Failed(error, USAGE)])
    assert [event["type"] for event in told[-5:]] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "error", "response.failed",
    ]  # fmt: skip
    members = {"code": "upstream_idle", "message": "Silence.", "param": "model"}
    assert told[-2] == {
        "type": "error",
        "sequence_number": 8,
        **members,
        "error": {"type": "server_error", **members},
    }
    response = told[-1]["response"]
    assert response["error"] == {"code": "upstream_idle", "message": "Silence."}
    assert (response["output"][0]["status"], response["output"][0]["content"]) == (
        "incomplete",
        [text("some ")],
    )


def test_a_failure_before_anything_still_opens_the_stream() -> None:
    told = run([Failed(GatewayError("upstream_rejected", "No."))])
    assert [event["type"] for event in told] == [
        "response.created",
        "response.in_progress",
        "error",
        "response.failed",
    ]
    assert told[-1]["response"]["error"]["code"] == "server_error"


def test_a_cancelled_stream_ends_with_response_failed_alone() -> None:
    told = run([*STARTED, Failed(GatewayError("cancelled", "Gone."))])
    assert "error" not in [event["type"] for event in told]
    assert (told[-1]["response"]["status"], told[-1]["response"]["error"]) == ("cancelled", None)


def test_only_the_first_choice_is_written_and_nothing_after_the_end() -> None:
    other: list[Event] = [
        BlockStarted(9, 0, TextPart(""), choice=1),
        BlockDelta(9, "x"),
        BlockEnded(9),
        Finished(Finish("stop"), 1),
    ]
    encoder = ResponsesEncoder(REQUEST, server_context())
    frames = [
        f.data
        for e in [*STARTED, *other, BlockEnded(0), Finished(Finish("stop")), Ended(USAGE)]
        for f in encoder.feed(e)
    ]
    assert check_responses_stream(frames, ours=True) == []
    assert frames[-1]["response"]["output"][0]["content"] == [text("some ")]
    assert encoder.feed(Failed(GatewayError("internal", "late"))) == []


def test_overlapping_calls_close_in_their_own_time() -> None:
    calls: list[Event] = [
        Started(), BlockStarted(0, 0, ToolCallPart("a", "f")), BlockStarted(1, 1, ToolCallPart("b", "g")),
        BlockDelta(1, "{}"), BlockDelta(0, '{"x":'), BlockEnded(1), BlockDelta(0, "1}"), BlockEnded(0),
        Finished(Finish("tool_calls")), Ended(USAGE),
    ]  # fmt: skip
    items = run(calls)[-1]["response"]["output"]
    assert [(i["call_id"], i["arguments"]) for i in items] == [("a", '{"x":1}'), ("b", "{}")]


def test_refusal_and_text_of_one_item_share_a_message() -> None:
    events: list[Event] = [
        Started(), BlockStarted(0, 0, TextPart("")), BlockDelta(0, "a"), BlockEnded(0),
        BlockStarted(1, 0, RefusalPart("")), BlockDelta(1, "no"), BlockEnded(1), Finished(Finish("stop")), Ended(USAGE),
    ]  # fmt: skip
    items = run(events)[-1]["response"]["output"]
    assert [len(item["content"]) for item in items] == [2]


def test_the_ids_and_phase_that_came_are_kept() -> None:
    told = run(list(replay(answer(TextPart("a"), item=Item("msg_up", "completed", "final_answer")))))
    added = next(event["item"] for event in told if event["type"] == "response.output_item.added")
    done = told[-1]["response"]["output"][0]
    assert (added["id"], added["phase"], done["id"], done["phase"]) == (
        "msg_up",
        "final_answer",
        "msg_up",
        "final_answer",
    )


KEYS = [
    "id", "object", "created_at", "status", "background", "completed_at", "error", "frequency_penalty",
    "incomplete_details", "instructions", "max_output_tokens", "max_tool_calls", "model", "moderation", "output",
    "parallel_tool_calls", "presence_penalty", "previous_response_id", "prompt_cache_key", "prompt_cache_retention",
    "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice", "tools",
    "top_logprobs", "top_p", "truncation", "usage", "user", "metadata",
]  # fmt: skip


@pytest.mark.parametrize(
    "status", ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
)
def test_a_shell_has_every_key_in_wire_order(status: str) -> None:
    shell = response_shell(
        {"model": "x/m", "temperature": None, "tools": None, "metadata": None, "reasoning": None, "text": None},
        id="resp_1", created_at=1, model="m", status=status, completed_at=2, error={"code": "c", "message": "m"},
    )  # fmt: skip
    assert list(shell) == KEYS
    assert faults_of_response(shell) == []
    assert (shell["completed_at"], shell["error"]) == (
        2 if status == "completed" else None,
        {"code": "c", "message": "m"} if status == "failed" else None,
    )
    assert shell["service_tier"] == ("auto" if status in ("queued", "in_progress") else "default")


@pytest.mark.parametrize(
    "sent, echoed",
    [
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}},
         {"format": {"type": "json_schema", "description": None, "name": "n", "schema": {"type": "object"}, "strict": False}, "verbosity": "medium"}),
        ({"text": {"verbosity": "low"}}, {"format": {"type": "text"}, "verbosity": "low"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "function", "name": "f"}),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}}},
         {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}),
        ({"tool_choice": {"type": "auto", "function": {"name": "f"}}}, "auto"),
        ({"tool_choice": "tool"}, "required"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, [{"type": "custom", "description": None, "format": {"type": "text"}, "name": "c"}]),
        ({"tools": [{"type": "mcp", "server_label": "s", "server_url": "https://h.example/mcp"}]},
         [{"type": "mcp", "allowed_tools": None, "headers": None, "require_approval": "always", "server_label": "s", "server_url": "https://h.example/<redacted>"}]),
        ({"conversation": {"id": "conv_1"}}, {"id": "conv_1"}),
        ({"service_tier": "flex"}, "flex"),
        ({"reasoning": {"effort": "high", "context": "all_turns"}}, {"effort": "high", "summary": None, "context": "all_turns"}),
    ],
)  # fmt: skip
def test_the_echo_is_the_clients_own_request(sent: dict[str, Any], echoed: Any) -> None:
    shell = response_shell({"model": "m", **sent}, id="resp_1", created_at=1, model="m", status="completed")
    assert shell[next(iter(sent))] == echoed


@pytest.mark.parametrize("length, missing", [(0, 0), (1, 15), (15, 1), (16, 0), (17, 15), (33, 15)])
def test_a_pad_brings_a_delta_to_a_multiple_of_sixteen(length: int, missing: int) -> None:
    event = {"type": "response.output_text.delta", "delta": "y" * length}
    assert pad(event, lambda n: "x" * n)["obfuscation"] == "x" * missing


def test_only_the_listed_deltas_are_padded() -> None:
    told = run(list(replay(answer(TextPart("hello"), ToolCallPart("c", "f", "{}")))))
    padded = {event["type"] for event in told if "obfuscation" in pad(event, lambda n: "x" * n)}
    assert padded == {"response.output_text.delta", "response.function_call_arguments.delta"}
    assert padded <= OBFUSCATED


@pytest.mark.parametrize(
    ("kind", "member", "shown"), [("function", "arguments", "{}"), ("custom", "input", "")]
)
def test_a_call_without_input_is_written_alike_in_its_events_and_its_item(
    kind: Any, member: str, shown: str
) -> None:
    frames = run(list(replay(answer(ToolCallPart("call_1", "look", "", kind)))))
    deltas = "".join(frame["delta"] for frame in frames if "delta" in frame)
    finals = [frame[member] for frame in frames if member in frame]
    assert (deltas, finals, frames[-1]["response"]["output"][0][member]) == (shown, [shown], shown)


LEADING = {"id": "cmp_1", "type": "compaction", "encrypted_content": "sealed"}


@pytest.mark.parametrize("fails", [False, True])
def test_a_leading_item_comes_with_the_output_and_not_before(fails: bool) -> None:
    encoder = ResponsesEncoder(REQUEST, replace(server_context(response_id="resp_1"), leading=(LEADING,)))
    opening = [frame.data for frame in encoder.feed(Started())]
    assert [frame["type"] for frame in opening] == ["response.created", "response.in_progress"]
    events = [Failed(GatewayError("upstream_error", "x"))] if fails else [*replay(answer(TextPart("hi")))]
    frames = [*opening, *(frame.data for event in events for frame in encoder.feed(event))]
    assert check_responses_stream(frames, ours=True) == []
    done = [frame["item"] for frame in frames if frame["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["compaction", *["message"][fails:]]
    assert (done[0], frames[-1]["response"]["output"]) == (LEADING, done)
