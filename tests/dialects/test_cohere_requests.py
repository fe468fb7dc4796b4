"""What goes out to Cohere's v2 chat: golden bodies, their losses, and the cohere SDK's types."""

from __future__ import annotations

import inspect
from typing import Any

import pydantic
import pytest
from cohere.types.chat_message_v2 import ChatMessageV2
from cohere.types.response_format_v2 import ResponseFormatV2
from cohere.types.thinking import Thinking
from cohere.types.tool_v2 import ToolV2
from cohere.v2.raw_client import RawV2Client

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Origin,
    Output,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    Sampling,
    Signature,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from app.dialects.cohere.dialect import DIALECT
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_forms import ANSWER_TOOL
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.load import Exchange

MODEL = "command-a-03-2025"
THINKER = "command-a-reasoning-08-2025"
HI = Message("user", (TextPart("hi"),))
HI_OUT = {"role": "user", "content": "hi"}
SCHEMA = {
    "type": "object",
    "properties": {"zeta": {"type": "string"}, "alpha": {"type": "integer"}},
    "required": ["zeta", "alpha"],
}
SUM = Tool("function", "sum", "Adds.", SCHEMA)
SUM_OUT = {"type": "function", "function": {"name": "sum", "description": "Adds.", "parameters": SCHEMA}}

TYPES = {
    "messages": list[ChatMessageV2],
    "tools": list[ToolV2],
    "response_format": ResponseFormatV2,
    "thinking": Thinking,
    "stop_sequences": list[str],
    "max_tokens": int,
    "tool_choice": str,
}


def assert_published(body: dict[str, Any]) -> None:
    """Hold a body to the SDK: its members are the call's parameters, their values its models,
    which take any further member and so are asked for what they did not know."""
    parameters = set(inspect.signature(RawV2Client.chat).parameters) | {"stream"}
    assert set(body) <= parameters
    for name, value in body.items():
        if name in TYPES:
            assert unknown(pydantic.TypeAdapter(TYPES[name]).validate_python(value)) == []
    assert body.get("tool_choice") in (None, "REQUIRED", "NONE")


def unknown(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [fault for item in value for fault in unknown(item)]
    if not isinstance(value, pydantic.BaseModel):
        return []
    further = list(value.model_extra or {})
    return further + [fault for name in type(value).model_fields for fault in unknown(getattr(value, name))]


def encode(request: Request, model: str = MODEL) -> tuple[dict[str, Any], list[str]]:
    """The body and the parameters that were warned of; the body fits the SDK's types."""
    context = generic.client_context(model, losses=Losses("chat", target=model))
    body = DIALECT.encode_request(request, context).body
    assert_published(body)
    return body, [loss.param for loss in context.losses.items]


def test_the_judge_bites() -> None:
    bad: list[dict[str, Any]] = [
        {"n": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "odd": 1}]}]},
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {}, "strict": True}}]},
        {"tool_choice": "AUTO"},
    ]
    for body in bad:
        with pytest.raises((AssertionError, pydantic.ValidationError)):
            assert_published(body)


def test_a_plain_request() -> None:
    body, lost = encode(Request("m", (HI,), instructions="A", stream=True))
    assert body == {"model": MODEL, "messages": [{"role": "system", "content": "A"}, HI_OUT], "stream": True}
    assert lost == []


