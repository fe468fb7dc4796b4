"""What each surface adds to an answer: ``extra_fields``, ``provider``, cost, warnings, headers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import ROLE as CHAT_ROLE
from tests.behaviour.world import Answer, World, chat_body, chat_end, chat_text
from tests.surfaces.test_mounts import FORM, PREFIXES, SAID
from tests.traffic.replay import Reply

ALWAYS = {
    "request_type": str,
    "provider": str,
    "model_requested": str,
    "original_model_requested": str,
    "model_deployment": str,
    "resolved_model_used": str,
    "latency": int,
    "chunk_index": int,
}
CALLS: dict[str, tuple[str, Any, dict[str, str]]] = {
    # request_type without _stream: path, body, headers
    "responses": ("/responses", {"input": "hi"}, {}),
    "chat_completion": ("/chat/completions", {"messages": SAID}, {}),
    "text_completion": ("/completions", {"prompt": "hi"}, {}),
    "embedding": ("/embeddings", {"input": "hi"}, {}),
    "moderation": ("/moderations", {"input": "hi"}, {}),
    "transcription": ("/audio/transcriptions", FORM, {"content-type": "multipart/form-data; boundary=b"}),
}
CALLS["translation"] = ("/audio/translations", *CALLS["transcription"][1:])
CALLS["image_generation"] = ("/images/generations", {"prompt": "hi", "size": "8x8"}, {})
STREAMS = {name: CALLS[name] for name in ("responses", "chat_completion", "text_completion")}
ENVELOPED = [prefix for prefix, mount in PREFIXES.items() if mount != "truefoundry"]
PLAIN = [prefix for prefix, mount in PREFIXES.items() if mount == "truefoundry"]


def ask(world: World, prefix: str, call: tuple[str, Any, dict[str, str]], **more: Any) -> Answer:
    path, body, headers = call
    sent = {"model": "sandbox/x", **body, **more} if isinstance(body, dict) else body
    return world.send("POST", prefix + path, sent, headers)


def events_of(answer: Answer) -> list[dict[str, Any]]:
    return [event for event in answer.events if event != "[DONE]"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("prefix", ENVELOPED)
def test_every_json_answer_has_the_whole_envelope(world: World, prefix: str, name: str) -> None:
    answer = ask(world, prefix, CALLS[name])
    fields = answer.json["extra_fields"]
    assert {key: type(fields[key]) for key in ALWAYS} == ALWAYS
    assert (fields["request_type"], fields["provider"], fields["chunk_index"]) == (name, "sandbox", 0)
    assert "warnings" not in fields
    assert "attempts" not in fields
    assert "cache_debug" not in fields
    if name == "responses":
        assert fields["model_params"] == {}
        assert fields["billed_usage"] == {"prompt_tokens": 1, "completion_tokens": 3}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("prefix", ENVELOPED)
def test_every_event_of_a_stream_has_it_too(world: World, prefix: str, name: str) -> None:
    events = events_of(ask(world, prefix, STREAMS[name], stream=True))
    for index, event in enumerate(events):
        fields = event["extra_fields"]
        assert {key: type(fields[key]) for key in ALWAYS} == ALWAYS
        assert (fields["request_type"], fields["chunk_index"]) == (f"{name}_stream", index)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("prefix", PLAIN)
def test_the_other_envelope_is_one_member(world: World, prefix: str, name: str) -> None:
    answer = ask(world, prefix, CALLS[name])
    assert answer.json["provider"] == "sandbox"
    assert "extra_fields" not in answer.json
    assert answer.headers["x-tfy-resolved-model"] == "x"
    if name in STREAMS:
        streamed = ask(world, prefix, STREAMS[name], stream=True)
        assert streamed.headers["x-tfy-resolved-model"] == "x"
        assert not [event for event in events_of(streamed) if "extra_fields" in event]


@pytest.mark.parametrize("prefix", PLAIN)
def test_sound_tells_the_model_that_made_it(world: World, prefix: str) -> None:
    body = {"model": "sandbox/x", "input": "hi", "voice": "alloy"}
    for more in ({}, {"stream_format": "sse"}):
        answer = world.send("POST", f"{prefix}/audio/speech", {**body, **more})
        assert (answer.status, answer.headers["x-tfy-resolved-model"]) == (200, "x")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_pages_own_members_are_on_two_surfaces_only(world: World, prefix: str) -> None:
    own = {"conversation_id", "stop_reason", "stop_sequence", "finish_reason", "created"}
    shown = own & set(ask(world, prefix, CALLS["responses"]).json)
    assert shown == (own if PREFIXES[prefix] in ("unified", "azure") else set())


def test_latency_is_the_upstreams_whole_and_the_gaps_between(world: World) -> None:
    body = {"input": "take 1 seconds. say exactly: one two three four five"}
    whole = ask(world, "/v1", ("/responses", body, {})).json["extra_fields"]["latency"]
    assert 900 <= whole <= 5000
    latencies = [
        e["extra_fields"]["latency"]
        for e in events_of(ask(world, "/v1", ("/responses", body, {}), stream=True))
    ]
    assert 900 <= latencies[-1] <= 5000
    assert max(latencies[:-1]) < latencies[-1]
    assert sum(latencies[:-1]) <= latencies[-1] + 1500


def test_warnings_are_in_the_first_and_the_last_event_only(world: World) -> None:
    call = ("/responses", {"input": "hi", "no_such_member": 1, "prompt_cache_retention": "24h"}, {})
    whole = ask(world, "/v1", call).json["extra_fields"]["warnings"]
    assert {"no_such_member"} <= {row["param"] for row in whole}
    assert all(set(row) == {"param", "message"} for row in whole)
    events = events_of(ask(world, "/v1", call, stream=True))
    told = [index for index, event in enumerate(events) if "warnings" in event["extra_fields"]]
    assert told == [0, len(events) - 1]
    assert events[0]["extra_fields"]["warnings"] == events[-1]["extra_fields"]["warnings"] == whole


def test_attempts_are_told_when_there_was_more_than_one(world: World) -> None:
    fails = {"input": "fail with 503 for first. say exactly: saved", "fallbacks": ["sandbox/second"]}
    for stream in (False, True):
        answer = ask(world, "/v1", ("/responses", {**fails, "model": "sandbox/first", "stream": stream}, {}))
        assert answer.status == 200
        fields = events_of(answer)[-1]["extra_fields"] if stream else answer.json["extra_fields"]
        rows = fields["attempts"]
        assert [(row["model"], row["status"]) for row in rows][-1] == ("second", 200)
        assert rows[0] == {**rows[0], "provider": "sandbox", "model": "first", "key": None, "status": 503}
        assert all(isinstance(row["latency"], int) for row in rows)
        assert answer.headers["x-sluice-attempts"] == str(len(rows))


# --- cost -----------------------------------------------------------------------------------------

PRICE = {"input_tokens_cost": 3.0, "output_tokens_cost": 4.0, "total_cost": 7.0, "source": "config"}


def _priced(usage: dict[str, Any], *, page_003: bool = False) -> dict[str, Any]:
    """The cost object: beside the number, or in its place where page 003 shows it so."""
    assert ("cost_details" in usage) is not page_003
    if not page_003:
        assert usage["cost"] == usage["cost_details"]["total_cost"]
    cost = usage["cost"] if page_003 else usage["cost_details"]
    return {name: cost[name] for name in PRICE}


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/api/llm"])
def test_the_cost_is_one_figure_everywhere(world: World, prefix: str) -> None:
    """3 tokens in at 1 dollar, 2 out at 2 dollars, as the operator's file says."""
    model = {"model": "mine/my-own-model"}
    world.upstream.add(Reply.json(chat_body("good")), times=2)
    answer = world.send("POST", f"{prefix}/responses", {**model, "input": "hi"})
    assert _priced(answer.json["usage"]) == PRICE
    assert answer.headers["x-sluice-cost"] == "7"
    for surface in PREFIXES:
        fetched = world.send("GET", f"{surface}/responses/{answer.json['id']}").json
        assert fetched["usage"] == answer.json["usage"]
    chat = world.send("POST", f"{prefix}/chat/completions", {**model, "messages": SAID})
    assert _priced(chat.json["usage"], page_003=prefix == "/openai/v1") == PRICE
    assert chat.headers["x-sluice-cost"] == "7"


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/api/llm"])
def test_the_cost_of_a_stream_comes_with_the_final_usage(world: World, prefix: str) -> None:
    stream = CHAT_ROLE + chat_text("good") + chat_end()
    world.upstream.add(Reply.sse(stream), times=2)
    model = {"model": "mine/my-own-model", "stream": True}
    last = events_of(world.send("POST", f"{prefix}/responses", {**model, "input": "hi"}))[-1]
    assert _priced(last["response"]["usage"]) == PRICE
    stored = world.send("GET", f"/openai/v1/responses/{last['response']['id']}").json
    assert stored["usage"] == last["response"]["usage"]
    options = {"stream_options": {"include_usage": True}}
    chunk = events_of(
        world.send("POST", f"{prefix}/chat/completions", {**model, **options, "messages": SAID})
    )[-1]
    assert _priced(chunk["usage"], page_003=prefix == "/openai/v1") == PRICE


