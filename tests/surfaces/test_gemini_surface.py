"""Google's API as a surface: Gemini's paths and Vertex's, verbs, streams, keys, errors and lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, chat_body, chat_chunk, running_world
from tests.traffic.frames import sse
from tests.traffic.replay import Reply

KEY = "sk-surface-0123456789"
ENV = {
    "SLUICE_KEYS": f"ann:{KEY}",
    "GEMINI_API_KEY": "gemini-key",
    "GEMINI_BASE_URL": "{upstream}/gemini",
    "VERTEX_ACCESS_TOKEN": "vertex-token",
    "VERTEX_PROJECT": "pp",
    "VERTEX_LOCATION": "us-east5",
    "VERTEX_BASE_URL": "{upstream}/vertex",
}
GEMINI = [
    *(
        f"{surface}{version}"
        for surface in ("/genai", "/gemini")
        for version in ("/v1beta", "/v1", "/v1alpha", "")
    ),
    *("/v1beta", "/v1", "/v1alpha"),
]
VERTEX = [
    f"{surface}{version}{place}"
    for surface in ("/genai", "/gemini")
    for version in ("/v1", "/v1beta1")
    for place in ("", "/projects/p/locations/us-east5")
]
GOOD = {
    "candidates": [
        {
            "content": {"parts": [{"text": "good"}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "NEGLIGIBLE"}],
            "groundingMetadata": {"webSearchQueries": ["a"]},
        }
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r1",
}


def contents(text: str = "say exactly: hello", **more: Any) -> dict[str, Any]:
    """Return a body that says ``text``."""
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def chunks(answer: Answer) -> list[dict[str, Any]]:
    """Return the chunks of a stream in either framing."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        return [json.loads(frame.data) for frame in sse(answer.body)]
    found: list[dict[str, Any]] = json.loads(answer.body)
    return found


def text_of(answer: Answer) -> str:
    """Return the text of an answer, whole or streamed."""
    parts = [
        part
        for chunk in (
            chunks(answer) if answer.body[:1] == b"[" or b"data:" in answer.body[:5] else [answer.json]
        )
        for candidate in chunk.get("candidates", ())
        for part in candidate["content"]["parts"]
    ]
    return "".join(part.get("text", "") for part in parts)


SETTING = {"env": ENV, "key": KEY}


@pytest.mark.parametrize("prefix", GEMINI)
def test_every_prefix_answers_whole_and_streamed(surface: World, prefix: str) -> None:
    path = f"{prefix}/models/sandbox/x"
    assert text_of(surface.send("POST", f"{path}:generateContent", contents())) == "hello"
    assert text_of(surface.send("POST", f"{path}:streamGenerateContent", contents())) == "hello"
    assert text_of(surface.send("POST", f"{path}:streamGenerateContent?alt=sse", contents())) == "hello"


@pytest.mark.parametrize("prefix", VERTEX)
def test_a_publisher_is_a_provider(surface: World, prefix: str) -> None:
    path = f"{prefix}/publishers/sandbox/models/x"
    answer = surface.send("POST", f"{path}:generateContent", contents())
    assert (text_of(answer), answer.headers["x-sluice-provider"]) == ("hello", "sandbox")
    assert text_of(surface.send("POST", f"{path}:streamGenerateContent?alt=sse", contents())) == "hello"


STRINGS = [
    ("/v1beta/models/sandbox/x", "sandbox", "x"),
    ("/v1beta/models/sandbox%2Fx", "sandbox", "x"),
    ("/v1beta/models/sandbox/a%3Ab", "sandbox", "a:b"),
    ("/v1beta/models/sandbox/a:b", "sandbox", "a:b"),
    ("/v1beta/models/sandbox/a/b:generateContent", "sandbox", "a/b:generateContent"),
    ("/v1beta/models/models/sandbox/x", "sandbox", "x"),
    ("/v1beta/sandbox/x", "sandbox", "x"),  # as the AI SDK writes a name with a slash
    ("/genai/v1beta/sandbox/a/b", "sandbox", "a/b"),
    ("/genai/v1/publishers/sandbox/models/a/b", "sandbox", "a/b"),
]


