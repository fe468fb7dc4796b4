"""Checks of chat completions: whole answers, streams, tools, structured output."""

from __future__ import annotations

from typing import Any, Final

from app.conformance.chat_stream import CHAT_FINISH, check_chat_stream
from app.conformance.client import expect, expect_ok, expect_shape
from app.conformance.subject import (
    CITY_SCHEMA,
    FILL,
    HELLO,
    WEATHER,
    WEATHER_TOOL,
    Subject,
    expect_city,
    expect_usage,
)

_PATH: Final = "/chat/completions"
_TOOL: Final = {"type": "function", "function": WEATHER_TOOL}
_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def a_whole_answer(subject: Subject) -> None:
    """The form of an answer that is not streamed."""
    completion = subject.client.post(_PATH, subject.chat(HELLO))
    expect_shape(
        completion,
        {"id": str, "object": "chat.completion", "created": int, "model": str, "choices": list},
        "answer",
    )
    expect(isinstance(_choice(completion)["message"].get("content"), str), "the message has no text")
    expect_usage(completion.get("usage"), _USAGE)


def a_stream(subject: Subject) -> None:
    """The grammar of a stream: roles, indexes, one finish reason, ``[DONE]`` last."""
    _stream(subject, subject.chat(HELLO))


def usage_at_the_end_of_a_stream(subject: Subject) -> None:
    """``include_usage`` brings one more chunk, with usage and without choices."""
    chunks = _stream(subject, subject.chat(HELLO, stream_options={"include_usage": True}))
    expect(chunks and chunks[-1].get("usage"), "no usage came before [DONE]")
    expect(chunks[-1]["choices"] == [], "the chunk with usage has choices")
    expect_usage(chunks[-1]["usage"], _USAGE)


def a_stream_says_what_a_whole_answer_has(subject: Subject) -> None:
    """A stream has text."""
    text = "".join(
        choice["delta"].get("content") or ""
        for chunk in _stream(subject, subject.chat(HELLO))
        for choice in chunk["choices"]
    )
    expect(text.strip(), "the stream has no text")


def history_and_instructions(subject: Subject) -> None:
    """Messages of every role are accepted."""
    messages = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": "say exactly: Good bye – 再見 👋"}]},
    ]
    _choice(subject.client.post(_PATH, {"model": subject.model, "messages": messages}))


def a_tool_call_and_its_result(subject: Subject) -> None:
    """A required call has an id, a name and arguments in JSON; its result is accepted."""
    body = subject.chat(WEATHER, tools=[_TOOL], tool_choice="required")
    message = _tool_call_message(subject.client.post(_PATH, body))
    call = message["tool_calls"][0]
    expect_city(call["function"]["arguments"])
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"degrees": 20}'}
    body = {**body, "tool_choice": "auto", "messages": [*body["messages"], message, result]}
    _choice(subject.client.post(_PATH, body))


def a_tool_call_in_a_stream(subject: Subject) -> None:
    """The deltas of a call's arguments make JSON."""
    chunks = _stream(subject, subject.chat(WEATHER, tools=[_TOOL], tool_choice="required"))
    deltas = [
        call["function"].get("arguments") or ""
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or []
        if call["index"] == 0
    ]
    expect(deltas, "no tool was called")
    expect_city("".join(deltas))


def structured_output(subject: Subject) -> None:
    """An answer fits its JSON schema."""
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": CITY_SCHEMA}}
    completion = subject.client.post(_PATH, subject.chat(FILL, response_format=form))
    expect_city(_choice(completion)["message"]["content"])


def _stream(subject: Subject, body: dict[str, Any]) -> list[Any]:
    events = expect_ok(subject.client.send("POST", _PATH, {**body, "stream": True})).events
    violations = check_chat_stream(events)
    expect(not violations, f"the stream breaks its grammar: {'; '.join(violations[:3])}")
    return events[:-1]


def _choice(completion: Any) -> Any:
    expect(len(completion["choices"]) == 1, f"there are {len(completion['choices'])} choices, not 1")
    choice = completion["choices"][0]
    expect_shape(choice, {"index": 0, "message": dict, "finish_reason": str}, "choices[0]")
    expect(choice["finish_reason"] in CHAT_FINISH, f"finish_reason is {choice['finish_reason']!r}")
    expect(choice["message"].get("role") == "assistant", "the message's role is not assistant")
    return choice


def _tool_call_message(completion: Any) -> Any:
    choice = _choice(completion)
    calls = choice["message"].get("tool_calls")
    expect(calls, "no tool was called although one is required")
    expect_shape(calls[0], {"id": str, "type": "function", "function": dict}, "tool_calls[0]")
    expect_shape(calls[0]["function"], {"name": "get_weather", "arguments": str}, "tool_calls[0].function")
    expect(choice["finish_reason"] == "tool_calls", f"finish_reason is {choice['finish_reason']!r}")
    return choice["message"]


CHECKS: Final = (
    a_whole_answer,
    a_stream,
    usage_at_the_end_of_a_stream,
    a_stream_says_what_a_whole_answer_has,
    history_and_instructions,
    a_tool_call_and_its_result,
    a_tool_call_in_a_stream,
    structured_output,
)