def test_an_unknown_price_is_null_and_never_zero(world: World) -> None:
    for name in ("responses", "chat_completion", "text_completion", "embedding"):
        answer = ask(world, "/v1", CALLS[name])
        assert answer.json["usage"]["cost"] is None
        assert "x-sluice-cost" not in answer.headers


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_tells_who_gave_it(world: World, prefix: str, stream: bool) -> None:
    answer = ask(world, prefix, CALLS["responses"], stream=stream)
    headers = {
        name: answer.headers[f"x-sluice-{name}"] for name in ("provider", "model", "cache", "attempts")
    }
    assert headers == {"provider": "sandbox", "model": "x", "cache": "off", "attempts": "1"}
    assert answer.headers["server-timing"].startswith("gateway;dur=")
    assert "upstream;dur=" in answer.headers["server-timing"]
    assert answer.headers["cache-control"] == ("no-cache, no-transform" if stream else "no-store")
    assert ("apim-request-id" in answer.headers) is prefix.startswith("/openai")
    given = world.send("GET", f"{prefix}/models?provider=sandbox", None, {"x-request-id": "my-id-1"})
    assert given.headers["x-request-id"] == "my-id-1"


def test_failed_calls_tell_where_they_were_tried(world: World) -> None:
    answer = ask(world, "/v1", ("/responses", {"input": "fail with 400"}, {}))
    assert answer.status == 400
    assert answer.headers["x-sluice-provider"] == "sandbox"
    assert answer.headers["x-sluice-model"] == "x"
    assert answer.headers["x-sluice-attempts"] == "1"
    assert answer.headers["server-timing"]


