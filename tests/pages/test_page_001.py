"""Page 001: ``POST /v1/responses``, the unified surface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World
from tests.pages.quoting import SIXTEEN, folded, members, misfits, page, quoted
from tests.pages.responses_pages import (
    ECHOED,
    EXTRA_FIELDS,
    GIVEN,
    OWN_MEMBERS,
    REQUEST,
    REQUEST_TYPES,
    SHAPE,
    TOOL_CHOICES,
)

PATH = "/v1/responses"
MODEL = "sandbox/page"


def ask(world: World, **body: Any) -> Any:
    """Post a body to the page's address and return the answer."""
    return world.send("POST", PATH, {"model": MODEL, "input": "say exactly: hello", **body})


def test_the_quotes_are_the_pages(shared_dir: Path) -> None:
    text = page(shared_dir, "001")
    assert "--request POST --url http://localhost:8080/v1/responses" in text.replace("\\ ", "")
    for quote in (REQUEST, EXTRA_FIELDS, OWN_MEMBERS):
        assert folded(quote) in text
    assert TOOL_CHOICES in text


def test_every_member_of_the_page_is_given_a_value_here() -> None:
    named = set(quoted(REQUEST))
    tested = {
        *GIVEN,
        "model",
        "stream",
        "background",
        "conversation",
        "previous_response_id",
        "stream_options",
    }
    assert named == tested


@pytest.mark.parametrize("member", GIVEN)
def test_each_member_of_the_request_is_accepted(world: World, member: str) -> None:
    answer = ask(world, **{member: GIVEN[member]})
    assert answer.status == 200, answer.body
    assert misfits(answer.json, SHAPE) == []


def test_all_members_together_are_accepted_and_echoed(world: World) -> None:
    answer = ask(world, **GIVEN).json
    assert misfits(answer, SHAPE) == []
    assert {name: answer[name] for name in ECHOED} == ECHOED
    assert answer["reasoning"]["effort"] == "low"
    assert answer["tools"][0]["name"] == "get_weather"  # echoed flat, in the form of this surface


@pytest.mark.parametrize("choice", TOOL_CHOICES.split(", "))
def test_every_tool_choice_of_the_page_is_accepted(world: World, choice: str) -> None:
    answer = ask(world, tools=GIVEN["tools"], tool_choice=choice, input="call tool get_weather").json
    called = any(item["type"] == "function_call" for item in answer["output"])
    assert called is (choice != "none")


def test_stream_and_its_options(world: World) -> None:
    events = ask(world, stream=True, stream_options={"include_usage": True}).events
    assert events[-1]["type"] == "response.completed"
    assert [event["extra_fields"]["chunk_index"] for event in events] == list(range(len(events)))
    assert {event["extra_fields"]["request_type"] for event in events} == {"responses_stream"}
    assert events[-1]["response"]["usage"]["total_tokens"] > 0
    assert events[-1]["extra_fields"]["billed_usage"]["prompt_tokens"] > 0


def test_background_conversation_and_previous_response(world: World) -> None:
    queued = ask(world, background=True).json
    assert queued["status"] == "queued"
    assert queued["background"] is True
    conversation = world.send("POST", "/v1/conversations", {}).json["id"]
    first = ask(world, conversation=conversation, input="say exactly: I am Ann").json
    assert first["conversation_id"] == conversation
    second = ask(world, conversation={"id": conversation}, input="echo history").json
    assert "I am Ann" in json.dumps(second["output"])
    follows = ask(world, previous_response_id=first["id"], input="echo history").json
    assert "I am Ann" in json.dumps(follows["output"])
    assert follows["previous_response_id"] == first["id"]


def test_text_max_tokens_limits_the_answer_when_nothing_else_does(world: World) -> None:
    words = "say exactly: " + " ".join(["word"] * 40)
    cut = ask(world, text={"max_tokens": 5}, input=words).json
    assert (cut["status"], cut["finish_reason"]) == ("incomplete", "length")
    whole = ask(world, text={"max_tokens": 5}, max_output_tokens=200, input=words).json
    assert (whole["status"], whole["finish_reason"]) == ("completed", "stop")


@pytest.mark.parametrize(
    "prompt, reason",
    [("say exactly: a", "stop"), ("stop at length", "length"), ("call tool get_weather", "tool_calls")],
)
def test_the_pages_own_members_tell_why_it_ended(world: World, prompt: str, reason: str) -> None:
    answer = ask(world, input=prompt, tools=GIVEN["tools"]).json
    assert answer["finish_reason"] == reason
    assert answer["created"] == answer["created_at"]


