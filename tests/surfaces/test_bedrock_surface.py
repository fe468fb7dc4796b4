"""Bedrock's API as a surface: Converse, InvokeModel, AWS's event stream, keys, errors and lists."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from app.wire.eventstream import EventStreamDecoder, encode_event
from tests.behaviour.world import Answer, World, chat_chunk, running_world
from tests.traffic.replay import Reply

KEY = "sk-surface-0123456789"
ENV = {
    "SLUICE_KEYS": f"ann:{KEY}",
    "AWS_BEARER_TOKEN_BEDROCK": "aws-key",
    "AWS_REGION": "us-east-1",
    "BEDROCK_BASE_URL": "{upstream}/bedrock",
}
GOOD = {
    "output": {"message": {"role": "assistant", "content": [{"text": "good"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 7},
    "trace": {"guardrail": {"odd": 1}},
}
STREAM = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "good"}, "p": "abc"}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    (
        "metadata",
        {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 7}},
    ),
]
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9}
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request"}


def converse_body(text: str = "say exactly: hello", **more: Any) -> dict[str, Any]:
    """Return a Converse body that says ``text``."""
    return {"messages": [{"role": "user", "content": [{"text": text}]}], **more}


def claude(text: str = "say exactly: hello", **more: Any) -> dict[str, Any]:
    """Return an InvokeModel body of a Claude that says ``text``."""
    return {**CLAUDE, "messages": [{"role": "user", "content": text}], **more}


def events(answer: Answer) -> list[tuple[str, Any]]:
    """Return the messages of AWS's event stream; an exception's name begins with ``!``."""
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream", answer.body[:300]
    decoder = EventStreamDecoder()
    found = []
    for message in decoder.feed(answer.body):
        headers = message.headers
        assert headers[":content-type"] == "application/json"
        kind = headers[":message-type"]
        name = headers[f":{kind}-type"]
        found.append((name if kind == "event" else f"!{name}", json.loads(message.payload)))
    assert not decoder.pending
    return found


def chunks(answer: Answer) -> list[dict[str, Any]]:
    """Return the events of Messages in the chunks of a stream."""
    return [json.loads(base64.b64decode(data["bytes"])) for name, data in events(answer) if name == "chunk"]


def message_of(answer: Answer) -> Any:
    """Return the message of a whole Converse answer."""
    return answer.json["output"]["message"]


SETTING = {"env": ENV, "key": KEY}


STRINGS = [
    ("sandbox/x", "sandbox", "x"),
    ("sandbox%2Fx", "sandbox", "x"),
    ("sandbox%2Fus.anthropic.claude-sonnet-4-5-20250929-v1%3A0", "sandbox", None),
    ("sandbox/converse", "sandbox", "converse"),
    ("sandbox/a%2Fconverse", "sandbox", "a/converse"),
]


@pytest.mark.parametrize("written, provider, model", STRINGS)
def test_a_path_holds_any_model_string(
    surface: World, written: str, provider: str, model: str | None
) -> None:
    answer = surface.send("POST", f"/bedrock/model/{written}/converse", converse_body())
    assert message_of(answer) == {"role": "assistant", "content": [{"text": "hello"}]}
    assert answer.headers["x-sluice-provider"] == provider
    assert answer.headers["x-sluice-model"] == (model or "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert answer.headers["x-amzn-requestid"] == answer.headers["x-request-id"]


ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"


@pytest.mark.parametrize("model", ["us.amazon.nova-pro-v1:0", ARN])
def test_a_body_passes_to_bedrock_and_back_as_it_is(surface: World, model: str) -> None:
    surface.fresh().upstream.add(Reply.json(GOOD))
    body = converse_body(guardrailConfig={"odd": 1}, fallbacks=["sandbox/x"])
    written = model.replace("/", "%2F").replace(":", "%3A")
    answer = surface.send("POST", f"/bedrock/model/{written}/converse", body)
    assert answer.json == GOOD
    (request,) = surface.upstream.requests
    assert request.path.endswith("/converse")
    assert json.loads(request.body) == {name: value for name, value in body.items() if name != "fallbacks"}


def test_a_stream_passes_from_bedrock_as_it_is(surface: World) -> None:
    data = b"".join(encode_event(name, json.dumps(event).encode()) for name, event in STREAM)
    surface.fresh().upstream.add(Reply(200, data, {"content-type": "application/vnd.amazon.eventstream"}))
    answer = surface.send("POST", "/bedrock/model/us.amazon.nova-pro-v1%3A0/converse-stream", converse_body())
    assert events(answer) == STREAM


def test_a_stream_is_written_in_the_order_of_the_service(surface: World) -> None:
    answer = surface.send("POST", "/bedrock/model/sandbox%2Fx/converse-stream", converse_body())
    names = [name for name, _ in events(answer)]
    assert names[0] == "messageStart"
    assert names[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert set(names[1:-3]) == {"contentBlockDelta"}
    text = "".join(data["delta"]["text"] for name, data in events(answer) if name == "contentBlockDelta")
    assert text == "hello"


@pytest.mark.parametrize("verb", ["converse-stream", "invoke-with-response-stream"])
def test_a_broken_stream_ends_in_an_exception(surface: World, verb: str) -> None:
    surface.fresh().upstream.add(Reply.sse(chat_chunk({"role": "assistant", "content": "half"})))
    body = converse_body() if verb.startswith("converse") else claude()
    found = events(surface.send("POST", f"/bedrock/model/groq%2Fx/{verb}", body))
    assert [name.startswith("!") for name, _ in found] == [False] * (len(found) - 1) + [True]
    name, error = found[-1]
    assert name in {"!modelStreamErrorException", "!internalServerException"}
    assert error["message"]


def test_a_silent_stream_is_kept_open_by_an_event_that_sdks_pass_over() -> None:
    with running_world({**ENV, "SLUICE_COMMENT_EVERY": "0.05"}, key=KEY) as world:
        answer = world.send(
            "POST", "/bedrock/model/sandbox%2Fx/converse-stream", converse_body("take 1 seconds")
        )
        assert ("ping", {}) in events(answer)
        assert events(answer)[-1][0] == "metadata"


@pytest.mark.parametrize("verb", ["converse", "converse-stream"])
def test_a_fallback_answers_in_the_surfaces_dialect(surface: World, verb: str) -> None:
    surface.fresh().upstream.add(Reply.json({"message": "no"}, 503), times=2)
    body = converse_body(fallbacks=["sandbox/x"])
    answer = surface.send("POST", f"/bedrock/model/us.amazon.nova-pro-v1%3A0/{verb}", body)
    assert (answer.status, answer.headers["x-sluice-provider"]) == (200, "sandbox")
    assert b"hello" in answer.body


def test_claudes_bodies_are_invoked(surface: World) -> None:
    answer = surface.send("POST", "/bedrock/model/sandbox%2Fx/invoke", claude())
    assert answer.json["content"] == [{"type": "text", "text": "hello"}]
    assert answer.headers["x-amzn-bedrock-input-token-count"] == "3"
    assert answer.headers["x-amzn-bedrock-output-token-count"] == "1"
    streamed = chunks(
        surface.send("POST", "/bedrock/model/sandbox%2Fx/invoke-with-response-stream", claude())
    )
    assert (streamed[0]["type"], streamed[-1]["type"]) == ("message_start", "message_stop")
    assert streamed[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 1


VECTORS = [
    ({"inputText": "hi"}, "embedding"),
    ({"texts": ["hi"], "input_type": "search_query"}, "embeddings"),
]


@pytest.mark.parametrize("body, member", VECTORS)
def test_vectors_come_in_the_form_of_their_family(surface: World, body: dict[str, Any], member: str) -> None:
    answer = surface.send("POST", "/bedrock/model/sandbox%2Fx/invoke", body)
    assert answer.status == 200, answer.body
    assert answer.json[member]
    assert answer.headers["x-amzn-bedrock-input-token-count"] == "1"


COUNTED = [
    {"input": {"converse": converse_body("one two")}},
    {"input": {"invokeModel": {"body": base64.b64encode(json.dumps(claude("one two")).encode()).decode()}}},
]


@pytest.mark.parametrize("body", COUNTED)
def test_tokens_are_counted_for_either_api(surface: World, body: dict[str, Any]) -> None:
    assert surface.send("POST", "/bedrock/model/sandbox%2Fx/count-tokens", body).json == {"inputTokens": 2}


KEYS = [
    ({"authorization": f"Bearer {KEY}"}, 200),
    ({"x-bf-vk": KEY}, 200),
    ({"x-api-key": KEY}, 200),
    ({**SIGNED, "x-bf-vk": KEY}, 200),
    ({**SIGNED, "x-api-key": KEY}, 200),
    (SIGNED, 401),
    ({}, 401),
]


@pytest.mark.parametrize("headers, status", KEYS)
def test_a_signature_is_no_key(surface: World, headers: dict[str, str], status: int) -> None:
    keyless = World(surface.gateway, surface.upstream)
    answer = keyless.send("POST", "/bedrock/model/sandbox%2Fx/converse", converse_body(), headers)
    assert answer.status == status
    if status == 401:
        assert ("AWS4-HMAC-SHA256" in answer.json["message"]) is bool(headers)


def test_an_open_gateway_ignores_a_signature() -> None:
    with running_world() as world:
        assert (
            world.send("POST", "/bedrock/model/sandbox%2Fx/converse", converse_body(), SIGNED).status == 200
        )


PLACE = "/bedrock/model/sandbox%2Fx"
REFUSED = [
    ("POST", f"{PLACE}/converse", converse_body(), None, 401, "AccessDeniedException"),
    ("GET", "/bedrock/nothing", None, None, 401, "AccessDeniedException"),
    ("GET", "/bedrock/nothing", None, KEY, 404, "ResourceNotFoundException"),
    ("GET", f"{PLACE}/converse", None, KEY, 405, "ValidationException"),
    ("POST", f"{PLACE}/guess", converse_body(), KEY, 404, "ResourceNotFoundException"),
    ("POST", f"{PLACE}/converse", b"{", KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/converse", {}, KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/converse", {"messages": [5]}, KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/converse-stream", {"messages": 5}, KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/converse-stream", converse_body("fail with 429"), KEY, 429, "ThrottlingException"),
    ("POST", f"{PLACE}/invoke", {"prompt": "x"}, KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/invoke", {**CLAUDE, "messages": [5]}, KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/invoke-with-response-stream", {"inputText": "x"}, KEY, 400, "ValidationException"),
    ("POST", f"{PLACE}/count-tokens", {"input": {}}, KEY, 400, "ValidationException"),
    ("GET", "/bedrock/foundation-models/sandbox%2Fno", None, KEY, 404, "ResourceNotFoundException"),
]


@pytest.mark.parametrize("method, path, body, key, status, name", REFUSED)
def test_errors_have_awss_form(
    surface: World, method: str, path: str, body: Any, key: str | None, status: int, name: str
) -> None:
    answer = World(surface.gateway, surface.upstream, key).send(method, path, body)
    assert (answer.status, set(answer.json)) == (status, {"message"}), answer.body
    assert answer.headers["x-amzn-errortype"] == name


def test_models_are_listed_in_awss_form(surface: World) -> None:
    listed = surface.send("GET", "/bedrock/foundation-models?provider=sandbox").json["modelSummaries"]
    assert listed[0]["modelId"] == "sandbox/echo"
    one = surface.send("GET", "/bedrock/foundation-models/sandbox%2Fecho").json
    assert one == {"modelDetails": listed[0]}


def test_what_was_lost_is_in_a_header(surface: World) -> None:
    answer = surface.send("POST", f"{PLACE}/converse", converse_body(oddMember=1))
    (warning,) = json.loads(answer.headers["x-sluice-warnings"])
    assert warning["param"] == "oddMember"


def test_the_description_holds_the_surface(surface: World) -> None:
    paths = surface.send("GET", "/openapi.json").json["paths"]
    described = paths["/bedrock/model/{deployment}/converse-stream"]["post"]
    assert set(described["responses"]["200"]["content"]) == {"application/vnd.amazon.eventstream"}
