"""Bodies that pass on the wires of Anthropic, Google, Bedrock and Cohere."""

from __future__ import annotations

from typing import Any, Final

import pytest

from app.canonical.request import Signature
from app.canonical.response import Usage
from app.dialects import dialect
from app.dialects.base import DONE, Frame, PassThrough, Patch
from app.dialects.gemini.contents_out import SKIP_SIGNATURE
from app.dialects.messages.options import MessagesOptions
from app.dialects.shared.lenient_json import encode_base64
from app.dialects.shared.usage_repair import repair_usage
from tests.dialects import generic, served
from tests.dialects.recorded import WIRES
from tests.traffic import load

WIRES_THAT_PASS: Final = ("messages", "gemini", "converse", "cohere")


def patch_of(
    name: str, body: dict[str, Any], model: str = "claude-opus-4-6", **client: Any
) -> tuple[Patch, Any]:
    context = generic.client_context(model, **client)
    make = dialect(name).patch
    assert make is not None
    return make(PassThrough(body, context, served.sealing_context())), context


def patch_request(
    name: str, body: dict[str, Any], model: str = "claude-opus-4-6", **client: Any
) -> dict[str, Any]:
    return patch_of(name, body, model, **client)[0].request()


MODELS: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"model": "there", "stream": True, "further": 1}),
    ("gemini", {"further": 1}),
    ("converse", {"further": 1}),
    ("cohere", {"model": "there", "stream": True, "further": 1}),
]


@pytest.mark.parametrize(("name", "want"), MODELS)
def test_model_and_stream_are_said_where_the_wire_says_them(name: str, want: dict[str, Any]) -> None:
    body = {"model": "mine", "stream": True, "fallbacks": ["other/m"], "further": 1}
    assert patch_request(name, body, "there") == want


def test_a_claude_elsewhere_is_asked_as_its_host_wants() -> None:
    options = MessagesOptions(model_in_body=False, anthropic_version="vertex-2023-10-16")
    body = {"model": "m", "stream": True, "anthropic_version": "x", "fallbacks": "default"}
    assert patch_request("messages", body, options=options) == {
        "stream": True,
        "anthropic_version": "vertex-2023-10-16",
        "fallbacks": "default",
    }


def test_sampling_that_the_family_does_not_take_is_left_out_with_a_warning() -> None:
    patch, context = patch_of("messages", {"temperature": 0.5, "messages": []}, "claude-opus-4-7")
    assert "temperature" not in patch.request()
    assert [loss.param for loss in context.losses.items] == ["temperature"]
    assert patch_request("messages", {"temperature": 0.5})["temperature"] == 0.5


OWN: Final = {name: served.seal(Signature("own", name, "there")) for name in WIRES_THAT_PASS}
OTHER: Final = served.seal(Signature("other", "elsewhere", "r"))

HISTORIES: list[tuple[str, list[Any], list[Any]]] = [
    (
        "messages",
        [
            {"type": "thinking", "thinking": "T", "signature": OWN["messages"]},
            {"type": "thinking", "thinking": "T", "signature": OTHER},
            {"type": "redacted_thinking", "data": OWN["messages"]},
            {"type": "redacted_thinking", "data": OTHER},
            {"type": "thinking", "thinking": "T", "signature": "raw"},
            {"type": "text", "text": "x"},
        ],
        [
            {"type": "thinking", "thinking": "T", "signature": "own"},
            {"type": "redacted_thinking", "data": "own"},
            {"type": "thinking", "thinking": "T", "signature": "raw"},
            {"type": "text", "text": "x"},
        ],
    ),
    (
        "converse",
        [
            {"reasoningContent": {"reasoningText": {"text": "T", "signature": OWN["converse"]}}},
            {"reasoningContent": {"reasoningText": {"text": "T", "signature": OTHER}}},
            {"reasoningContent": {"redactedContent": encode_base64(OWN["converse"])}},
            {"reasoningContent": {"redactedContent": encode_base64(OTHER)}},
            {"reasoningContent": {"redactedContent": "cmF3"}},
            {"text": "x"},
        ],
        [
            {"reasoningContent": {"reasoningText": {"text": "T", "signature": "own"}}},
            {"reasoningContent": {"redactedContent": "own"}},
            {"reasoningContent": {"redactedContent": "cmF3"}},
            {"text": "x"},
        ],
    ),
    (
        "gemini",
        [
            {"text": "T", "thought": True, "thoughtSignature": encode_base64(OWN["gemini"])},
            {"text": "", "thought": True, "thoughtSignature": encode_base64(OTHER)},
            {"text": "x", "thought_signature": "cmF3"},
            {"functionCall": {"name": "f"}, "thoughtSignature": encode_base64(OTHER)},
        ],
        [
            {"text": "T", "thought": True, "thoughtSignature": "own"},
            {"text": "x", "thought_signature": "cmF3"},
            {"functionCall": {"name": "f"}},
        ],
    ),
]


def history(name: str, blocks: list[Any]) -> dict[str, Any]:
    if name == "gemini":
        return {"contents": [{"role": "model", "parts": blocks}]}
    return {"messages": [{"role": "assistant", "content": blocks}]}


@pytest.mark.parametrize(("name", "blocks", "want"), HISTORIES)
def test_the_targets_own_signatures_are_opened_and_others_left_out(
    name: str, blocks: list[Any], want: list[Any]
) -> None:
    patch, context = patch_of(name, history(name, blocks))
    body = {k: v for k, v in patch.request().items() if k != "model"}
    assert body == history(name, want)
    assert [loss.param for loss in context.losses.items] == [next(iter(history(name, [])))]


def test_a_turn_of_nothing_but_others_thoughts_is_left_out() -> None:
    body = history("messages", [{"type": "redacted_thinking", "data": OTHER}])
    assert patch_request("messages", body)["messages"] == []


def test_a_call_without_a_signature_has_googles_stand_in_where_it_is_demanded() -> None:
    call = {"functionCall": {"name": "f"}}
    body = history("gemini", [call, call])
    signed = {**call, "thoughtSignature": SKIP_SIGNATURE}
    assert patch_request("gemini", body, "gemini-3-pro-preview") == history("gemini", [signed, call])
    assert patch_request("gemini", body, "gemini-2.5-flash") == body


@pytest.mark.parametrize("name", WIRES_THAT_PASS)
@pytest.mark.parametrize(
    "junk", [None, 5, "x", [], [5], [[]], {"content": 5}, [{"content": [5, {}]}], [{"parts": [5, {}]}]]
)
def test_any_shape_passes(name: str, junk: Any) -> None:
    member = "contents" if name == "gemini" else "messages"
    assert member in patch_request(name, {member: junk})


@pytest.mark.parametrize("name", WIRES_THAT_PASS)
def test_recorded_answers_go_back_as_they_came(name: str) -> None:
    load.require()
    for exchange in WIRES[name].bodies[:20]:
        body, response = exchange.json(), WIRES[name].response(exchange)
        patch, _ = patch_of(name, {})
        answer = patch.answer(exchange.json())
        repair_usage(answer, response.usage or Usage(), dialect(name).write_usage, dialect(name).usage_member)
        assert answer == body or response.usage is None


@pytest.mark.parametrize("name", WIRES_THAT_PASS)
def test_frames_go_on_as_they_came(name: str) -> None:
    patch, _ = patch_of(name, {})
    assert patch.frames("event", {"a": 1}) == [Frame("event", {"a": 1})]
    assert patch.closing(None) == ([DONE] if name == "cohere" else [])