def test_model_params_are_those_in_effect(world: World) -> None:
    assert ask(world).json["extra_fields"]["model_params"] == {}
    answer = ask(world, temperature=0.7, top_p=0.9, max_output_tokens=1000, tools=GIVEN["tools"])
    params = answer.json["extra_fields"]["model_params"]
    (tool,) = params["tools"]
    assert {**params, "tools": []} == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 1000, "tools": []}
    assert (tool["type"], tool["function"]["name"]) == ("function", "get_weather")
    limited = ask(world, text={"max_tokens": 50}).json["extra_fields"]["model_params"]
    assert limited == {"max_tokens": 50}
    known = {path.partition("model_params.")[2] for path in members(quoted("{" + EXTRA_FIELDS + "}"))}
    assert set(params) <= known


def test_billed_usage_is_what_the_usage_says(world: World) -> None:
    answer = ask(world).json
    assert answer["extra_fields"]["billed_usage"] == {
        "prompt_tokens": answer["usage"]["input_tokens"],
        "completion_tokens": answer["usage"]["output_tokens"],
    }


def test_nothing_duplicates_the_output(world: World) -> None:
    answer = ask(world).json
    assert not {"choices", "data", "speech", "transcribe", "messages", "output_text"} & set(answer)


@pytest.mark.parametrize("name", ["raw_request", "raw_response"])
def test_the_raw_exchange_comes_only_when_asked_for(world: World, name: str) -> None:
    assert name not in ask(world).json["extra_fields"]
    header = {"x-bf-send-back-" + name.replace("_", "-"): "true"}
    extra_fields = world.send("POST", PATH, {"model": MODEL, "input": "hi"}, header).json["extra_fields"]
    assert isinstance(extra_fields[name], dict)
    assert {"raw_request", "raw_response"} & set(extra_fields) == {name}
    assert {"raw_request", "raw_response"} & set(extra_fields) == {name}


def test_the_raw_exchange_of_a_stream_is_in_its_last_event(world: World) -> None:
    header = {"x-bf-send-back-raw-request": "true", "x-bf-send-back-raw-response": "true"}
    body = {"model": MODEL, "input": "say exactly: raw words", "stream": True}
    last = world.send("POST", PATH, body, header).events[-1]["extra_fields"]
    assert last["raw_request"]["messages"][-1]["content"] == "say exactly: raw words"
    assert last["raw_response"].startswith("data: ")
    assert last["raw_response"].rstrip().endswith("data: [DONE]")


def _form(**fields: str) -> tuple[bytes, dict[str, str]]:
    boundary = "pageboundary"
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = b"".join(parts) + head.encode() + b"RIFF0000\r\n" + f"--{boundary}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


SAID = [{"role": "user", "content": "hi"}]
CALLS: dict[str, tuple[str, str, Any]] = {
    # request_type: method, path below /v1, body
    "list_models": ("GET", "/models", None),
    "text_completion": ("POST", "/completions", {"prompt": "hi"}),
    "chat_completion": ("POST", "/chat/completions", {"messages": SAID}),
    "chat_completion_stream": ("POST", "/chat/completions", {"messages": SAID, "stream": True}),
    "responses": ("POST", "/responses", {"input": "hi"}),
    "responses_stream": ("POST", "/responses", {"input": "hi", "stream": True}),
    "embedding": ("POST", "/embeddings", {"input": "hi"}),
    "speech": ("POST", "/audio/speech", {"input": "hi", "voice": "alloy", "speed": 99}),
    "speech_stream": ("POST", "/audio/speech", {"input": "hi", "voice": "alloy", "stream_format": "sse"}),
    "transcription": ("POST", "/audio/transcriptions", _form(model="sandbox/x")),
    "transcription_stream": ("POST", "/audio/transcriptions", _form(model="sandbox/x", stream="true")),
}


@pytest.mark.parametrize("name", REQUEST_TYPES.split(", "))
def test_every_request_type_of_the_page_is_told(world: World, name: str) -> None:
    method, path, body = CALLS[name]
    if isinstance(body, tuple):
        answer = world.send(method, f"/v1{path}", body[0], body[1])
    else:
        answer = world.send(method, f"/v1{path}", body and {"model": "sandbox/x", **body})
    if name.endswith("_stream"):
        shown = [event["extra_fields"]["request_type"] for event in answer.events if event != "[DONE]"]
        assert set(shown) == {name}
    else:  # speech answers bytes; its JSON is an error's
        assert answer.json["extra_fields"]["request_type"] == name


@pytest.mark.parametrize("provider", SIXTEEN)
def test_every_provider_of_the_page_is_recognised(world: World, provider: str) -> None:
    answer = ask(world, model=f"{provider}/model")
    if provider in ("openai", "groq", "anthropic", "perplexity", "elevenlabs", "ollama", "sgl"):
        assert answer.status != 200
        assert answer.error["code"] != "model_not_found"
        return
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == ("provider_not_configured", "model")
    assert provider.upper() in answer.error["message"].upper()
