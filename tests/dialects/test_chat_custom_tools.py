"""Free-text tools on a wire that knows only functions: offered, called and answered as such."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.request import Message, Request, TextPart, Tool, ToolCallPart, ToolChoice, ToolResultPart
from app.dialects.base import Frame
from app.dialects.chat.dialect import DIALECT
from app.dialects.shared.losses import Losses
from app.providers import chat_rows as rows
from tests.dialects import generic

SHELL = Tool("custom", "shell", "Runs a command.")
HI = Message("user", (TextPart("hi"),))


def context(request: Request, losses: Losses | None = None) -> Any:
    return generic.client_context(
        "m", options=rows.GROQ, request=request, losses=losses or Losses("responses", target="here")
    )


def test_it_is_offered_and_chosen_as_a_function() -> None:
    request = Request("m", (HI,), tools=(SHELL,), tool_choice=ToolChoice("named", "shell", "custom"))
    losses = Losses("responses", target="here")
    body = DIALECT.encode_request(request, context(request, losses)).body
    function = body["tools"][0]["function"]
    assert (body["tools"][0]["type"], function["name"], function["description"]) == (
        "function",
        "shell",
        "Runs a command.",
    )
    assert function["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "shell"}}
    assert [loss.param for loss in losses.items] == ["tools"]


def test_an_earlier_call_goes_back_as_a_functions() -> None:
    call = Message("assistant", (ToolCallPart("c", "shell", 'ls "x"', "custom"),))
    result = Message("tool", (ToolResultPart("c", (TextPart("done"),), "shell", kind="custom"),))
    request = Request("m", (HI, call, result), tools=(SHELL,))
    messages = DIALECT.encode_request(request, context(request)).body["messages"]
    assert messages[1]["tool_calls"] == [
        {
            "id": "c",
            "type": "function",
            "function": {"name": "shell", "arguments": '{"input":"ls \\"x\\""}'},
        }
    ]
    assert (messages[2]["role"], messages[2]["tool_call_id"]) == ("tool", "c")


def test_a_whole_call_is_free_text_again() -> None:
    request = Request("m", (HI,), tools=(SHELL,))
    call = {"id": "c", "type": "function", "function": {"name": "shell", "arguments": '{"input": "ls"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {
        "id": "r",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }
    (choice,) = DIALECT.decode_response(body, context(request)).choices
    assert generic.parts_of(choice) == [ToolCallPart("c", "shell", "ls", "custom")]


@pytest.mark.parametrize("pieces", [['{"input": "ls -l"}'], ['{"in', 'put": "ls', ' -l"}']])
def test_a_streamed_call_is_free_text_once_it_is_whole(pieces: list[str]) -> None:
    request = Request("m", (HI,), tools=(SHELL,))
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "shell", "arguments": ""}}
    deltas = [first, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]
    frames = [_chunk({"tool_calls": [delta]}) for delta in deltas] + [_chunk({}, "tool_calls")]
    events = generic.decoded(DIALECT.stream_decoder(context(request)), [*frames, Frame(None, None)])
    generic.assert_order(events)
    (choice,) = generic.fold(events).response().choices
    assert generic.parts_of(choice) == [ToolCallPart("c", "shell", "ls -l", "custom")]


def _chunk(delta: dict[str, Any], finish: str | None = None) -> Frame:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Frame(None, {"id": "r", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
