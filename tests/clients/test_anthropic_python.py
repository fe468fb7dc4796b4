"""anthropic-python drives the Anthropic surface, with the sandbox, a chat-only provider and Anthropic behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, beta_tool

from tests.behaviour.world import World, chat_body, chat_chunk, chat_end, chat_stream
from tests.clients.conftest import KEY
from tests.traffic.replay import Reply

MODEL = "sandbox/echo"
WEATHER: Any = {
    "name": "get_weather",
    "description": "Tell the weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}


def user_messages(text: str) -> list[Any]:
    """Return one user message."""
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[Anthropic]:
    """The SDK as users make it, but without retries."""
    url = f"{world.gateway.url}/anthropic"
    with Anthropic(base_url=url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made


@pytest.mark.parametrize("root", ["/anthropic", ""])
@pytest.mark.parametrize("credential", [{"api_key": KEY}, {"auth_token": KEY}], ids=["x-api-key", "bearer"])
def test_a_message_is_created_at_each_base_url_with_each_credential(
    world: World, root: str, credential: dict[str, str]
) -> None:
    with Anthropic(base_url=world.gateway.url + root, max_retries=0, timeout=20, **credential) as made:
        raw = made.messages.with_raw_response.create(
            model=MODEL, max_tokens=99, messages=user_messages("say exactly: hello")
        )
    message = raw.parse()
    assert (message.content[0].text, message.stop_reason) == ("hello", "end_turn")  # type: ignore[union-attr]
    assert message.usage.output_tokens > 0
    assert raw.headers["request-id"] == raw.headers["x-request-id"] == message._request_id
    assert raw.headers["x-sluice-provider"] == "sandbox"


def test_a_stream_is_read_by_the_helper(client: Anthropic) -> None:
    with client.messages.stream(
        model=MODEL, max_tokens=99, messages=user_messages("say exactly: one two")
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert (text, final.stop_reason) == ("one two", "end_turn")
    assert final.usage.output_tokens == 2


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_and_its_result_is_read(client: Anthropic, streamed: bool) -> None:
    asked = user_messages("call tool get_weather with city=Paris, days=5")
    options: dict[str, Any] = {"model": MODEL, "max_tokens": 99, "tools": [WEATHER]}
    if streamed:
        with client.messages.stream(messages=asked, **options) as stream:
            first = stream.get_final_message()
    else:
        first = client.messages.create(messages=asked, **options)
    (call,) = (block for block in first.content if block.type == "tool_use")
    assert (call.name, call.input, first.stop_reason) == (
        "get_weather",
        {"city": "Paris", "days": 5},
        "tool_use",
    )
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 21 degrees"}
    history = [*asked, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(messages=history, **options)
    assert "sunny, 21 degrees" in second.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", [MODEL, "sandbox/messages-x"])
def test_the_tool_runner_sends_whole_conversations(client: Anthropic, model: str, streamed: bool) -> None:
    runner = client.beta.messages.tool_runner(
        model=model,
        max_tokens=99,
        messages=user_messages("call tool get_weather with city=Rome, days=2"),
        tools=[get_weather],
        stream=streamed,
    )
    assert runner.until_done().content[0].text == "The tool get_weather answered: rain in Rome"


@beta_tool
def get_weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@pytest.mark.parametrize("model", [MODEL, "anthropic/claude-sonnet-4-5"])
def test_a_thread_that_nobody_keeps_is_refused(world: World, client: Anthropic, model: str) -> None:
    before = len(world.upstream.requests)
    thread = client.beta.messages.thread(model=model, max_tokens=99)
    with pytest.raises(anthropic.BadRequestError) as caught:
        thread.send({"role": "user", "content": "say exactly: hello"})
    assert caught.value.error_code == "thread_unsupported_request"
    assert len(world.upstream.requests) == before


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_thinking_is_shown(client: Anthropic, streamed: bool) -> None:
    options: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": user_messages("think: it is late"),
    }
    if streamed:
        with client.messages.stream(**options) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**options)
    kinds = [block.type for block in message.content]
    assert kinds == ["thinking", "text"]
    assert message.content[0].thinking == "it is late"  # type: ignore[union-attr]


def test_tokens_are_counted(client: Anthropic) -> None:
    count = client.messages.count_tokens(model=MODEL, messages=user_messages("one two three"))
    assert count.input_tokens >= 3


def test_models_are_listed_page_by_page_and_fetched(client: Anthropic) -> None:
    ids = [model.id for model in client.models.list(limit=2, extra_query={"provider": "sandbox"})]
    assert len(ids) == len(set(ids)) > 2
    model = client.models.retrieve(ids[0])
    assert (model.id, model.type, model.display_name != "") == (ids[0], "model", True)


def test_models_of_the_unified_surface_have_the_form_of_who_asks(world: World) -> None:
    with Anthropic(base_url=world.gateway.url, api_key=KEY, max_retries=0) as made:
        page = made.models.list(extra_query={"provider": "sandbox"})
    assert page.data[0].type == "model"
    plain = world.send("GET", "/v1/models?provider=sandbox").json
    assert (plain["object"], plain["data"][0]["object"]) == ("list", "model")


@pytest.mark.parametrize(
    "options, error",
    [
        ({"messages": user_messages("fail with 429")}, anthropic.RateLimitError),
        ({"messages": user_messages("fail with 500")}, anthropic.InternalServerError),
        ({"model": "no-such-model"}, anthropic.NotFoundError),
        ({"max_tokens": 0}, anthropic.BadRequestError),
    ],
)
def test_errors_are_those_of_the_sdk(
    world: World, client: Anthropic, options: dict[str, Any], error: type[Any]
) -> None:
    unknown = {"type": "error", "error": {"type": "not_found_error", "message": "model: no-such-model"}}
    world.fresh().upstream.add(Reply.json(unknown, 404))  # a bare name is Anthropic's
    with pytest.raises(error) as told:
        client.messages.create(**{"model": MODEL, "max_tokens": 9, "messages": user_messages("x"), **options})
    body = told.value.body
    assert (body["type"], set(body)) == ("error", set(unknown) | {"request_id"})
    assert body["request_id"] == told.value.response.headers["request-id"]


def test_a_wrong_key_is_an_authentication_error(world: World) -> None:
    url = f"{world.gateway.url}/anthropic"
    with (
        Anthropic(base_url=url, api_key="wrong", max_retries=0) as made,
        pytest.raises(anthropic.AuthenticationError),
    ):
        made.models.list()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_provider_of_chat_alone_answers(world: World, client: Anthropic, streamed: bool) -> None:
    options: dict[str, Any] = {
        "model": "groq/x",
        "max_tokens": 99,
        "system": "Be brief.",
        "messages": user_messages("hi"),
        "tools": [WEATHER],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    }
    function = {"name": "get_weather", "arguments": '{"city": "Rome", "days": 1}'}
    call = {"id": "call_1", "type": "function", "function": function}
    if streamed:
        chunks = chat_chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]})
        end = chat_end().replace(b'"stop"', b'"tool_calls"')
        world.fresh().upstream.add(Reply.sse(chunks + end))
        with client.messages.stream(**options) as stream:
            message = stream.get_final_message()
    else:
        body = chat_body()
        body["choices"][0] |= {"finish_reason": "tool_calls"}
        body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        world.fresh().upstream.add(Reply.json(body))
        message = client.messages.create(**options)
    (block,) = message.content
    assert (block.type, block.input) == ("tool_use", {"city": "Rome", "days": 1})  # type: ignore[union-attr]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "tool_use",
        3,
        2,
    )
    (request,) = world.upstream.requests
    assert request.path == "/groq/chat/completions"
    assert [turn["role"] for turn in request.json()["messages"]] == ["system", "user"]
    assert (request.json()["tool_choice"], request.json()["parallel_tool_calls"]) == ("required", False)
    assert "anthropic-version" not in request.headers


def test_a_stream_of_a_chat_provider_that_breaks_off_raises_in_the_sdk(
    world: World, client: Anthropic
) -> None:
    whole = chat_stream("good")
    world.fresh().upstream.add(Reply.sse(whole, cut=whole.index(b"\n\n", whole.index(b"good")) + 2))
    with (
        pytest.raises(anthropic.APIStatusError) as told,
        client.messages.stream(model="groq/x", max_tokens=9, messages=user_messages("hi")) as stream,
    ):
        assert next(stream.text_stream) == "good"
        stream.get_final_message()
    assert told.value.body["error"]["type"] == "api_error"
