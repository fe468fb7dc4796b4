"""boto3 drives Bedrock's surface, with the sandbox, a chat-only provider and Anthropic behind it."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from anthropic import AnthropicBedrock
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from tests.behaviour.world import World, chat_chunk, chat_stream
from tests.clients.conftest import KEY
from tests.traffic.replay import Reply

WEATHER = {
    "toolSpec": {
        "name": "get_weather",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            }
        },
    }
}
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99}


def user_message(text: str) -> dict[str, Any]:
    """Return one user's message."""
    return {"role": "user", "content": [{"text": text}]}


def client_of(world: World, service: str = "bedrock-runtime", key: str | None = KEY) -> Any:
    """Return boto3's client as users make it: signed with whatever they have, the key in a header."""
    session = boto3.Session("AKIAEXAMPLE", "secret", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    client = session.client(service, endpoint_url=f"{world.gateway.url}/bedrock", config=config)
    if key is not None:
        client.meta.events.register(
            "before-send", lambda request, **_: request.headers.update({"x-bf-vk": key})
        )
    return client


@pytest.fixture(scope="module")
def client(world: World) -> Any:
    """The runtime's client."""
    return client_of(world)


def test_a_conversation_goes_on(client: Any) -> None:
    answer = client.converse(modelId="sandbox/x", messages=[user_message("say exactly: hello")])
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "hello"}]}
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("end_turn", 1)
    history = [user_message("I am Ann"), answer["output"]["message"], user_message("echo history")]
    again = client.converse(modelId="sandbox/x", messages=history)
    assert "I am Ann" in again["output"]["message"]["content"][0]["text"]


def text_of(answer: Any) -> str:
    """Return the text of a stream."""
    deltas = [
        event["contentBlockDelta"]["delta"] for event in answer["stream"] if "contentBlockDelta" in event
    ]
    return "".join(delta.get("text", "") for delta in deltas)


