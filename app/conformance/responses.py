"""Checks of Responses: whole answers, the grammar of streams, tools, structured output, counts, refusals."""

from __future__ import annotations

import json
from typing import Any, Final

from app.conformance.client import Broken, Reply, expect, expect_error, ok, shaped
from app.conformance.responses_stream import check_responses_frames
from app.conformance.subject import Subject

PATH: Final = "/responses"
HELLO: Final = "say exactly: Hello there, how are you today?"
_CALL: Final = "What is the weather in Paris? call tool get_weather with city=Paris"
_CITY: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_TOOL: Final = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "parameters": _CITY,
    "strict": True,
}
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
    usage = response.get("usage")
    shaped(usage, dict.fromkeys(_USAGE, int), "usage")
    expect(
        usage[_USAGE[0]] + usage[_USAGE[1]] <= usage[_USAGE[2]], "the total of usage is less than its parts"
    )


def a_stream(subject: Subject) -> None:
    """The grammar of a stream: numbers, items and parts that open, grow and close, one end."""
    events = streamed(subject, subject.response(HELLO))
    expect(events[-1]["type"] == "response.completed", f"the stream ends with {events[-1]['type']}")
    check_response(events[-1]["response"])


def input_as_messages(subject: Subject) -> None:
    """Messages of every role are taken, with parts and without."""
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
    """A forced call has an id, a name and arguments in JSON; its result is taken."""
    body = subject.response([{"role": "user", "content": _CALL}], tools=[_TOOL], tool_choice="required")
    response = subject.client.post(PATH, {**body, "store": False})
    call = _call_of(response)
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"degrees": 20}'}
    turn = [*body["input"], *response["output"], result]
    check_response(subject.client.post(PATH, {**body, "tool_choice": "auto", "input": turn}))


def a_tool_call_in_a_stream(subject: Subject) -> None:
    """The pieces of a call's arguments make the JSON of its end."""
    events = streamed(subject, subject.response(_CALL, tools=[_TOOL], tool_choice="required"))
    call = _call_of(events[-1]["response"])
    kind = "response.function_call_arguments.delta"
    pieces = "".join(
        event["delta"] for event in events if event["type"] == kind and event["item_id"] == call["id"]
    )
    expect(pieces == call["arguments"], "the arguments differ from their pieces")


def structured_output(subject: Subject) -> None:
    """An answer fits its JSON schema."""
    form = {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": _CITY}}
    response = subject.client.post(PATH, subject.response("Name a city. fill city=Paris", text=form))
    _check_city(text_of(response))


def a_count_of_input_tokens(subject: Subject) -> None:
    """``POST /responses/input_tokens`` tells a whole number above 0."""
    count = subject.client.post(f"{PATH}/input_tokens", subject.response(HELLO))
    shaped(count, {"object": "response.input_tokens", "input_tokens": int}, "count")
    expect(count["input_tokens"] > 0, "input_tokens is 0")


def refusals(subject: Subject) -> None:
    """What is wrong is refused with 400, in the one form, and names its member."""
    for body, member in (
        ({"model": subject.model, "input": 5}, "input"),
        (subject.response("x", temperature=9), "temperature"),
        (subject.response("x", tools="none"), "tools"),
    ):
        for stream in (False, True):
            error = expect_error(subject.client.send("POST", PATH, {**body, "stream": stream}), 400, 422)
            expect(member in f"{error['param']} {error['message']}", f"the error does not name {member!r}")


def an_unknown_model(subject: Subject) -> None:
    """400 or 404 with ``model_not_found``."""
    error = expect_error(
        subject.client.send("POST", PATH, {"model": "no-such-model-at-all", "input": "x"}), 400, 404
    )
    expect(error["code"] == "model_not_found", f"the code is {error['code']!r}, not 'model_not_found'")


# --- for other modules ------------------------------------------------------------------------------


def check_response(response: Any) -> None:
    """Raise ``Broken`` unless ``response`` is a response that was completed."""
    shaped(response, _SHAPE, "response")
    for number, item in enumerate(response["output"]):
        expect(isinstance(item, dict) and item.get("type"), f"output[{number}] has no type")
        if item["type"] == "message":
            shaped(
                item, {"id": str, "role": "assistant", "content": list, "status": str}, f"output[{number}]"
            )
        if item["type"] == "function_call":
            shaped(item, {"call_id": str, "name": str, "arguments": str}, f"output[{number}]")


def streamed(subject: Subject, body: dict[str, Any]) -> list[Any]:
    """Return the events of a stream that keeps the grammar."""
    return events_of(ok(subject.client.send("POST", PATH, {**body, "stream": True})))


def events_of(reply: Reply, *, first: int = 0) -> list[Any]:
    """Return the events of a reply; raises ``Broken`` for what breaks the grammar."""
    frames = reply.frames
    try:
        events = [json.loads(frame.data) for frame in frames]
    except ValueError as error:
        raise Broken(f"{reply.asked}: a message of the stream is no JSON") from error
    if not first:
        broken = check_responses_frames(
            [(frame.event or "", event) for frame, event in zip(frames, events, strict=True)]
        )
        expect(not broken, f"the stream breaks its grammar: {'; '.join(broken[:3])}")
    return events


def text_of(response: Any) -> str:
    """Return the text of a response's messages."""
    messages = (item for item in response["output"] if item["type"] == "message")
    return "".join(part.get("text") or "" for item in messages for part in item["content"])


def _call_of(response: Any) -> Any:
    check_response(response)
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    expect(calls, "no tool was called although one is required")
    expect(calls[0]["name"] == "get_weather", f"the call's name is {calls[0]['name']!r}")
    _check_city(calls[0]["arguments"])
    return calls[0]


def _check_city(text: str) -> None:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    expect(
        isinstance(found, dict) and isinstance(found.get("city"), str),
        f"no JSON of the schema: {text[:80]!r}",
    )


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