@pytest.mark.parametrize("path, provider, model", STRINGS)
def test_a_path_holds_any_model_string(surface: World, path: str, provider: str, model: str) -> None:
    answer = surface.send("POST", f"{path}:generateContent", contents())
    assert (answer.status, text_of(answer)) == (200, "hello")
    assert (answer.headers["x-sluice-provider"], answer.headers["x-sluice-model"]) == (provider, model)


HOMES = [
    ("/v1beta/models/gemini-2.5-flash", "/gemini/models/gemini-2.5-flash"),
    (
        "/genai/v1beta1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash",
        "/vertex/v1/projects/pp/locations/us-east5/publishers/google/models/gemini-2.5-flash",
    ),
]


@pytest.mark.parametrize("path, upstream", HOMES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_body_passes_to_its_home_and_back_as_it_is(
    surface: World, path: str, upstream: str, stream: bool
) -> None:
    reply = Reply.sse(f"data: {json.dumps(GOOD)}\r\n\r\n".encode()) if stream else Reply.json(GOOD)
    surface.fresh().upstream.add(reply)
    body = contents(safety_settings=[{"category": "X"}], generationConfig={"odd": 1}, fallbacks=["sandbox/x"])
    verb = "streamGenerateContent" if stream else "generateContent"
    answer = surface.send("POST", f"{path}:{verb}", body)
    assert (chunks(answer) if stream else [answer.json]) == [GOOD]
    (request,) = surface.upstream.requests
    assert request.path.partition("?")[0] == f"{upstream}:{verb}"
    assert json.loads(request.body) == {name: value for name, value in body.items() if name != "fallbacks"}
    assert ("x-sluice-cost" in answer.headers) is not stream


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_answers_in_the_surfaces_dialect(surface: World, stream: bool) -> None:
    surface.fresh().upstream.add(Reply.json({"error": {"code": 503, "message": "no"}}, 503), times=2)
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    body = contents(fallbacks=["sandbox/x"])
    answer = surface.send("POST", f"/v1beta/models/gemini-2.5-flash:{verb}", body)
    assert (text_of(answer), answer.headers["x-sluice-provider"]) == ("hello", "sandbox")


def test_a_chat_only_provider_calls_functions_in_the_surfaces_words(surface: World) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    made = chat_body("")
    made["choices"][0] = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    surface.fresh().upstream.add(Reply.json(made))
    tools = [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}]
    answer = surface.send("POST", "/v1beta/models/groq/x:generateContent", contents(tools=tools))
    (part,) = answer.json["candidates"][0]["content"]["parts"]
    assert (part["functionCall"]["name"], part["functionCall"]["args"]) == ("f", {"a": 1})
    (request,) = surface.upstream.requests
    assert json.loads(request.body)["tools"][0]["function"]["name"] == "f"


@pytest.mark.parametrize("alt", ["?alt=sse", ""])
def test_a_broken_stream_ends_with_an_error_in_the_surfaces_form(surface: World, alt: str) -> None:
    surface.fresh().upstream.add(Reply.sse(chat_chunk({"role": "assistant", "content": "half"})))
    answer = surface.send("POST", f"/v1beta/models/groq/x:streamGenerateContent{alt}", contents())
    *good, last = chunks(answer)
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in good] == [[{"text": "half"}]]
    assert set(last) == {"error"}
    assert last["error"]["status"] == "UNAVAILABLE"


def test_a_silent_stream_is_kept_open_by_an_empty_line() -> None:
    env = {**ENV, "SLUICE_STATUS_AFTER": "0.2", "SLUICE_COMMENT_EVERY": "0.05"}
    with running_world(env, key=KEY) as world:
        for alt, kept in (("?alt=sse", b"\n\n\n"), ("", b"}\n")):
            path = f"/v1beta/models/sandbox/x:streamGenerateContent{alt}"
            answer = world.send("POST", path, contents("take 1 seconds"))
            assert kept in answer.body
            assert b"\n:" not in answer.body
            assert chunks(answer)[-1]["candidates"][0]["finishReason"] == "STOP"