def test_a_stream_is_read_to_its_end(client: Any) -> None:
    answer = client.converse_stream(modelId="sandbox/x", messages=[user_message("say exactly: one two")])
    events = list(answer["stream"])
    names = [name for event in events for name in event]
    assert (names[0], names[-2:]) == ("messageStart", ["messageStop", "metadata"])
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 2


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_and_its_result_is_read(client: Any, streamed: bool) -> None:
    asked = user_message("call tool get_weather with city=Paris, days=5")
    options = {"modelId": "sandbox/x", "toolConfig": {"tools": [WEATHER]}}
    if streamed:
        events = list(client.converse_stream(messages=[asked], **options)["stream"])
        start = next(e["contentBlockStart"]["start"]["toolUse"] for e in events if "contentBlockStart" in e)
        pieces = [
            e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e
        ]
        call = {**start, "input": json.loads("".join(pieces))}
    else:
        message = client.converse(messages=[asked], **options)["output"]["message"]
        call = next(block["toolUse"] for block in message["content"] if "toolUse" in block)
    assert (call["name"], call["input"]) == ("get_weather", {"city": "Paris", "days": 5})
    result = {"toolUseId": call["toolUseId"], "content": [{"text": "sunny, 21 degrees"}]}
    kept = {name: call[name] for name in ("toolUseId", "name", "input")}
    history = [
        asked,
        {"role": "assistant", "content": [{"toolUse": kept}]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    answer = client.converse(messages=history, **options)
    assert "sunny, 21 degrees" in answer["output"]["message"]["content"][0]["text"]


def test_claudes_bodies_are_invoked_whole_and_streamed(client: Any) -> None:
    body = json.dumps({**CLAUDE, "messages": [{"role": "user", "content": "say exactly: one two"}]})
    answer = client.invoke_model(modelId="sandbox/x", body=body)
    assert json.loads(answer["body"].read())["content"] == [{"type": "text", "text": "one two"}]
    assert answer["contentType"] == "application/json"
    streamed = client.invoke_model_with_response_stream(modelId="sandbox/x", body=body)
    events = [json.loads(event["chunk"]["bytes"]) for event in streamed["body"]]
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert (text, events[-1]["type"]) == ("one two", "message_stop")


def test_vectors_are_invoked(client: Any) -> None:
    answer = client.invoke_model(modelId="sandbox/x", body=json.dumps({"inputText": "hi"}))
    assert json.loads(answer["body"].read())["embedding"]


def test_tokens_are_counted(client: Any) -> None:
    counted = client.count_tokens(
        modelId="sandbox/x", input={"converse": {"messages": [user_message("one two")]}}
    )
    assert counted["inputTokens"] == 2


ERRORS = [
    ("fail with 429", "ThrottlingException", 429),
    ("fail with 503", "ServiceUnavailableException", 503),
    ("fail with 400", "ValidationException", 400),
]


@pytest.mark.parametrize("prompt, name, status", ERRORS)
@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_an_error_is_the_services_own(
    client: Any, prompt: str, name: str, status: int, operation: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(modelId="sandbox/x", messages=[user_message(prompt)])
    assert caught.value.response["Error"]["Code"] == name
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_stream_that_breaks_raises_after_what_came(client: Any, world: World) -> None:
    events = iter(
        client.converse_stream(modelId="sandbox/x", messages=[user_message("fail midway")])["stream"]
    )
    assert "messageStart" in next(events)
    with pytest.raises(EventStreamError):
        list(events)
    world.fresh().upstream.add(Reply.sse(chat_chunk({"role": "assistant", "content": "half"})))
    broken = client.converse_stream(modelId="groq/x", messages=[user_message("hi")])["stream"]
    with pytest.raises(EventStreamError):
        list(broken)


def test_a_signature_alone_is_refused(world: World) -> None:
    with pytest.raises(ClientError) as caught:
        client_of(world, key=None).converse(modelId="sandbox/x", messages=[user_message("hi")])
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_models_are_listed(world: World) -> None:
    control = client_of(world, "bedrock")
    listed = control.list_foundation_models()["modelSummaries"]
    assert "sandbox/echo" in [model["modelId"] for model in listed]
    one = control.get_foundation_model(modelIdentifier="sandbox/echo")["modelDetails"]
    assert one["modelName"] == "Sandbox: echo"


def test_a_chat_only_provider_answers(client: Any, world: World) -> None:
    world.fresh().upstream.add(Reply.sse(chat_stream("from", " groq")))
    assert text_of(client.converse_stream(modelId="groq/x", messages=[user_message("hi")])) == "from groq"


def test_anthropic_answers_with_its_thoughts_signed_for_the_tenant(client: Any, world: World) -> None:
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
    model = "anthropic/claude-sonnet-4-5"
    first = client.converse(modelId=model, messages=[user_message("hi")])["output"]["message"]
    shown = first["content"][0]["reasoningContent"]["reasoningText"]
    assert shown["text"] == "hm"
    assert "CLAUDES" not in shown["signature"]
    client.converse(modelId=model, messages=[user_message("hi"), first, user_message("go on")])
    assert thought in world.upstream.requests[-1].json()["messages"][1]["content"]


def test_anthropics_client_of_bedrock_is_served(world: World) -> None:
    client = AnthropicBedrock(
        base_url=f"{world.gateway.url}/bedrock",
        aws_access_key="AKIAEXAMPLE",
        aws_secret_key="secret",
        aws_region="us-east-1",
        default_headers={"x-bf-vk": KEY},
        max_retries=0,
    )
    asked: Any = {"max_tokens": 99, "messages": [{"role": "user", "content": "say exactly: one two"}]}
    answer = client.messages.create(model="sandbox/x", **asked)
    assert answer.content[0].text == "one two"  # type: ignore[union-attr]
    with client.messages.stream(model="sandbox/x", **asked) as stream:
        assert "".join(stream.text_stream) == "one two"