def test_sampling() -> None:
    sampling = Sampling(
        max_tokens=5,
        temperature=1.5,
        top_p=0.9,
        top_k=3,
        stop=("x",),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=2,
        n=1,
        logit_bias={"1": 1.0},
    )
    body, lost = encode(Request("m", (HI,), sampling=sampling, hints={"user": "u"}))
    assert {k: v for k, v in body.items() if k not in ("model", "messages")} == {
        "max_tokens": 5,
        "temperature": 1,
        "p": 0.9,
        "k": 3,
        "stop_sequences": ["x"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
    }
    assert lost == ["temperature", "top_logprobs", "logit_bias", "user"]


THINKING = [
    (THINKER, Reasoning("none"), {"type": "disabled"}, []),
    (THINKER, Reasoning(budget=0), {"type": "disabled"}, []),
    (THINKER, Reasoning(budget=700), {"type": "enabled", "token_budget": 700}, []),
    (THINKER, Reasoning(budget=-1), {"type": "enabled"}, []),
    (THINKER, Reasoning("low"), {"type": "enabled", "token_budget": 4915}, []),
    (MODEL, Reasoning("low"), None, ["reasoning_effort"]),
    (MODEL, Reasoning("none"), None, []),
    (MODEL, Reasoning(summary="auto"), None, []),
]


@pytest.mark.parametrize(("model", "reasoning", "want", "warned"), THINKING)
def test_thinking(model: str, reasoning: Reasoning, want: Any, warned: list[str]) -> None:
    body, lost = encode(Request("m", (HI,), reasoning=reasoning), model)
    assert (body.get("thinking"), lost) == (want, warned)


# messages

CALL = ToolCallPart("call_1", "sum", "")


def test_a_conversation() -> None:
    cited = {"start": 0, "end": 1, "text": "t", "sources": []}
    request = Request(
        "m",
        (
            Message("developer", (TextPart("D"),)),
            Message(
                "user",
                (TextPart("look"), ImagePart("AAAA", "image/png", detail="low"), ImagePart(url="https://x")),
            ),
            Message("assistant", (ReasoningPart("plan"),)),
            Message("assistant", (CALL,)),
            Message("assistant", (ToolCallPart("call_2", "patch", "x", "custom"),)),
            Message("tool", (ToolResultPart("call_1", (TextPart("1"),)),)),
            Message("tool", (ToolResultPart("call_2", (TextPart("a"), FilePart(text="b", filename="f"))),)),
            Message(
                "assistant", (ReasoningPart("hm"), TextPart("t", native=("cohere", {"citations": [cited]})))
            ),
            Message("assistant", (RefusalPart("no"),)),
            Message("system", (TextPart("S"),)),
        ),
        tools=(SUM,),
    )
    body, lost = encode(request)
    assert body["messages"] == [
        {"role": "system", "content": "D"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "sum", "arguments": "{}"}},
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "patch", "arguments": '{"input":"x"}'},
                },
            ],
            "tool_plan": "plan",
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "call_2",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "document", "document": {"data": {"text": "b", "title": "f"}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "t"},
                {"type": "text", "text": "no"},
            ],
            "citations": [cited],
        },
        {"role": "system", "content": "S"},
    ]
    assert lost == []


def test_what_cannot_be_said_of_a_conversation_is_reported() -> None:
    hidden = ReasoningPart("", "hidden", Signature("s", "messages", "r"))
    item = OpaquePart("web_search_call", ("responses", {"type": "web_search_call"}))
    request = Request(
        "m",
        (
            Message("user", (TextPart("hi"),), name="bob"),
            Message("assistant", (hidden, item, CALL)),
            Message("tool", (ToolResultPart("call_1", (TextPart("1"),), is_error=True),)),
        ),
    )
    body, lost = encode(request)
    assert body["messages"][0] == HI_OUT
    assert lost == ["messages"] * 4


REFUSED = [
    Request("m", (Message("user", (FilePart("JVBE", filename="a.pdf"),)),)),
    Request("m", (Message("user", (ImagePart(file_id="f"),)),)),
    Request("m", (Message("user", (AudioPart("AAAA", "wav"),)),)),
    Request("m", (Message("user", (OpaquePart("input_video", ("responses", {"x": 1})),)),)),
    Request("m", (Message("tool", (ToolResultPart("c", (ImagePart("AAAA"),)),)),)),
    Request("m", (HI,), sampling=Sampling(n=2)),
    Request("m", (HI,), output=Output(modalities=("audio",))),
    Request("m", (HI,), tool_choice=ToolChoice("named", "web_search", "hosted")),
]


@pytest.mark.parametrize("request_", REFUSED)
def test_what_would_change_the_answer_is_refused(request_: Request) -> None:
    with pytest.raises(GatewayError) as caught:
        encode(request_)
    assert caught.value.kind.name == "unsupported_parameter"


# tools

