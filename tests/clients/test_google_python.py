"""google-genai drives Google's surface in both its modes, with the sandbox, a chat-only provider, Gemini and Anthropic behind."""

from __future__ import annotations

from typing import Any

import google.auth.credentials
import pytest
from anthropic import AnthropicVertex
from google import genai
from google.genai import errors, types

from tests.behaviour.world import World, chat_chunk, chat_stream
from tests.clients.conftest import KEY
from tests.traffic.replay import Reply

WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Tells the weather",
            parameters_json_schema={
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        )
    ]
)
MODES = ("gemini", "root", "vertex", "express")


class _Token(google.auth.credentials.Credentials):
    """A token as Vertex's client fetches it: here the gateway's key."""

    def __init__(self) -> None:
        super().__init__()
        self.token = KEY

    def refresh(self, request: Any) -> None:
        """Nothing ends."""


def client_of(world: World, mode: str) -> genai.Client:
    """Return the SDK's client as users make it in a mode."""
    root = world.gateway.url
    surface = types.HttpOptions(base_url=f"{root}/genai", timeout=20_000)
    if mode == "gemini":
        return genai.Client(api_key=KEY, http_options=surface)
    if mode == "root":
        return genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=root, timeout=20_000))
    if mode == "vertex":
        options: dict[str, Any] = {"project": "p", "location": "us-east5", "credentials": _Token()}
        return genai.Client(vertexai=True, http_options=surface, **options)
    return genai.Client(vertexai=True, api_key=KEY, http_options=surface)


@pytest.fixture(params=MODES)
def client(world: World, request: pytest.FixtureRequest) -> genai.Client:
    """A client of each mode."""
    return client_of(world, request.param)


def test_content_is_generated_whole_and_streamed(client: genai.Client) -> None:
    answer = client.models.generate_content(model="sandbox/x", contents="say exactly: hello")
    assert answer.text == "hello"
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.candidates_token_count == 1
    chunks = list(client.models.generate_content_stream(model="sandbox/x", contents="say exactly: one two"))
    assert "".join(chunk.text or "" for chunk in chunks) == "one two"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_function_is_called_and_its_result_is_read(client: genai.Client, streamed: bool) -> None:
    asked = types.Content(
        role="user", parts=[types.Part(text="call tool get_weather with city=Paris, days=5")]
    )
    config = types.GenerateContentConfig(tools=[WEATHER])
    if streamed:
        parts = [
            part
            for chunk in client.models.generate_content_stream(
                model="sandbox/x", contents=[asked], config=config
            )
            for part in (chunk.candidates or [])[0].content.parts or []  # type: ignore[union-attr]
        ]
    else:
        first = client.models.generate_content(model="sandbox/x", contents=[asked], config=config)
        parts = (first.candidates or [])[0].content.parts or []  # type: ignore[union-attr]
    (call,) = (part.function_call for part in parts if part.function_call)
    assert (call.name, call.args) == ("get_weather", {"city": "Paris", "days": 5})
    result = types.Part.from_function_response(name="get_weather", response={"result": "sunny, 21 degrees"})
    history = [asked, types.Content(role="model", parts=parts), types.Content(role="user", parts=[result])]
    second = client.models.generate_content(model="sandbox/x", contents=history, config=config)
    assert "sunny, 21 degrees" in (second.text or "")


def test_a_chat_keeps_its_history(client: genai.Client) -> None:
    chat = client.chats.create(model="sandbox/x")
    chat.send_message("I am Ann")
    assert "I am Ann" in (chat.send_message("echo history").text or "")