# --- errors ---------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[dict[str, Any], int, str | None, str | None]] = {
    # what is wrong: body, status, code, param
    "no input": ({"input": None}, 400, None, None),
    "unknown model": ({"model": "nowhere"}, 400, "model_not_found", "model"),
    "wrong type": ({"stream": "true"}, 400, "invalid_type", "stream"),
    "deep type": ({"input": [{"role": "user", "content": 5}]}, 400, "invalid_type", "input[0].content"),
    "below minimum": ({"max_output_tokens": 1}, 400, "integer_below_min_value", "max_output_tokens"),
    "above maximum": ({"temperature": 3}, 400, "decimal_above_max_value", "temperature"),
    "not in list": ({"truncation": "maybe"}, 400, "invalid_value", "truncation"),
    "upstream refuses": ({"input": "fail with 422"}, 422, None, None),
    "upstream fails": ({"input": "fail with 500"}, 500, "server_error", None),
    "unknown parent": (
        {"previous_response_id": "resp_" + "0" * 48},
        400,
        "previous_response_not_found",
        "previous_response_id",
    ),
}


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/openai/deployments/sandbox/x", "/api/llm"])
@pytest.mark.parametrize("what", [name for name in REFUSALS if name != "no input"])
def test_an_error_has_one_shape_and_its_surfaces_envelope(world: World, what: str, prefix: str) -> None:
    members, status, code, param = REFUSALS[what]
    if what == "unknown model" and prefix != "/v1":
        return  # a bare name has a default there; test_model_strings.py has the others
    body = {"model": "sandbox/x", "input": "hi", **members}
    answer = world.send("POST", f"{prefix}/responses", body)
    assert answer.status == status, answer.body
    error = answer.error
    assert {"message", "type", "param", "code"} <= set(error)
    if code is not None:
        assert (error["code"], error["param"]) == (code, param)
    if PREFIXES.get(prefix, "azure") == "truefoundry":
        assert set(answer.json) == {"error"}
        return
    assert set(answer.json) == {"error", "is_bifrost_error", "status_code", "extra_fields"}
    assert answer.json["status_code"] == status
    assert isinstance(answer.json["is_bifrost_error"], bool)
    assert set(ALWAYS) <= set(answer.json["extra_fields"])