OTHER = Tool("function", "other")
OTHER_OUT = {
    "type": "function",
    "function": {"name": "other", "parameters": {"type": "object", "properties": {}}},
}
CHOICES = [
    (None, [SUM_OUT, OTHER_OUT], None),
    (ToolChoice("auto"), [SUM_OUT, OTHER_OUT], None),
    (ToolChoice("required"), [SUM_OUT, OTHER_OUT], "REQUIRED"),
    (ToolChoice("none"), [SUM_OUT, OTHER_OUT], "NONE"),
    (ToolChoice("named", "sum"), [SUM_OUT], "REQUIRED"),
    (
        ToolChoice("allowed", allowed=({"type": "function", "function": {"name": "other"}},)),
        [OTHER_OUT],
        None,
    ),
]


@pytest.mark.parametrize(("choice", "tools", "word"), CHOICES)
def test_auto_is_said_by_omission(choice: ToolChoice | None, tools: Any, word: str | None) -> None:
    body, lost = encode(Request("m", (HI,), tools=(SUM, OTHER), tool_choice=choice))
    assert (body["tools"], body.get("tool_choice"), lost) == (tools, word, [])


def test_strictness_is_one_for_all_tools() -> None:
    strict = Tool("function", "sum", "Adds.", SCHEMA, strict=True)
    body, lost = encode(Request("m", (HI,), tools=(strict,), parallel_tool_calls=False))
    assert (body["tools"], body["strict_tools"], lost) == ([SUM_OUT], True, ["parallel_tool_calls"])
    body, lost = encode(Request("m", (HI,), tools=(strict, OTHER)))
    assert ("strict_tools" in body, lost) == (False, ["tools"])
    body, lost = encode(Request("m", (HI,), tools=(Tool("hosted", "web_search"), Tool("custom", "patch"))))
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert lost == ["tools", "tools"]


# the answer's form


def test_a_json_answer_and_a_schema() -> None:
    body, lost = encode(Request("m", (HI,), output=Output("json")))
    assert (body["response_format"], lost) == ({"type": "json_object"}, [])
    body, lost = encode(Request("m", (HI,), output=Output("schema", SCHEMA, "x", strict=True)))
    assert (body["response_format"], lost) == ({"type": "json_object", "json_schema": SCHEMA}, [])


def test_beside_tools_a_tool_stands_for_the_schema() -> None:
    body, lost = encode(Request("m", (HI,), tools=(SUM,), output=Output("schema", SCHEMA)))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["sum", ANSWER_TOOL]
    assert (body["tool_choice"], "response_format" in body, lost) == (
        "REQUIRED",
        False,
        ["response_format"],
    )
    request = Request(
        "m", (HI,), tools=(SUM,), tool_choice=ToolChoice("none"), output=Output("schema", SCHEMA)
    )
    assert [tool["function"]["name"] for tool in encode(request)[0]["tools"]] == [ANSWER_TOOL]
    assert encode(Request("m", (HI,), tools=(SUM,), output=Output("json")))[1] == ["response_format"]


def test_the_apis_own_members_may_stand_beside_the_standard_ones() -> None:
    extra = {
        "documents": [{"data": {"text": "x"}}],
        "citation_options": {"mode": "FAST"},
        "safety_mode": "STRICT",
        "thinking": {"type": "disabled"},
        "fancy": 1,
    }
    body, lost = encode(
        Request("m", (HI,), extra=extra, origin=Origin("chat", {}), reasoning=Reasoning("low"))
    )
    assert {name: body[name] for name in extra if name != "fancy"} == {
        k: v for k, v in extra.items() if k != "fancy"
    }
    assert lost == ["fancy"]


RECORDED = [e for e in load.exchanges(("cohere.v2.chat",)) if isinstance(e.request["body"], dict)]


@pytest.mark.parametrize("exchange", load.params([e for e in RECORDED if e.status == 200]))
def test_the_recorded_requests_pass_the_judge_too(exchange: Exchange) -> None:
    assert_published(exchange.request["body"])


def test_a_count_sends_the_texts() -> None:
    request = Request("m", (HI, Message("assistant", (TextPart("yo"), CALL))), instructions="A")
    encoded = DIALECT.encode_count(request, generic.client_context(MODEL))
    assert encoded.body == {"model": MODEL, "text": "A\nhi\nyo"}
