"""Bodies that pass: what goes out, what comes back, and every recorded exchange patched."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.canonical.request import Signature
from app.canonical.response import Usage
from app.dialects.base import ClientContext, PassThrough, ServerContext
from app.dialects.responses.compatibility import ResponsesOptions
from app.dialects.responses.dialect import DIALECT
from app.dialects.responses.echo import strip_encrypted
from app.dialects.responses.patch import ResponsesPatch, request_body, response_object
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.generic import passed_frames
from tests.dialects.openresponses import faults_of_event, faults_of_response
from tests.dialects.recorded import RESPONSES, reading_of
from tests.traffic import load
from tests.traffic.answers import Answer
from tests.traffic.grammar import check_responses_stream
from tests.traffic.load import Exchange, require
from tests.traffic.wires import responses as reader

ENCRYPTED = ["reasoning.encrypted_content"]


def wrap(signature: Signature) -> str:
    return f"ours:{signature.realm}:{signature.value}"


def unwrap(text: str) -> Signature | None:
    if not text.startswith("ours:"):
        return None
    _, realm, value = text.split(":", 2)
    return Signature(value, "responses", realm)


def passage(
    body: dict[str, Any],
    *,
    model: str = "m",
    losses: Losses | None = None,
    options: ResponsesOptions | None = None,
    expanded: dict[str, Any] | None = None,
) -> PassThrough:
    client = ClientContext(
        model, generic.counter(), 10, options, "here", losses=losses or Losses("responses")
    )
    server = ServerContext(generic.counter(), 10, response_id="resp_ours", wrap=wrap, unwrap=unwrap)
    return PassThrough(body, client, server, expanded)


def patch_body(body: dict[str, Any], **members: Any) -> tuple[dict[str, Any], list[str]]:
    losses = members.pop("losses", Losses("responses", target="'openai/m'"))
    patched = request_body(passage({"model": "openai/m", **body}, losses=losses, **members))
    return patched, [loss.param for loss in losses.items]


OUT = [
    # body, members of the patched body (None: absent), params warned of
    ({"input": "hi"}, {"model": "m", "input": "hi", "store": False, "include": ENCRYPTED}, []),
    ({"input": "hi", "store": True}, {"store": False}, []),
    ({"input": "hi", "include": ["file_search_call.results"]}, {"include": ["file_search_call.results", *ENCRYPTED]}, []),
    (
        {"input": "hi", "previous_response_id": "resp_1", "conversation": {"id": "c"}, "background": True, "fallbacks": ["x/y"]},
        {"previous_response_id": None, "conversation": None, "background": None, "fallbacks": None},
        [],
    ),
    ({"input": "hi", "unheard_of": {"a": [1]}, "metadata": {"k": "v"}}, {"unheard_of": {"a": [1]}, "metadata": {"k": "v"}}, []),
    ({"input": "hi", "text": {"max_tokens": 40, "verbosity": "low"}}, {"max_output_tokens": 40, "text": {"verbosity": "low"}}, []),
    ({"input": "hi", "max_output_tokens": 3}, {"max_output_tokens": 16}, ["max_output_tokens"]),
    ({"input": "hi", "stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "stream_options": None}, []),
    (
        {"input": "hi", "stream": True, "stream_options": {"include_obfuscation": False}},
        {"stream_options": {"include_obfuscation": False}},
        [],
    ),
    ({"input": "hi", "tool_choice": "any"}, {"tool_choice": "required"}, []),
    ({"input": "hi", "tool_choice": {"type": "tool"}}, {"tool_choice": "required"}, []),
    (
        {"input": "hi", "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"tools": [{"name": "f", "parameters": {}, "type": "function"}]},
        [],
    ),
    ({"input": "hi", "presence_penalty": 1, "seed": 5, "n": 1}, {"presence_penalty": None, "seed": None, "n": None}, ["presence_penalty", "seed"]),
    ({"input": "hi", "logprobs": 3}, {"logprobs": None, "top_logprobs": 3, "include": ["message.output_text.logprobs", *ENCRYPTED]}, []),
    ({"input": "hi", "reasoning": {"max_tokens": 1000}, "max_output_tokens": 2000}, {"reasoning": {"effort": "medium"}}, ["reasoning.max_tokens"]),
]  # fmt: skip


@pytest.mark.parametrize("body, members, warned", OUT)
def test_the_request_body(body: dict[str, Any], members: dict[str, Any], warned: list[str]) -> None:
    patched, params = patch_body(body)
    assert {name: patched.get(name) for name in members} == members
    assert params == warned


def test_chats_own_members_are_left_out_and_told() -> None:
    chats = {"max_tokens": 5, "verbosity": "low", "modalities": ["text"], "top_k": 3}
    patched, params = patch_body({"input": "hi", **chats})
    assert not set(chats) & set(patched)
    assert params == ["max_tokens", "verbosity", "top_k"]


def test_several_answers_are_refused() -> None:
    with pytest.raises(GatewayError) as raised:
        patch_body({"input": "hi", "n": 2})
    assert (raised.value.kind.name, raised.value.param) == ("unsupported_parameter", "n")


def test_the_expanded_history_takes_the_place_of_the_input() -> None:
    history = [{"type": "message", "role": "user", "content": "before"}, {"role": "user", "content": "now"}]
    patched, _ = patch_body({"input": "now", "previous_response_id": "resp_1"}, expanded={"input": history})
    assert patched["input"] == history


def reasoning(secret: str | None, **members: Any) -> dict[str, Any]:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], **members}
    return item if secret is None else {**item, "encrypted_content": secret}


CIPHERS = [
    # what the caller holds, what goes out, whether it was told
    (reasoning("ours:here:abc"), reasoning("abc"), False),
    (reasoning("theirs"), reasoning("theirs"), False),
    (reasoning("ours:elsewhere:abc"), None, True),
    (reasoning("ours:elsewhere:abc", summary=[{"type": "summary_text", "text": "so"}]), None, True),
    (reasoning(None, summary=[{"type": "summary_text", "text": "so"}]), None, True),
    ({"type": "compaction", "encrypted_content": "ours:here:abc"}, {"type": "compaction", "encrypted_content": "abc"}, False),
    ({"type": "compaction", "encrypted_content": "ours:elsewhere:abc"}, None, True),
]  # fmt: skip


@pytest.mark.parametrize("item, out, lost", CIPHERS)
def test_a_cipher_goes_to_its_own_realm_alone(
    item: dict[str, Any], out: dict[str, Any] | None, lost: bool
) -> None:
    after = {"type": "message", "role": "user", "content": "now"}
    patched, params = patch_body({"input": [item, after]})
    assert patched["input"] == [after] if out is None else [out, after]
    assert params == (["input"] if lost else [])


def test_ids_go_with_the_reasoning_that_is_left_out() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    bare = {name: value for name, value in call.items() if name != "id"}
    assert patch_body({"input": [reasoning("ours:elsewhere:abc"), call]})[0]["input"] == [bare]
    assert patch_body({"input": [reasoning("ours:here:abc"), call]})[0]["input"] == [reasoning("abc"), call]


def test_foreign_item_ids_cache_marks_and_names_stay_here() -> None:
    message = {"type": "message", "id": "chatcmpl-1", "role": "user", "name": "bob"}
    content = [{"type": "input_text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    patched, params = patch_body({"input": [{**message, "content": content}]})
    assert patched["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    ]
    assert params == ["input"]


@pytest.mark.parametrize(
    "model, asked, left",
    [
        ("gpt-4o", False, True), ("my-GPT-4.1-mini", False, True), ("openai/gpt-3.5-turbo", False, True),
        ("gpt-5-chat-latest", False, True), ("chatgpt-4o-latest", False, True), ("gpt35", False, True),
        ("gpt-5", True, False), ("o4-mini", True, False), ("gpt-5.4", True, False), ("prod", True, False), ("gpt-45", False, True),
    ],
)  # fmt: skip
def test_a_model_that_does_not_reason_is_not_asked_to(model: str, asked: bool, left: bool) -> None:
    losses = Losses("responses")
    body = {"input": "hi", "reasoning": {"effort": "low"}}
    patched = request_body(passage(body, model=model, losses=losses))
    assert (patched.get("include") == ENCRYPTED, [loss.param for loss in losses.items] == ["reasoning"]) == (
        asked,
        left,
    )


def test_what_a_provider_says_of_its_models_decides() -> None:
    options = ResponsesOptions(reasoning_models=re.compile("^o"), dropped_when_reasoning=frozenset({"top_p"}))
    patched, params = patch_body({"input": "hi", "top_p": 0.5}, options=options)
    assert ("include" in patched, patched["top_p"], params) == (False, 0.5, [])
    patched, params = patch_body(
        {"input": "hi", "top_p": 0.5, "reasoning": {"effort": "low"}}, options=options
    )
    assert ("include" in patched, "top_p" in patched, params) == (True, False, ["top_p"])


def test_the_text_of_reasoning_stays_here_where_it_is_refused() -> None:
    thought = reasoning("theirs", content=[{"type": "reasoning_text", "text": "hm"}])
    assert patch_body({"input": [thought]})[0]["input"] == [reasoning("theirs")]


CALLER = {
    "model": "openai/m",
    "input": "hi",
    "store": True,
    "previous_response_id": "resp_0",
    "conversation": "conv_1",
    "background": True,
    "metadata": {"k": "v"},
    "instructions": "be brief",
    "reasoning": {"effort": "low", "summary": "auto"},
    "top_logprobs": 2,
    "max_tool_calls": 3,
    "truncation": "auto",
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "tools": [
        {"type": "function", "function": {"name": "f"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://u:p@host:8443/secret?k=1", "authorization": "t", "headers": {"x": "y"}},
    ],
    "user": "me",
    "max_output_tokens": 77,
    "parallel_tool_calls": False,
}  # fmt: skip
ECHO = {
    "id": "resp_ours",
    "store": True,
    "previous_response_id": "resp_0",
    "conversation": {"id": "conv_1"},
    "background": True,
    "metadata": {"k": "v"},
    "instructions": "be brief",
    "reasoning": {"effort": "low", "summary": "auto"},
    "top_logprobs": 2,
    "max_tool_calls": 3,
    "truncation": "auto",
    "tool_choice": {"type": "function", "name": "f"},
    "tools": [
        {"type": "function", "description": None, "name": "f", "parameters": None, "strict": True},
        {
            "type": "mcp", "allowed_tools": None, "headers": {"x": "<redacted>"}, "require_approval": "always",
            "server_label": "s", "server_url": "https://host:8443/<redacted>", "authorization": "<redacted>",
        },
    ],
    "user": "me",
    "max_output_tokens": 77,
    "parallel_tool_calls": False,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
}  # fmt: skip
UPSTREAM = {
    "id": "resp_theirs", "object": "response", "created_at": 5, "status": "completed", "completed_at": 9, "model": "m-2026",
    "store": False, "background": False, "previous_response_id": None, "instructions": "other", "metadata": {},
    "reasoning": {"effort": "medium", "summary": "detailed"}, "top_logprobs": 0, "truncation": "disabled", "tools": [],
    "tool_choice": "auto", "user": None, "temperature": 0.7, "top_p": 0.98, "service_tier": "flex", "text": {"verbosity": "high"},
    "max_output_tokens": 9, "parallel_tool_calls": True, "content_filters": [1], "billing": {"payer": "x"}, "output_text": "no",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": []},
    ],
    "usage": {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 2, "total_tokens": 3, "cost": 0.5},
}  # fmt: skip


def reversed_(upstream: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    return response_object(upstream, passage(body))


def test_the_answer_echoes_the_caller_alone() -> None:
    shown = reversed_(UPSTREAM, CALLER)
    assert {name: shown[name] for name in ECHO} == ECHO
    assert {name: shown[name] for name in ("created_at", "completed_at", "model", "temperature", "top_p", "service_tier")} == {
        "created_at": 10, "completed_at": 9, "model": "m-2026", "temperature": 0.7, "top_p": 0.98, "service_tier": "flex",
    }  # fmt: skip
    assert (shown["content_filters"], shown["billing"], "output_text" in shown) == (
        [1],
        {"payer": "x"},
        False,
    )
    assert shown["output"][0]["encrypted_content"] == "ours:here:abc"
    assert shown["usage"] == {
        "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 3, "cost": 0.5,
    }  # fmt: skip
    assert faults_of_response(shown) == []


def test_defaults_fill_what_the_caller_left_out() -> None:
    shown = reversed_(UPSTREAM, {"model": "openai/m", "input": "hi"})
    assert (shown["created_at"], shown["store"], shown["instructions"], shown["truncation"]) == (
        10,
        True,
        None,
        "disabled",
    )
    assert (shown["reasoning"], shown["tools"], shown["max_output_tokens"]) == (
        {"effort": None, "summary": None},
        [],
        None,
    )
    assert "conversation" not in shown


def test_the_caller_sees_ciphers_only_when_it_asked() -> None:
    shown = reversed_(UPSTREAM, CALLER)
    assert "encrypted_content" not in strip_encrypted(shown, None)["output"][0]
    assert strip_encrypted(shown, ENCRYPTED) == shown
    assert shown["output"][0]["encrypted_content"] == "ours:here:abc"
    event = {
        "type": "response.output_item.done",
        "item": {"type": "reasoning", "encrypted_content": "x", "summary": []},
    }
    assert strip_encrypted(event, [])["item"] == {"type": "reasoning", "summary": []}
    assert strip_encrypted({"type": "response.completed", "response": shown}, [])[
        "response"
    ] == strip_encrypted(shown, [])
    kept = {"type": "compaction", "encrypted_content": "x"}
    assert strip_encrypted({"output": [kept]}, []) == {"output": [kept]}


def patch_of(exchange: Exchange, **members: Any) -> ResponsesPatch:
    body = exchange.request["body"]
    return ResponsesPatch(
        passage(body if isinstance(body, dict) else {"model": "m", "input": "hi"}, **members)
    )


def test_items_without_an_id_get_one_of_their_kind() -> None:
    patch = ResponsesPatch(passage({"model": "m", "input": "hi"}))
    call = {"type": "function_call", "id": None, "call_id": "c", "name": "f", "arguments": "{}"}
    output = [{"type": "message", "id": "msg_theirs", "content": []}, call]
    shown = patch.answer({"object": "response", "status": "completed", "output": output})
    assert shown["output"][0]["id"] == "msg_theirs"
    assert shown["output"][1]["id"].startswith("fc")


@pytest.mark.parametrize("exchange", load.params(RESPONSES.bodies))
def test_a_recorded_answer_passes_whole(exchange: Exchange) -> None:
    upstream = exchange.json()
    shown = patch_of(exchange).answer(upstream)
    assert answer_of(shown) == answer_of(upstream)
    if shown["status"] in ("completed", "failed", "incomplete"):
        assert faults_of_response(shown) == []
    kept = set(upstream) - {
        "output_text",
        "conversation",
        "prompt",
        "status_details",
        "tool_calls",
        "total_tokens",
    }
    assert kept <= set(shown)


def answer_of(response: dict[str, Any]) -> Answer:
    """What an answer says, our wrapping and our id undone."""
    answer = reader.from_object({**response, "status": response.get("status") or "completed"})
    choice = answer.choices[0]
    choice.signatures = [text.removeprefix("ours:here:") for text in choice.signatures]
    answer.id = answer.usage = None
    return answer


@pytest.mark.parametrize("exchange", load.params(RESPONSES.streams))
def test_a_recorded_stream_passes_in_order(exchange: Exchange) -> None:
    patch = patch_of(exchange)
    frames = passed_frames(patch, RESPONSES.told_frames(exchange))
    events = [frame.data for frame in frames]
    if reading_of(exchange).error is not None:
        return
    upstream = [frame.data for frame in RESPONSES.told_frames(exchange)]
    assert set(check_responses_stream(events)) <= set(check_responses_stream(upstream))
    steps = iter(event["type"] for event in events)  # a step that was left out may come in between
    assert all(event["type"] in steps for event in upstream)
    assert patch.final == events[-1]["response"]
    assert not any("obfuscation" in event for event in events)
    assert [fault for event in events for fault in faults_of_event(event)] == []
    assert {event["response"]["id"] for event in events if "response" in event} == {"resp_ours"}


@pytest.mark.parametrize("exchange", load.params(RESPONSES.streams[:6]))
def test_a_passed_stream_that_breaks_off_ends_in_one_failure(exchange: Exchange) -> None:
    frames = RESPONSES.told_frames(exchange)
    for end in range(0, len(frames), max(1, len(frames) // 8)):
        patch = patch_of(exchange)
        shown = passed_frames(patch, frames[:end])
        shown += patch.fail(GatewayError("upstream_cut", "Cut.")) if patch.final is None else []
        if end >= 2:
            assert check_responses_stream([frame.data for frame in shown], ours=True) == []
        assert patch.final is not None
        assert (patch.final["status"], patch.final["error"]["message"]) == ("failed", "Cut.")
        assert passed_frames(patch, frames[-1:]) == []


def test_what_was_said_before_the_break_is_shown_as_incomplete() -> None:
    exchange = load.exchange("openai-responses_stream-dd7156046f0b")
    frames = [frame for frame in RESPONSES.told_frames(exchange) if "arguments" not in frame.data["type"]][
        :-2
    ]
    patch, decoder = patch_of(exchange), DIALECT.stream_decoder(generic.client_context(realm="here"))
    shown = passed_frames(patch, frames)
    answer = generic.fold(generic.decoded(decoder, frames)).response()
    ending = patch.fail(GatewayError("upstream_cut", "Cut."), answer, Usage(3, 4))
    assert ending[0].data["sequence_number"] == len(shown)
    output = ending[-1].data["response"]["output"]
    assert [(item["type"], item.get("status")) for item in output] == [
        ("reasoning", None),
        ("function_call", "incomplete"),
    ]
    assert output[0] == next(f.data["item"] for f in shown if f and f.event == "response.output_item.done")
    assert ending[-1].data["response"]["usage"]["total_tokens"] == 7


def test_a_cancelled_stream_ends_with_one_event() -> None:
    require()
    patch = patch_of(next(iter(RESPONSES.streams)))
    frames = patch.fail(GatewayError("cancelled", "Gone."))
    assert [frame.event for frame in frames] == ["response.failed"]
    assert (frames[0].data["response"]["status"], frames[0].data["response"]["error"]) == ("cancelled", None)


def test_a_request_of_the_patch_is_the_request_body() -> None:
    require()
    history = {"input": [{"role": "user", "content": "hi"}]}
    patch = patch_of(RESPONSES.streams[0], expanded=history)
    expected = request_body(passage(RESPONSES.streams[0].request["body"], expanded=history))
    assert patch.request() == expected