PLACES = [
    ({"x-goog-api-key": KEY}, ""),
    ({"x-bf-vk": KEY}, ""),
    ({"authorization": f"Bearer {KEY}"}, ""),
    ({}, f"?key={KEY}"),
    ({}, f"?alt=json&key={KEY}"),
]


@pytest.mark.parametrize("headers, query", PLACES)
def test_a_key_counts_where_googles_clients_send_it(
    surface: World, headers: dict[str, str], query: str
) -> None:
    keyless = World(surface.gateway, surface.upstream)
    path = f"/v1beta/models/sandbox/x:generateContent{query}"
    assert keyless.send("POST", path, contents(), headers).status == 200


REFUSED = [
    ("POST", "/v1beta/models/sandbox/x:generateContent", contents(), None, 401, "UNAUTHENTICATED"),
    ("POST", "/v1beta/models/sandbox/x:generateContent?key=wrong", contents(), None, 401, "UNAUTHENTICATED"),
    ("GET", "/genai/nothing", None, None, 401, "UNAUTHENTICATED"),
    ("GET", "/genai/nothing", None, KEY, 404, "NOT_FOUND"),
    ("POST", "/v1beta/models/sandbox/x:guess", contents(), KEY, 404, "NOT_FOUND"),
    ("POST", "/v1/models/sandbox/x:guess", contents(), KEY, 404, "NOT_FOUND"),
    ("POST", "/v1beta/models/sandbox/x", contents(), KEY, 404, "NOT_FOUND"),
    ("POST", "/v1beta/models/sandbox/x:generateContent/more", contents(), KEY, 404, "NOT_FOUND"),
    ("POST", "/v1beta/models/a//b:generateContent", contents(), KEY, 404, "NOT_FOUND"),
    ("DELETE", "/v1beta/models", None, KEY, 405, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:generateContent", b"{", KEY, 400, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:generateContent", b"[]", KEY, 400, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:generateContent", {}, KEY, 400, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:generateContent", {"contents": 5}, KEY, 400, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:countTokens", {"contents": [5]}, KEY, 400, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:embedContent", {}, KEY, 400, "INVALID_ARGUMENT"),
    ("POST", "/v1beta/models/sandbox/x:batchEmbedContents", {}, KEY, 400, "INVALID_ARGUMENT"),
    ("GET", "/v1beta/models/sandbox/no-such", None, KEY, 404, "NOT_FOUND"),
    ("GET", "/v1beta/models?pageSize=x", None, KEY, 400, "INVALID_ARGUMENT"),
    (
        "POST",
        "/genai/v1/publishers/sandbox/models/count-tokens:rawPredict",
        {"messages": []},
        KEY,
        400,
        "INVALID_ARGUMENT",
    ),
    (
        "POST",
        "/v1beta/models/sandbox/x:streamGenerateContent?alt=sse",
        contents("fail with 429"),
        KEY,
        429,
        "RESOURCE_EXHAUSTED",
    ),
]


@pytest.mark.parametrize("method, path, body, key, status, word", REFUSED)
def test_errors_have_googles_form(
    surface: World, method: str, path: str, body: Any, key: str | None, status: int, word: str
) -> None:
    answer = World(surface.gateway, surface.upstream, key).send(method, path, body)
    assert (answer.status, set(answer.json)) == (status, {"error"}), answer.body
    assert (answer.json["error"]["code"], answer.json["error"]["status"]) == (status, word)
    assert "wrong" not in answer.json["error"]["message"]


def test_a_model_that_nobody_has_is_not_found() -> None:
    with running_world() as world:
        answer = world.send("POST", "/v1beta/models/no-such:generateContent", contents())
        assert (answer.status, answer.json["error"]["status"]) == (404, "NOT_FOUND")


COUNTED = [
    ("/v1beta/models/sandbox/x:countTokens", contents("one two"), {"totalTokens": 2}),
    (
        "/v1beta/models/sandbox/x:countTokens",
        {"generateContentRequest": {"model": "models/x", **contents("one two")}},
        {"totalTokens": 2},
    ),
    (
        "/genai/v1/publishers/sandbox/models/count-tokens:rawPredict",
        {"model": "x", "messages": [{"role": "user", "content": "one two"}]},
        {"input_tokens": 2},
    ),
]


@pytest.mark.parametrize("path, body, want", COUNTED)
def test_tokens_are_counted_in_the_form_of_the_question(
    surface: World, path: str, body: Any, want: dict[str, int]
) -> None:
    assert surface.send("POST", path, body).json == want


def test_vectors_come_in_the_form_of_the_question(surface: World) -> None:
    part = {"parts": [{"text": "hi"}]}
    models, published = "/v1beta/models/sandbox/x", "/genai/v1/publishers/sandbox/models/x"
    one = surface.send("POST", f"{models}:embedContent", {"content": part}).json["embedding"]["values"]
    batch = {"requests": [{"model": "models/x", "content": part}, {"content": part}]}
    many = surface.send("POST", f"{models}:batchEmbedContents", batch).json["embeddings"]
    assert [entry["values"] for entry in many] == [one, one]
    predicted = surface.send("POST", f"{published}:predict", {"instances": [{"content": "hi"}]}).json
    assert predicted["predictions"][0]["embeddings"]["values"] == one


def test_claudes_bodies_are_taken_below_their_publisher(surface: World) -> None:
    body = {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "say exactly: hello"}],
    }
    path = "/genai/v1/projects/p/locations/l/publishers/sandbox/models/x"
    assert surface.send("POST", f"{path}:rawPredict", body).json["content"] == [
        {"type": "text", "text": "hello"}
    ]
    streamed = surface.send("POST", f"{path}:streamRawPredict", {**body, "stream": True})
    events = [json.loads(frame.data) for frame in sse(streamed.body)]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")