def test_all_faults_are_listed_and_the_first_leads(world: World) -> None:
    body = {"model": "sandbox/x", "input": [{"role": "user", "content": 5}], "stream": "no", "top_p": 7}
    error = world.send("POST", "/v1/responses", body).error
    assert next(row["param"] for row in error["details"]) == error["param"]
    assert {row["param"] for row in error["details"]} == {"input[0].content", "stream", "top_p"}


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        (
            "/v1/responses",
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        ("/v1/completions", {"prompt": 5}, "prompt"),
        ("/v1/embeddings", {"input": 5}, "input"),
    ],
)
def test_a_fault_that_stands_alone_is_listed_too(
    world: World, path: str, members: dict[str, Any], param: str
) -> None:
    error = world.send("POST", path, {"model": "sandbox/x", **members}).error
    assert error["param"] == param
    assert error["details"] == [{name: error[name] for name in ("message", "param", "code")}]


def test_the_list_of_models_is_enveloped(world: World) -> None:
    fields = world.send("GET", "/v1/models?provider=sandbox").json["extra_fields"]
    assert set(ALWAYS) <= set(fields)
    assert (fields["request_type"], fields["provider"]) == ("list_models", "sandbox")
    assert "extra_fields" not in world.send("GET", "/api/llm/models?provider=sandbox").json


def test_one_model_is_enveloped_and_so_is_its_refusal(world: World) -> None:
    fields = world.send("GET", "/v1/models/sandbox/echo").json["extra_fields"]
    assert set(ALWAYS) <= set(fields)
    assert (fields["request_type"], fields["provider"]) == ("list_models", "sandbox")
    assert "extra_fields" not in world.send("GET", "/api/llm/models/sandbox/echo").json
    refused = world.send("GET", "/v1/models/nobody-has-this")
    assert refused.status == 404
    assert refused.json["extra_fields"]["request_type"] == "list_models"


def test_a_count_for_no_model_names_none(world: World) -> None:
    answer = world.send("POST", "/v1/responses/input_tokens", {"input": "one two"}).json
    assert answer["estimated"] is True
    fields = answer["extra_fields"]
    assert (fields["model_requested"], fields["original_model_requested"]) == (None, None)


def test_a_background_stream_is_the_bare_log(world: World) -> None:
    events = ask(world, "/v1", CALLS["responses"], stream=True, background=True).events
    assert events[-1]["type"] == "response.completed"
    assert not [event for event in events if "extra_fields" in event or "obfuscation" in event]
    made = events[-1]["response"]["id"]
    for surface in PREFIXES:
        assert (
            world.send("GET", f"{surface}/responses/{made}?stream=true&include_obfuscation=true").events
            == events
        )
