"""Recorded provider traffic, read back through openai-python: the SDK's objects say what the recording says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.behaviour.world import World
from tests.clients.conftest import KEY
from tests.traffic.answers import Answer, parsed
from tests.traffic.answers import extract as told_by
from tests.traffic.load import Exchange, exchanges, params
from tests.traffic.replay import Reply

WIRES = {
    # api of the recording: the model string whose provider speaks it
    "openai.chat": "groq/x",
    "openai.responses": "openai/x",
    "anthropic.messages": "anthropic/claude-sonnet-4-5",
}
OPERATIONS = ("chat_completion", "chat_completion_stream", "responses", "responses_stream")
PROVIDERS = ("openai", "groq", "anthropic")


def _good(recording: Exchange) -> bool:
    if not recording.real or recording.status != 200 or recording.api not in WIRES:
        return False
    answer = told_by(recording)
    if not isinstance(answer, Answer) or answer.error is not None:
        return False
    return len(answer.choices) == 1 and answer.status in (None, "completed") and not _unfinished(answer)


def _unfinished(answer: Answer) -> bool:
    """Length, filter and pause endings are incomplete responses; other tests hold them."""
    return str(answer.choices[0].finish_raw) in (
        "length",
        "max_tokens",
        "content_filter",
        "refusal",
        "pause_turn",
    )


def recordings() -> list[Any]:
    """Return all good answers of the three wires."""
    return params(r for r in exchanges(operations=OPERATIONS, providers=PROVIDERS) if _good(r))


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[OpenAI]:
    """The SDK without retries."""
    with OpenAI(base_url=base_url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made


@pytest.mark.parametrize("recording", recordings())
def test_chat_and_responses_of_the_sdk_tell_the_recording(
    world: World, client: OpenAI, recording: Exchange
) -> None:
    expected = told_by(recording)
    assert isinstance(expected, Answer)
    choice = expected.choices[0]
    world.fresh().upstream.add(Reply.of(recording), times=float("inf"))
    model = WIRES[recording.api]
    calls = sorted((call.name, str(parsed(call.arguments))) for call in choice.tool_calls)
    streamed = recording.streamed
    if recording.api != "openai.responses":
        message = (_chat_streamed if streamed else _chat)(client, model)
        assert (message.content or "") == choice.text
        made = [c.function if c.type == "function" else c.custom for c in message.tool_calls or ()]
        assert sorted((c.name, str(parsed(_arguments(c)))) for c in made) == calls
    final = (_response_streamed if streamed else _response)(client, model)
    assert final.output_text == choice.text + choice.transcript
    items = [i for i in final.output if i.type in ("function_call", "custom_tool_call")]
    assert sorted((i.name, str(parsed(_arguments(i)))) for i in items) == calls
    assert final.usage is not None or expected.usage is None
    if expected.usage is not None and expected.usage.output is not None:
        assert final.usage.output_tokens == expected.usage.output


def _arguments(call: Any) -> Any:
    return call.arguments if hasattr(call, "arguments") else call.input


def _chat(client: OpenAI, model: str) -> Any:
    return (
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
        .choices[0]
        .message
    )


def _chat_streamed(client: OpenAI, model: str) -> Any:
    asked: Any = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    with client.chat.completions.stream(**asked) as stream:
        return stream.get_final_completion().choices[0].message


def _response(client: OpenAI, model: str) -> Any:
    return client.responses.create(model=model, input="hi")


def _response_streamed(client: OpenAI, model: str) -> Any:
    with client.responses.stream(model=model, input="hi") as stream:
        return stream.get_final_response()