def test_json_of_a_schema_is_read(client: genai.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    answer = client.models.generate_content(model="sandbox/x", contents="fill a=5", config=config)
    assert answer.parsed == {"a": 5}


def test_thoughts_are_shown_to_those_who_ask(client: genai.Client) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    answer = client.models.generate_content(model="sandbox/x", contents="think: it is late", config=config)
    parts = (answer.candidates or [])[0].content.parts or []  # type: ignore[union-attr]
    assert (parts[0].text, parts[0].thought) == ("it is late", True)


def test_tokens_are_counted_and_vectors_are_made(client: genai.Client) -> None:
    assert client.models.count_tokens(model="sandbox/x", contents="one two three").total_tokens == 3
    client_of = client.models.embed_content(model="sandbox/x", contents="hi")
    assert len(client_of.embeddings or []) == 1
    assert client_of.embeddings[0].values  # type: ignore[index]


@pytest.mark.parametrize(
    "prompt, status", [("fail with 429", 429), ("fail with 503", 503), ("fail with 400", 400)]
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_error_is_the_sdks_own(client: genai.Client, prompt: str, status: int, streamed: bool) -> None:
    with pytest.raises(errors.APIError) as caught:
        if streamed:
            list(client.models.generate_content_stream(model="sandbox/x", contents=prompt))
        else:
            client.models.generate_content(model="sandbox/x", contents=prompt)
    assert (caught.value.code, bool(caught.value.status)) == (status, True)


def test_a_stream_that_breaks_raises_after_what_came(client: genai.Client) -> None:
    stream = client.models.generate_content_stream(model="sandbox/x", contents="fail midway")
    assert next(iter(stream)).text
    with pytest.raises(errors.ServerError):
        list(stream)


@pytest.mark.parametrize("mode", ["gemini", "root"])
def test_models_are_listed_and_fetched(world: World, mode: str) -> None:
    client = client_of(world, mode)
    names = [model.name for model in client.models.list(config={"page_size": 2})]
    assert "models/sandbox/echo" in names
    assert len(names) == len(set(names)) > 2
    assert client.models.get(model="sandbox/echo").display_name == "Sandbox: echo"


def test_a_wrong_key_is_refused(world: World) -> None:
    client = genai.Client(
        api_key="wrong", http_options=types.HttpOptions(base_url=f"{world.gateway.url}/genai")
    )
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="sandbox/x", contents="hi")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")


def test_a_chat_only_provider_answers(client: genai.Client, world: World) -> None:
    world.fresh().upstream.add(Reply.sse(chat_stream("from", " groq")))
    chunks = list(client.models.generate_content_stream(model="groq/x", contents="hi"))
    assert "".join(chunk.text or "" for chunk in chunks) == "from groq"
    world.fresh().upstream.add(Reply.sse(chat_chunk({"role": "assistant", "content": "half"})))
    stream = client.models.generate_content_stream(model="groq/x", contents="hi")
    with pytest.raises(errors.ServerError):
        list(stream)


def test_anthropic_answers_with_its_thoughts_signed_for_the_tenant(
    client: genai.Client, world: World
) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "CLAUDES"}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [thought, {"type": "text", "text": "good"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    world.fresh().upstream.add(Reply.json(message), times=2)
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    asked = types.Content(role="user", parts=[types.Part(text="hi")])
    model = "anthropic/claude-sonnet-4-5"
    first = client.models.generate_content(model=model, contents=[asked], config=config)
    parts = (first.candidates or [])[0].content.parts or []  # type: ignore[union-attr]
    signed = [part.thought_signature for part in parts if part.thought_signature]
    assert len(signed) == 1
    assert b"CLAUDES" not in signed[0]
    history = [asked, types.Content(role="model", parts=parts), asked]
    client.models.generate_content(model=model, contents=history, config=config)
    sent = world.upstream.requests[-1].json()["messages"][1]["content"]
    assert thought in sent


def test_anthropics_client_of_vertex_is_served(world: World) -> None:
    client = AnthropicVertex(
        base_url=f"{world.gateway.url}/genai/v1",
        region="us-east5",
        project_id="p",
        access_token=KEY,
        max_retries=0,
    )
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "good"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    world.fresh().upstream.add(Reply.json(message))
    asked: Any = {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
    answer = client.messages.create(model="claude-sonnet-4-5", **asked)
    assert answer.content[0].text == "good"  # type: ignore[union-attr]
    (request,) = world.upstream.requests
    assert (request.path, request.json()) == (
        "/anthropic/v1/messages",
        {"model": "claude-sonnet-4-5", "stream": False, **asked},
    )
