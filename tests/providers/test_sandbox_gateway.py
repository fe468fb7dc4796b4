"""The sandbox through the whole gateway: no key, no network, every generation wire behind it."""

import io
import json

import pytest

from app import create_app
from app.config_loading import load
from tests.traffic.chat_grammar import check_chat_stream
from tests.traffic.grammar import check_responses_stream

MODELS = ("echo", "chat-echo", "responses-echo", "messages-echo")
TOOL = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}
ROWS = {
    # what is said: the text that must be answered
    "say exactly: Hello, world": "Hello, world",
    "think: hm\nsay exactly: ok": "ok",
    "echo history": "user: echo history",
    "hello": "You said: hello",
    "stop at length\nsay exactly: cut": "cut",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    return create_app(load({"DATABASE_URL": f"sqlite:///{folder}/sluice.db"})).test_client()


def chat(client, text, model="echo", **members):
    body = {"model": f"sandbox/{model}", "messages": [{"role": "user", "content": text}], **members}
    return client.post("/v1/chat/completions", json=body)


def respond(client, said, model="echo", **members):
    return client.post("/v1/responses", json={"model": f"sandbox/{model}", "input": said, **members})


def output_text(body):
    return "".join(
        part.get("text", "")
        for item in body["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


def events_of(answer):
    return [
        json.loads(data) if (data := line.removeprefix("data: ")) != "[DONE]" else data
        for line in answer.get_data(as_text=True).splitlines()
        if line.startswith("data: ")
    ]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("text", ROWS)
def test_chat_and_responses_say_the_same(client, model, text):
    chatted, responded = chat(client, text, model).get_json(), respond(client, text, model).get_json()
    assert chatted["choices"][0]["message"]["content"] == ROWS[text]
    assert output_text(responded) == ROWS[text]
    usage = responded["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens"] == chatted["usage"]["completion_tokens"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("text", [*ROWS, "call tool get_weather with city=Paris, days=3"])
def test_streams_keep_their_grammar_and_end(client, model, text):
    events = events_of(respond(client, text, model, stream=True, tools=[{"type": "function", **TOOL}]))
    assert check_responses_stream(events, ours=True) == []
    chunks = events_of(chat(client, text, model, stream=True, tools=[{"type": "function", "function": TOOL}]))
    assert check_chat_stream(chunks) == []
    assert chunks[-1] == "[DONE]"


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called_and_its_result_quoted_over_two_turns(client, model):
    tools = [{"type": "function", **TOOL}]
    first = respond(client, "call tool get_weather with city=Paris, days=3", model, tools=tools).get_json()
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris", "days": 3})
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}
    second = respond(client, [result], model, tools=tools, previous_response_id=first["id"]).get_json()
    assert output_text(second) == "The tool get_weather answered: 18 degrees"


@pytest.mark.parametrize("model", MODELS)
def test_a_refusal_is_seen(client, model):
    message = chat(client, "refuse", model).get_json()["choices"][0]["message"]
    assert "cannot help" in (message["refusal"] or message["content"])


@pytest.mark.parametrize(
    ("status", "shown"), [(400, 400), (401, 502), (404, 404), (429, 429), (500, 500), (503, 503)]
)
def test_failures_reach_the_client_as_those_of_any_provider(client, status, shown):
    answer = chat(client, f"fail with {status}")
    assert answer.status_code == shown
    assert "error" in answer.get_json()


def test_a_failure_midway_ends_the_stream_in_an_error(client):
    events = events_of(chat(client, "fail midway\nsay exactly: a b c d", stream=True))
    assert "error" in events[-1]
    assert any(event["choices"][0]["delta"].get("content") for event in events[:-1])
    assert chat(client, "fail midway").status_code == 500


def test_a_fallback_answers_where_only_the_first_model_fails(client):
    text = "fail with 503 for primary\nsay exactly: saved"
    answer = chat(client, text, "primary", fallbacks=["sandbox/backup"])
    assert (answer.status_code, answer.get_json()["choices"][0]["message"]["content"]) == (200, "saved")


def test_structured_output_fits_its_schema(client):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["a", "n"],
        "additionalProperties": False,
    }
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}
    assert json.loads(output_text(respond(client, "fill n=5", text=text).get_json())) == {
        "a": "some a",
        "n": 5,
    }


@pytest.mark.parametrize("strict", [False, True])
def test_a_forced_call_is_filled_as_structured_output_is(client, strict):
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["a", "n"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "name": "answer", "parameters": parameters, "strict": strict}
    answer = respond(client, "fill n=5", tools=[tool], tool_choice={"type": "function", "name": "answer"})
    (call,) = answer.get_json()["output"]
    assert json.loads(call["arguments"]) == {"a": "some a", "n": 5}


def test_spoken_words_come_back_as_a_transcript(client):
    spoken = client.post(
        "/v1/audio/speech", json={"model": "sandbox/speech", "input": "hello big world", "voice": "alloy"}
    )
    assert (spoken.status_code, spoken.content_type) == (200, "audio/wav")
    form = {"model": "sandbox/transcription", "file": (io.BytesIO(spoken.data), "a.wav")}
    assert client.post("/v1/audio/transcriptions", data=form).get_json()["text"] == "hello big world"


def test_embeddings_completions_and_models_are_served(client):
    vectors = client.post("/v1/embeddings", json={"model": "sandbox/e", "input": ["a", "b"], "dimensions": 8})
    assert [len(row["embedding"]) for row in vectors.get_json()["data"]] == [8, 8]
    completed = client.post(
        "/v1/completions", json={"model": "sandbox/x", "prompt": ["say exactly: a", "say exactly: b"]}
    )
    assert [choice["text"] for choice in completed.get_json()["choices"]] == ["a", "b"]
    assert "sandbox/echo" in {row["id"] for row in client.get("/v1/models").get_json()["data"]}


@pytest.mark.parametrize(
    ("path", "body", "what"),
    [
        ("chat/completions", {"n": 128, "text": "say exactly: " + "word " * 5_000}, "characters"),
        ("chat/completions", {"n": 8, "logprobs": True, "top_logprobs": 20, "text": "say exactly: " + "w " * 500},
         "log probabilities"),
        ("completions", {"prompt": ["hello"] * 100, "n": 100}, "choices"),
        ("embeddings", {"input": ["a"] * 2_000, "dimensions": 4_096}, "numbers"),
        ("embeddings", {"input": "word " * 250_000}, "characters"),
        ("audio/speech", {"input": "word " * 4_000, "voice": "alloy"}, "bytes of sound"),
    ],
)  # fmt: skip
def test_an_answer_larger_than_the_sandbox_makes_is_refused(client, path, body, what):
    if "text" in body:
        body["messages"] = [{"role": "user", "content": body.pop("text")}]
    answer = client.post(f"/v1/{path}", json={"model": "sandbox/echo", **body})
    assert answer.status_code == 400
    assert what in answer.json["error"]["message"]
    assert len(answer.data) < 2_000


def test_a_sandbox_that_is_switched_off_is_no_provider(tmp_path):
    settings = load({"DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db", "SLUICE_SANDBOX": "off"})
    client = create_app(settings).test_client()
    answer = chat(client, "hello")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "model_not_found")
    listed = client.get("/v1/models").json["data"]
    assert [entry for entry in listed if "sandbox" in entry["id"]] == []
