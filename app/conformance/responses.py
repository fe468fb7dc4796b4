"""Checks of Responses: whole answers, the grammar of streams, tools, structured output, counts, refusals."""

from __future__ import annotations

from typing import Any, Final

from app.conformance.client import DONE, Reply, expect, expect_error, expect_ok, expect_shape
from app.conformance.responses_stream import check_responses_frames
from app.conformance.subject import (
    CITY_SCHEMA,
    FILL,
    HELLO,
    UNKNOWN_MODEL,
    WEATHER,
    WEATHER_TOOL,
    Subject,
    expect_city,
    expect_member,
    expect_unknown_model,
    expect_usage,
)

PATH: Final = "/responses"
_TOOL: Final = {"type": "function", **WEATHER_TOOL, "strict": True}
_SHAPE: Final = {
    "id": str,
    "object": "response",
    "created_at": (int, float),
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": str,
    "output": list,
    "tools": list,
    "parallel_tool_calls": bool,
    "metadata": dict,
}
_USAGE: Final = ("input_tokens", "output_tokens", "total_tokens")


def a_whole_response(subject: Subject) -> None:
    """The form of a response that is not streamed."""
    response = subject.client.post(PATH, subject.response(HELLO, metadata={"made": "by conformance"}))
    check_response(response)
    expect(response["metadata"] == {"made": "by conformance"}, "the metadata is not shown as it was sent")
    expect(text_of(response).strip(), "the response has no text")
    expect_usage(response.get("usage"), _USAGE)


def a_stream(subject: Subject) -> None:
    """The grammar of a stream: numbers, items and parts that open, grow and close, one end."""
    events = post_stream(subject, subject.response(HELLO))
    expect(events[-1]["type"] == "response.completed", f"the stream ends with {events[-1]['type']}")
    check_response(events[-1]["response"])


def input_as_messages(subject: Subject) -> None:
    """Messages of every role are accepted, with a list of parts or a string as content."""
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "say exactly: Good bye 👋"}],
        },
    ]
    check_response(subject.client.post(PATH, subject.response(items, instructions="You are kind.")))


def a_tool_call_and_its_result(subject: Subject) -> None:
    """A required call has an id, a name and arguments in JSON; its result is accepted."""
    body = subject.response([{"role": "user", "content": WEATHER}], tools=[_TOOL], tool_choice="required")
    response = subject.client.post(PATH, {**body, "store": False})
    call_id = _tool_call(response)["call_id"]
    result = {"type": "function_call_output", "call_id": call_id, "output": '{"degrees": 20}'}
    history = [*body["input"], *response["output"], result]
    check_response(subject.client.post(PATH, {**body, "tool_choice": "auto", "input": history}))


def a_tool_call_in_a_stream(subject: Subject) -> None:
    """The deltas of a call's arguments make the JSON of the finished call."""
    events = post_stream(subject, subject.response(WEATHER, tools=[_TOOL], tool_choice="required"))
    call = _tool_call(events[-1]["response"])
    delta = ("response.function_call_arguments.delta", call["id"])
    text = "".join(event["delta"] for event in events if (event["type"], event.get("item_id")) == delta)
    expect(text == call["arguments"], "the arguments differ from their pieces")


def structured_output(subject: Subject) -> None:
    """An answer fits its JSON schema."""
    form = {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": CITY_SCHEMA}}
    expect_city(text_of(subject.client.post(PATH, subject.response(FILL, text=form))))


def a_count_of_input_tokens(subject: Subject) -> None:
    """``POST /responses/input_tokens`` returns a positive integer."""
    count = subject.client.post(f"{PATH}/input_tokens", subject.response(HELLO))
    expect_shape(count, {"object": "response.input_tokens", "input_tokens": int}, "count")
    expect(count["input_tokens"] > 0, "input_tokens is 0")


def refusals(subject: Subject) -> None:
    """A wrong member is refused with 400, and the error names it."""
    for body, member in (
        ({"model": subject.model, "input": 5}, "input"),
        (subject.response("x", temperature=9), "temperature"),
        (subject.response("x", tools="none"), "tools"),
    ):
        for stream in (False, True):
            reply = subject.client.send("POST", PATH, {**body, "stream": stream})
            expect_member(expect_error(reply, 400, 422), member)


def an_unknown_model(subject: Subject) -> None:
    """400 or 404 with ``model_not_found``."""
    reply = subject.client.send("POST", PATH, {"model": UNKNOWN_MODEL, "input": "x"})
    expect_unknown_model(expect_error(reply, 400, 404))


def check_response(response: Any) -> None:
    """Raise ``Violation`` unless ``response`` is a completed response."""
    expect_shape(response, _SHAPE, "response")
    for number, item in enumerate(response["output"]):
        expect(isinstance(item, dict) and item.get("type"), f"output[{number}] has no type")
        if item["type"] == "message":
            expect_shape(
                item, {"id": str, "role": "assistant", "content": list, "status": str}, f"output[{number}]"
            )
        if item["type"] == "function_call":
            expect_shape(item, {"call_id": str, "name": str, "arguments": str}, f"output[{number}]")


def post_stream(subject: Subject, body: dict[str, Any]) -> list[Any]:
    """Return the events of the streamed answer to ``body``; raise ``Violation`` if they break the grammar."""
    return events_of(expect_ok(subject.client.send("POST", PATH, {**body, "stream": True})))


def events_of(reply: Reply, *, first: int = 0) -> list[Any]:
    """Return the events of a reply; raise ``Violation`` if they break the grammar.

    ``first`` is the sequence number of the first event; the grammar applies to whole streams only, from 0 on."""
    messages = reply.messages
    if messages and messages[-1][1] == DONE:
        messages.pop()
    if not first:
        violations = check_responses_frames(messages)
        expect(not violations, f"the stream breaks its grammar: {'; '.join(violations[:3])}")
    return [event for _, event in messages]


def text_of(response: Any) -> str:
    """Return the text of all messages of a response."""
    messages = (item for item in response["output"] if item["type"] == "message")
    return "".join(part.get("text") or "" for item in messages for part in item["content"])


def _tool_call(response: Any) -> Any:
    check_response(response)
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    expect(calls, "no tool was called although one is required")
    expect(calls[0]["name"] == "get_weather", f"the call's name is {calls[0]['name']!r}")
    expect_city(calls[0]["arguments"])
    return calls[0]


CHECKS: Final = (
    a_whole_response,
    a_stream,
    input_as_messages,
    a_tool_call_and_its_result,
    a_tool_call_in_a_stream,
    structured_output,
    a_count_of_input_tokens,
    refusals,
    an_unknown_model,
)