def test_models_are_listed_in_googles_form(surface: World) -> None:
    listed = surface.send("GET", "/v1beta/models?provider=sandbox&pageSize=2").json
    assert [model["name"] for model in listed["models"]] == [
        "models/sandbox/echo",
        "models/sandbox/chat-echo",
    ]
    query = f"provider=sandbox&pageSize=1000&pageToken={listed['nextPageToken']}"
    further = surface.send("GET", f"/v1beta/models?{query}").json
    assert "nextPageToken" not in further
    assert further["models"][0]["name"] == "models/sandbox/responses-echo"
    assert surface.send("GET", "/v1beta/models/sandbox/echo").json == listed["models"][0]
    published = surface.send("GET", "/genai/v1beta1/publishers/sandbox/models").json
    assert published["publisherModels"][0]["name"] == "publishers/sandbox/models/echo"


def test_a_client_of_google_is_given_its_form_at_the_surface_of_all(surface: World) -> None:
    plain = surface.send("GET", "/v1/models?provider=sandbox").json
    assert plain["object"] == "list"
    google = surface.send("GET", "/v1/models?provider=sandbox", None, {"x-goog-api-client": "genai/3"}).json
    assert [model["name"] for model in google["models"]] == [f"models/{one['id']}" for one in plain["data"]]


def test_what_was_lost_is_in_a_header(surface: World) -> None:
    answer = surface.send("POST", "/v1beta/models/sandbox/x:generateContent", contents(oddMember=1))
    (warning,) = json.loads(answer.headers["x-sluice-warnings"])
    assert warning["param"] == "oddMember"


def test_the_description_holds_the_surface(surface: World) -> None:
    paths = surface.send("GET", "/openapi.json").json["paths"]
    described = paths["/v1beta/models/{deployment}:streamGenerateContent"]["post"]
    assert set(described["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"key": []} in described["security"]
