"""Checks of chat completions: whole answers, streams, tools, structured output."""

from __future__ import annotations

import json
from typing import Any, Final

from app.conformance.chat_stream import CHAT_FINISH, check_chat_stream
from app.conformance.client import expect, ok, shaped
from app.conformance.subject import Subject

_PATH: Final = "/chat/completions"
_HELLO: Final = "say exactly: Hello there, how are you today?"
_CALL: Final = "What is the weather in Paris? call tool get_weather with city=Paris"
_CITY: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Final = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tell the weather of a city.", "parameters": _CITY},
}


def a_whole_answer(subject: Subject) -> None:
    """The form of an answer that is not streamed."""
    completion = subject.client.post(_PATH, subject.chat(_HELLO))
    shaped(
        completion,
        {"id": str, "object": "chat.completion", "created": int, "model": str, "choices": list},
        "answer",
    )
    choice = _choice(completion)
    expect(isinstance(choice["message"].get("content"), str), "the message has no text")
    _check_usage(completion.get("usage"))


def a_stream(subject: Subject) -> None:
    """The grammar of a stream: roles, indexes, one finish reason, ``[DONE]`` last."""
    _stream(subject, subject.chat(_HELLO))


def usage_at_the_end_of_a_stream(subject: Subject) -> None:
    """``include_usage`` brings one more chunk, with usage and without choices."""
    chunks = _stream(subject, subject.chat(_HELLO, stream_options={"include_usage": True}))
    expect(chunks and chunks[-1].get("usage"), "no usage came before [DONE]")
    expect(chunks[-1]["choices"] == [], "the chunk with usage has choices")
    _check_usage(chunks[-1]["usage"])


def a_stream_says_what_a_whole_answer_has(subject: Subject) -> None:
    """A stream has text, too."""
    text = "".join(
        choice["delta"].get("content") or ""
        for chunk in _stream(subject, subject.chat(_HELLO))
        for choice in chunk["choices"]
    )
    expect(text.strip(), "the stream has no text")


def history_and_instructions(subject: Subject) -> None:
    """Messages of every role are taken."""
    messages = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": "say exactly: Good bye – 再見 👋"}]},
    ]
    _choice(subject.client.post(_PATH, {"model": subject.model, "messages": messages}))


def a_tool_call_and_its_result(subject: Subject) -> None:
    """A forced call has an id, a name and arguments in JSON; its result is taken."""
    body = subject.chat(_CALL, tools=[TOOL], tool_choice="required")
    message = _call_message(subject.client.post(_PATH, body))
    call = message["tool_calls"][0]
    _check_arguments(call["function"]["arguments"])
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"degrees": 20}'}
    body = {**body, "tool_choice": "auto", "messages": [*body["messages"], message, result]}
    _choice(subject.client.post(_PATH, body))


def a_tool_call_in_a_stream(subject: Subject) -> None:
    """The pieces of a call's arguments make JSON."""
    chunks = _stream(subject, subject.chat(_CALL, tools=[TOOL], tool_choice="required"))
    pieces = [
        call["function"].get("arguments") or ""
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or []
        if call["index"] == 0
    ]
    expect(pieces, "no tool was called")
    _check_arguments("".join(pieces))


def structured_output(subject: Subject) -> None:
    """An answer fits its JSON schema."""
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": _CITY}}
    completion = subject.client.post(
        _PATH, subject.chat("Name a city. fill city=Paris", response_format=form)
    )
    _check_arguments(_choice(completion)["message"]["content"])


def _stream(subject: Subject, body: dict[str, Any]) -> list[Any]:
    events = ok(subject.client.send("POST", _PATH, {**body, "stream": True})).events
    broken = check_chat_stream(events)
    expect(not broken, f"the stream breaks its grammar: {'; '.join(broken[:3])}")
    return events[:-1]


def _choice(completion: Any) -> Any:
    expect(len(completion["choices"]) == 1, f"there are {len(completion['choices'])} choices, not 1")
    choice = completion["choices"][0]
    shaped(choice, {"index": 0, "message": dict, "finish_reason": str}, "choices[0]")
    expect(choice["finish_reason"] in CHAT_FINISH, f"finish_reason is {choice['finish_reason']!r}")
    expect(choice["message"].get("role") == "assistant", "the message's role is not assistant")
    return choice


def _call_message(completion: Any) -> Any:
    choice = _choice(completion)
    calls = choice["message"].get("tool_calls")
    expect(calls, "no tool was called although one is required")
    shaped(calls[0], {"id": str, "type": "function", "function": dict}, "tool_calls[0]")
    shaped(calls[0]["function"], {"name": "get_weather", "arguments": str}, "tool_calls[0].function")
    expect(choice["finish_reason"] == "tool_calls", f"finish_reason is {choice['finish_reason']!r}")
    return choice["message"]


def _check_arguments(text: str) -> None:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    expect(
        isinstance(found, dict) and isinstance(found.get("city"), str),
        f"no JSON of the schema: {text[:80]!r}",
    )


def _check_usage(usage: Any) -> None:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    shaped(usage, dict.fromkeys(names, int), "usage")
    expect(usage["prompt_tokens"] > 0, "usage.prompt_tokens is 0")
    expect(usage[names[0]] + usage[names[1]] <= usage[names[2]], "the total of usage is less than its parts")


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
