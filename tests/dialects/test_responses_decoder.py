"""The Responses decoder on streams that servers bend: steps left out, ids changed, errors."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.events import Ended, Event, Failed
from app.canonical.request import OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from app.canonical.response import Response
from app.dialects.base import Frame
from app.dialects.responses.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic

MESSAGE = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
           "content": [{"type": "output_text", "text": "hello", "annotations": [{"type": "file_path", "file_id": "f"}], "logprobs": []}]}  # fmt: skip
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a":1}',
    "status": "completed",
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "so"}],
    "encrypted_content": "x",
}
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **members}


def end(*items: dict[str, Any], kind: str = "completed", **members: Any) -> dict[str, Any]:
    return event(
        kind,
        response={
            "id": "resp_1",
            "status": kind,
            "model": "m",
            "output": list(items),
            "usage": USAGE,
            **members,
        },
    )


CREATED = event("created", response={"id": "resp_1", "model": "m", "status": "in_progress", "created_at": 4})


def events_of(*data: Any) -> list[Event]:
    told = generic.decoded(DIALECT.stream_decoder(generic.client_context()), [Frame(None, d) for d in data])
    generic.assert_order(told)
    return told


def fold(*data: Any) -> Response:
    told = events_of(*data)
    assert isinstance(told[-1], Ended), told[-1]
    return generic.fold(told).response()


def added(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    empty = {
        k: v for k, v in item.items() if k not in ("content", "arguments", "summary", "encrypted_content")
    }
    return event("output_item.added", output_index=index, item=empty)


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item=item)


BENT = {
    "only the terminal object": [CREATED, end(MESSAGE, CALL, THOUGHT)],
    "no life cycle before the items": [added(MESSAGE), done(MESSAGE), done(CALL, 1), done(THOUGHT, 2), end(MESSAGE, CALL, THOUGHT)],
    "queued first": [event("queued", response=CREATED["response"]), CREATED, done(MESSAGE), done(CALL, 1), done(THOUGHT, 2), end()],
    "items without parts or deltas": [
        CREATED, added(MESSAGE), done(MESSAGE), added(CALL, 1), done(CALL, 1), added(THOUGHT, 2), done(THOUGHT, 2), end(MESSAGE, CALL, THOUGHT),
    ],
    "items that overlap, deltas only": [
        CREATED, added(MESSAGE), added(CALL, 1), added(THOUGHT, 2),
        event("function_call_arguments.delta", output_index=1, delta='{"a"'),
        event("output_text.delta", output_index=0, content_index=0, delta="hel"),
        event("reasoning_summary_text.delta", output_index=2, summary_index=0, delta="s"),
        event("function_call_arguments.delta", output_index=1, delta=":1}"),
        event("output_text.delta", output_index=0, content_index=0, delta="lo"),
        done(THOUGHT, 2), done(CALL, 1), done(MESSAGE), end(MESSAGE, CALL, THOUGHT),
    ],
    "ids that change": [CREATED, added({**MESSAGE, "id": "tmp"}), done(MESSAGE), done(CALL, 1), done(THOUGHT, 2), end({**MESSAGE, "id": "other"}, CALL, THOUGHT)],
    "text only in its done event": [
        CREATED, added(MESSAGE), event("content_part.added", output_index=0, content_index=0, part={"type": "output_text", "text": ""}),
        event("content_part.done", output_index=0, content_index=0, part={"type": "output_text", "text": "hello"}),
        done(MESSAGE), done(CALL, 1), done(THOUGHT, 2), end(),
    ],
    "a name that comes late": [
        CREATED, done(MESSAGE), event("output_item.added", output_index=1, item={"type": "function_call", "id": "fc_1"}),
        event("function_call_arguments.delta", output_index=1, delta='{"a"'), done(CALL, 1), done(THOUGHT, 2), end(),
    ],
    "items never finished": [
        CREATED, done(MESSAGE), added(CALL, 1), event("function_call_arguments.delta", output_index=1, delta='{"a":1}'),
        added(THOUGHT, 2), event("reasoning_summary_text.delta", output_index=2, delta="so"), end(MESSAGE, CALL, THOUGHT),
    ],
    "twice and after the end": [CREATED, CREATED, added(MESSAGE), added(MESSAGE), done(MESSAGE), done(MESSAGE), done(CALL, 1), done(THOUGHT, 2), end(), done(CALL, 5), end()],
}  # fmt: skip


@pytest.mark.parametrize("name", BENT)
def test_a_bent_stream_loses_nothing(name: str) -> None:
    response = fold(*BENT[name])
    parts = {type(part): part for part in generic.parts_of(response.choices[0])}
    text, call, thought = parts[TextPart], parts[ToolCallPart], parts[ReasoningPart]
    assert (text.text, [a["file_id"] for a in text.annotations]) == ("hello", ["f"])
    assert (call.id, call.name, call.arguments) == ("call_1", "f", '{"a":1}')
    assert (thought.text, thought.form, thought.signature.value, thought.signature.realm) == (
        "so",
        "summary",
        "x",
        "there",
    )
    assert response.choices[0].finish is not None
    assert (response.choices[0].finish.reason, response.usage.total) == ("tool_calls", 3)


def test_unknown_events_parts_and_items_do_no_harm() -> None:
    hosted = {"type": "future_call", "id": "x_1", "status": "completed", "action": 1}
    response = fold(
        CREATED, event("future.thing", output_index=0), None, [], "text", {"type": 5}, event("output_text.delta"),
        added(hosted, 1), event("future_call.searching", output_index=1), done(hosted, 1), event("output_item.done"),
        event("output_item.added", output_index="x", item=7), end(),
    )  # fmt: skip
    assert [p.type for p in generic.parts_of(response.choices[0]) if isinstance(p, OpaquePart)] == [
        "future_call"
    ]


def test_logprobs_that_are_null_crash_no_delta() -> None:
    delta = event("function_call_arguments.delta", output_index=0, delta='{"a":1}', logprobs=None)
    refusal = event("refusal.delta", output_index=1, content_index=0, delta="No.", logprobs=None)
    call, refused = generic.parts_of(fold(CREATED, added(CALL), delta, refusal, end()).choices[0])
    assert isinstance(call, ToolCallPart)
    assert (call.arguments, refused) == ('{"a":1}', RefusalPart("No."))


def test_open_reasoning_has_two_names() -> None:
    for name in ("reasoning", "reasoning_text"):
        item = {"type": "reasoning", "id": "rs_1", "summary": []}
        response = fold(
            CREATED,
            added(item),
            event(f"{name}.delta", output_index=0, content_index=0, delta="hm"),
            done(item),
            end(),
        )
        assert generic.parts_of(response.choices[0]) == [ReasoningPart("hm", "text")]


def test_content_and_summary_of_one_item_keep_its_signature() -> None:
    item = {"type": "reasoning", "id": "rs_1", "content": [{"type": "reasoning_text", "text": "a"}],
            "summary": [{"type": "summary_text", "text": "b"}], "encrypted_content": "x"}  # fmt: skip
    response = fold(
        CREATED, added(item), event("reasoning_summary_part.added", output_index=0, summary_index=0, part={"type": "summary_text", "text": ""}),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="b"),
        event("reasoning_summary_part.done", output_index=0, summary_index=0, part={"type": "summary_text", "text": "b"}),
        event("content_part.added", output_index=0, content_index=0, part={"type": "reasoning_text", "text": ""}),
        event("reasoning_text.delta", output_index=0, content_index=0, delta="a"), done(item), end(),
    )  # fmt: skip
    parts = generic.parts_of(response.choices[0])
    assert [
        (p.form, p.text, p.signature and p.signature.value) for p in parts if isinstance(p, ReasoningPart)
    ] == [
        ("summary", "b", None),
        ("text", "a", "x"),
    ]


def test_a_refusal_and_a_text_share_their_message() -> None:
    item = {
        **MESSAGE,
        "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
    }
    response = fold(
        CREATED,
        added(item),
        event("refusal.delta", output_index=0, content_index=1, delta="n"),
        done(item),
        end(),
    )
    (message,) = response.choices[0].messages
    assert {type(part): part.text for part in message.parts} == {TextPart: "a", RefusalPart: "no"}


@pytest.mark.parametrize(
    "reason, unified, raw",
    [("max_output_tokens", "length", "max_output_tokens"), ("content_filter", "content_filter", "content_filter"), (None, "length", "incomplete")],
)  # fmt: skip
def test_an_incomplete_end(reason: str | None, unified: str, raw: str) -> None:
    details = {"reason": reason} if reason else None
    finish = (
        fold(CREATED, done(MESSAGE), end(MESSAGE, kind="incomplete", incomplete_details=details))
        .choices[0]
        .finish
    )
    assert finish is not None
    assert (finish.reason, finish.raw) == (unified, raw)


ERRORS = [
    ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow.", "param": None}, "upstream_rate_limited", "Slow."),
    ({"type": "error", "error": {"type": "server_error", "code": None, "message": "Oops."}}, "upstream_error", "Oops."),
    ({"type": "error", "error": {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "Long."}}, "context_length", "Long."),
    (event("failed", response={"status": "failed", "error": {"code": "server_error", "message": "Oops."}}), "upstream_error", "Oops."),
    (event("failed", response={"status": "cancelled", "error": None}), "upstream_error", "The provider cancelled the response."),
    (event("failed", response=None), "upstream_error", "The provider answered with status 502."),
    ({"type": "error", "error": "just words"}, "upstream_error", "just words"),
]  # fmt: skip


@pytest.mark.parametrize("data, kind, message", ERRORS)
def test_an_error_event_ends_the_stream(data: dict[str, Any], kind: str, message: str) -> None:
    last = events_of(CREATED, added(MESSAGE), data, done(MESSAGE), end())[-1]
    assert isinstance(last, Failed)
    assert (last.error.kind.name, last.error.message) == (kind, message)


def test_an_end_without_a_terminal_event_is_a_cut() -> None:
    for data in ([], [CREATED], [CREATED, added(MESSAGE), done(MESSAGE)]):
        last = events_of(*data)[-1]
        assert isinstance(last, Failed)
        assert last.error.kind.name == "upstream_cut"


GARBAGE = [
    None, [], "x", 5, {}, {"output": None}, {"output": {}}, {"error": "x"}, {"error": {"message": "no"}},
    {"status": "failed", "error": None}, {"object": "response", "status": "failed", "error": {"code": 5, "message": []}},
]  # fmt: skip


@pytest.mark.parametrize("body", GARBAGE)
def test_a_body_that_is_no_response_is_an_upstream_fault(body: Any) -> None:
    with pytest.raises(GatewayError) as raised:
        DIALECT.decode_response(body, generic.client_context())
    assert raised.value.status >= 500


def test_wrong_types_inside_a_response_read_as_nothing() -> None:
    body = {
        "id": 5, "model": [], "status": "completed", "usage": {"input_tokens": -1, "output_tokens": "3"}, "created_at": 1e400,
        "output": [None, 5, {"type": "message", "content": [None, {"type": "output_text", "text": 5, "annotations": 3}]},
                   {"type": "reasoning", "summary": "x"}, {"type": "function_call", "name": "f", "arguments": 3}, {"type": None}],
    }  # fmt: skip
    response = DIALECT.decode_response(body, generic.client_context())
    assert (response.id, response.model, response.usage, response.created) == (None, None, None, None)
    assert [type(part).__name__ for part in generic.parts_of(response.choices[0])] == [
        "TextPart",
        "ReasoningPart",
        "ToolCallPart",
    ]


@pytest.mark.parametrize(
    "status, body, kind, message",
    [
        (429, {"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}, "upstream_rate_limited", "Slow."),
        (404, {"error": {"code": "DeploymentNotFound", "message": "None such."}}, "upstream_rejected", "None such."),
        (401, {"error": {"code": "401", "message": "Denied."}}, "upstream_auth", "Denied."),
        (400, [{"error": {"message": "listed"}}], "upstream_rejected", "listed"),
        (400, {"error": "words"}, "upstream_rejected", "words"),
        (400, {"detail": "words"}, "upstream_rejected", "words"),
        (503, "<html>busy</html>", "upstream_overloaded", "The provider answered with an HTML page."),
        (500, None, "upstream_error", "The provider answered with status 500."),
        (400, {"error": {"code": "content_filter", "message": "Filtered.", "innererror": {}}}, "content_filter", "Filtered."),
    ],
)  # fmt: skip
def test_an_http_error_in_any_shape(status: int, body: Any, kind: str, message: str) -> None:
    error = DIALECT.decode_error(status, body, {})
    assert (error.kind.name, error.message) == (kind, message)
