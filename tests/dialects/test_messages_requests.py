"""What goes out to a Claude: golden bodies, their losses, and Anthropic's own types."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

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
from app.dialects.messages.dialect import DIALECT
from app.dialects.messages.options import MessagesOptions
from app.dialects.shared.claude import OMITTED, family_of
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_forms import ANSWER_TOOL
from app.errors import GatewayError
from tests.dialects import generic, typed

HI = Message("user", (TextPart("hi"),))
MINE = Signature("c2ln", "messages", "there")
FOREIGN = Signature("c2ln", "gemini", "elsewhere")
SCHEMA = {
    "type": "object",
    "properties": {"zeta": {"type": "string"}, "alpha": {"type": ["integer", "null"]}},
    "required": ["zeta", "alpha"],
    "additionalProperties": False,
}
SUM = Tool("function", "sum", "Adds.", SCHEMA)
SUM_OUT = {"name": "sum", "description": "Adds.", "input_schema": SCHEMA}
PDF = base64.b64encode(b"%PDF-1.4 x").decode()
PNG = "iVBORw0KGgoAAAANSUhEUg=="
VERTEX = MessagesOptions(
    model_in_body=False, anthropic_version="vertex-2023-10-16", native_schema=False, url_sources=False
)
SAMPLERS = {"temperature", "top_p", "top_k"}  # no longer in the published types, taken by older families
BETA_ONLY = {"mcp_servers", "context_management"}


def encode(
    request: Request,
    model: str = "claude-sonnet-4-5",
    options: MessagesOptions | None = None,
    origin: str = "chat",
) -> tuple[dict[str, Any], list[str]]:
    """The body and the parameters that were warned of; the body fits Anthropic's types."""
    context = generic.client_context(model, options=options, losses=Losses(origin, target=model))
    encoded = DIALECT.encode_request(request, context)
    assert_published(encoded.body, model)
    return encoded.body, [loss.param for loss in context.losses.items]


def assert_published(body: Mapping[str, Any], model: str) -> None:
    """Hold a body to the anthropic SDK's request types, which know no other member."""
    hidden = SAMPLERS | BETA_ONLY | {"anthropic_version", "stream"}
    shown = {name: value for name, value in body.items() if name not in hidden}
    assert typed.faults({"model": model, **shown}, MessageCreateParamsNonStreaming) == []
    assert not SAMPLERS & set(body) or family_of(model).sampling


def test_the_type_judge_bites() -> None:
    with pytest.raises(AssertionError):
        assert_published({"max_tokens": 1, "messages": [], "seed": 1}, "m")
    with pytest.raises(AssertionError):
        assert_published(
            {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image"}]}]}, "m"
        )


LIMITS = [
    ("claude-opus-4-6", 128_000),
    ("claude-sonnet-4-6", 64_000),
    ("claude-sonnet-4-5-20250929", 64_000),
    ("claude-haiku-4-5@20251001", 64_000),
    ("claude-opus-4-5", 64_000),
    ("claude-sonnet-4-20250514", 64_000),
    ("claude-sonnet-4-0", 64_000),
    ("us.anthropic.claude-opus-4-20250514-v1:0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-3-5-sonnet-20240620", 8192),
    ("anthropic.claude-3-5-haiku-20241022-v1:0", 8192),
    ("claude-3.7-sonnet", 8192),
    ("claude-3-opus-20240229", 4096),
    ("claude-3-haiku-20240307", 4096),
    ("our-deployment", 4096),
]


@pytest.mark.parametrize(("model", "limit"), LIMITS)
def test_max_tokens_is_always_sent(model: str, limit: int) -> None:
    body, lost = encode(Request("m", (HI,)), model)
    assert body == {
        "model": model,
        "max_tokens": limit,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    assert lost == []


SAMPLING = [
    (
        "claude-sonnet-4-5",
        Sampling(temperature=0.3, top_p=0.9, top_k=5),
        {"temperature": 0.3, "top_k": 5},
        ["top_p"],
    ),
    ("claude-3-opus-20240229", Sampling(temperature=0.3, top_p=1), {"temperature": 0.3}, []),
    ("claude-sonnet-4-6", Sampling(top_p=0.9), {"top_p": 0.9}, []),
    ("claude-sonnet-4-5", Sampling(temperature=1.7), {"temperature": 1}, ["temperature"]),
    ("claude-opus-4-7", Sampling(temperature=0.3, top_p=0.9, top_k=5), {}, ["temperature", "top_p", "top_k"]),
    ("claude-sonnet-5", Sampling(temperature=1, top_p=1), {}, []),
    ("claude-sonnet-4-5", Sampling(seed=1), {}, ["seed"]),
    ("claude-sonnet-4-5", Sampling(n=1, presence_penalty=0, logit_bias={}, logprobs=False), {}, []),
    (
        "claude-sonnet-4-5",
        Sampling(presence_penalty=1, frequency_penalty=1, logit_bias={"1": 1.0}),
        {},
        ["presence_penalty", "frequency_penalty", "logit_bias"],
    ),
    ("claude-sonnet-4-5", Sampling(stop=("a", "\n")), {"stop_sequences": ["a"]}, ["stop"]),
]


@pytest.mark.parametrize(("model", "sampling", "sent", "warned"), SAMPLING)
def test_sampling_follows_the_family(
    model: str, sampling: Sampling, sent: dict[str, Any], warned: list[str]
) -> None:
    body, lost = encode(Request("m", (HI,), sampling=sampling), model)
    assert {k: v for k, v in body.items() if k in SAMPLERS | {"stop_sequences", "seed"}} == sent
    assert lost == warned


REFUSED = [
    Request("m", (HI,), sampling=Sampling(n=2)),
    Request("m", (HI,), sampling=Sampling(logprobs=True)),
    Request("m", (HI,), output=Output(modalities=("text", "audio"))),
    Request("m", (Message("user", (AudioPart("AAAA", "wav"),)),)),
    Request("m", (Message("user", (FilePart(data="UEsDBA==", filename="a.docx"),)),)),
    Request("m", (Message("user", (ImagePart("AAAA", "image/tiff"),)),)),
    Request("m", (HI,), hints={"prompt": {"id": "p"}}),
    Request("m", (HI,), tool_choice=ToolChoice("named", "file_search", "hosted")),
    Request("m", (Message("user", (OpaquePart("input_video", ("responses", {"x": 1})),)),)),
]


@pytest.mark.parametrize("request_", REFUSED)
def test_what_would_change_the_answer_is_refused(request_: Request) -> None:
    with pytest.raises(GatewayError) as caught:
        encode(request_)
    assert caught.value.kind.name == "unsupported_parameter"


# thinking


def thinking(model: str, reasoning: Reasoning, **more: Any) -> tuple[Any, Any, list[str]]:
    body, lost = encode(Request("m", (HI,), reasoning=reasoning, **more), model)
    return body.get("thinking"), (body.get("output_config") or {}).get("effort"), lost


THINKING = [
    ("claude-sonnet-4-5", Reasoning("medium"), ({"type": "enabled", "budget_tokens": 27_200}, None, [])),
    ("claude-sonnet-4-5", Reasoning("max"), ({"type": "enabled", "budget_tokens": 63_999}, None, [])),
    ("claude-opus-4-1", Reasoning("minimal"), ({"type": "enabled", "budget_tokens": 1024}, None, [])),
    ("claude-sonnet-4-5", Reasoning(budget=5000), ({"type": "enabled", "budget_tokens": 5000}, None, [])),
    ("claude-sonnet-4-5", Reasoning(budget=-1), ({"type": "enabled", "budget_tokens": 1024}, None, [])),
    (
        "claude-sonnet-4-5",
        Reasoning(budget=10),
        ({"type": "enabled", "budget_tokens": 1024}, None, ["reasoning.max_tokens"]),
    ),
    (
        "claude-sonnet-4-5",
        Reasoning(budget=99_999),
        ({"type": "enabled", "budget_tokens": 63_999}, None, ["reasoning.max_tokens"]),
    ),
    ("claude-sonnet-4-5", Reasoning("none"), ({"type": "disabled"}, None, [])),
    ("claude-sonnet-4-5", Reasoning(budget=0), ({"type": "disabled"}, None, [])),
    ("claude-3-5-sonnet-20240620", Reasoning("none"), (None, None, [])),
    ("claude-3-5-sonnet-20240620", Reasoning("high"), (None, None, ["reasoning_effort"])),
    ("claude-opus-4-6", Reasoning("high"), ({"type": "adaptive"}, "high", [])),
    ("claude-opus-4-6", Reasoning("minimal"), ({"type": "adaptive"}, "low", ["reasoning_effort"])),
    ("claude-opus-4-6", Reasoning("xhigh"), ({"type": "adaptive"}, "high", ["reasoning_effort"])),
    ("claude-opus-4-6", Reasoning(budget=2000), ({"type": "enabled", "budget_tokens": 2000}, None, [])),
    ("claude-opus-4-7", Reasoning("xhigh"), ({"type": "adaptive", "display": "summarized"}, "xhigh", [])),
    (
        "claude-opus-4-7",
        Reasoning(budget=2000),
        ({"type": "adaptive", "display": "summarized"}, "low", ["reasoning.max_tokens"]),
    ),
    ("claude-fable-5", Reasoning("none"), (None, "low", ["reasoning_effort"])),
    ("claude-sonnet-4-5", Reasoning(summary="auto"), (None, None, ["reasoning.summary"])),
]


@pytest.mark.parametrize(("model", "reasoning", "want"), THINKING)
def test_reasoning_becomes_what_the_family_takes(model: str, reasoning: Reasoning, want: Any) -> None:
    assert thinking(model, reasoning) == want


def test_thinking_yields_to_a_small_output_limit() -> None:
    got = thinking("claude-sonnet-4-5", Reasoning("high"), sampling=Sampling(max_tokens=1024))
    assert got == (None, None, ["reasoning_effort"])


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-6"])
def test_thinking_yields_to_a_forced_tool(model: str) -> None:
    got = thinking(model, Reasoning("high"), tools=(SUM,), tool_choice=ToolChoice("required"))
    assert (got[0], got[2]) == (None, ["reasoning_effort"])


def test_with_thinking_only_a_temperature_of_one_goes_out() -> None:
    wish = Reasoning(budget=2000)
    body, lost = encode(Request("m", (HI,), reasoning=wish, sampling=Sampling(temperature=0.5, top_k=3)))
    assert not SAMPLERS & set(body)
    assert lost == ["temperature", "top_k"]
    body, lost = encode(Request("m", (HI,), reasoning=wish, sampling=Sampling(temperature=1, top_p=0.9)))
    assert (body["temperature"], lost) == (1, ["top_p"])


CALL = ToolCallPart("call_1", "sum", '{"a":1}')
RESULT = Message("tool", (ToolResultPart("call_1", (TextPart("1"),)),))


def test_a_budget_is_left_out_of_a_turn_whose_thinking_is_another_models() -> None:
    turn = Message("assistant", (ReasoningPart("hm", signature=FOREIGN), CALL))
    body, lost = encode(Request("m", (HI, turn, RESULT), tools=(SUM,), reasoning=Reasoning("high")))
    assert "thinking" not in body
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert lost == ["messages", "reasoning_effort"]


def test_own_thinking_goes_back_first_and_whole() -> None:
    parts = (
        TextPart("so"),
        ReasoningPart("hm", signature=MINE),
        ReasoningPart("", "hidden", MINE),
        ReasoningPart("", signature=Signature(OMITTED + "b21p", "messages", "there")),
        CALL,
    )
    body, lost = encode(
        Request("m", (HI, Message("assistant", parts), RESULT), tools=(SUM,), reasoning=Reasoning("high"))
    )
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2ln"},
        {"type": "thinking", "thinking": "", "signature": "b21p"},
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "call_1", "name": "sum", "input": {"a": 1}},
    ]
    assert body["thinking"]["type"] == "enabled"
    assert lost == []


@pytest.mark.parametrize("signature", [None, FOREIGN, Signature("c2ln", "messages", "elsewhere")])
def test_thinking_without_this_realms_signature_stays_behind_with_one_warning(
    signature: Signature | None,
) -> None:
    parts = (ReasoningPart("a", signature=signature), ReasoningPart("b", signature=signature), TextPart("t"))
    body, lost = encode(Request("m", (HI, Message("assistant", parts), HI)))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "t"}]
    assert lost == ["messages"]


# the conversation


def test_all_instructions_reach_the_system_prompt_in_order() -> None:
    request = Request(
        "m",
        (
            Message("system", (TextPart("B"),)),
            Message("developer", (TextPart("C", native=("chat", {"cache_control": {"type": "ephemeral"}})),)),
            HI,
            Message("system", (TextPart("D"),)),
        ),
        instructions="A",
    )
    body, lost = encode(request)
    assert body["system"] == [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B"},
        {"type": "text", "text": "C", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "D"},
    ]
    assert lost == ["messages"]


def test_a_later_system_message_keeps_its_place_where_the_model_reads_it() -> None:
    later = Message("system", (TextPart("D"),))
    body, lost = encode(Request("m", (HI, later), instructions="A"), "claude-opus-4-8")
    assert body["system"] == "A"
    assert body["messages"][1] == {"role": "system", "content": [{"type": "text", "text": "D"}]}
    assert lost == []
    body, lost = encode(Request("m", (HI, later, HI)), "claude-opus-4-8")
    assert (body["system"], len(body["messages"]), lost) == ("D", 1, ["messages"])


def test_turns_alternate_and_results_come_first() -> None:
    image = ImagePart(PNG, "image/png")
    request = Request(
        "m",
        (
            HI,
            Message("assistant", (TextPart("calling"),)),
            Message("assistant", (CALL,)),
            Message("assistant", (ToolCallPart("call.2", "sum", ""),)),
            Message("tool", (ToolResultPart("call_1", (TextPart("1"), image), is_error=True),)),
            Message("user", (TextPart("and"),)),
            Message("tool", (ToolResultPart("call.2"),)),
        ),
        tools=(SUM,),
    )
    body, lost = encode(request)
    fitted = body["messages"][1]["content"][2]["id"]
    assert fitted.startswith("call_")
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "calling"},
        {"type": "tool_use", "id": "call_1", "name": "sum", "input": {"a": 1}},
        {"type": "tool_use", "id": fitted, "name": "sum", "input": {}},
    ]
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert body["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "call_1",
            "content": [{"type": "text", "text": "1"}, {"type": "image", "source": source}],
            "is_error": True,
        },
        {"type": "tool_result", "tool_use_id": fitted},
        {"type": "text", "text": "and"},
    ]
    assert lost == []


PARTS = [
    (
        ImagePart(PNG),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        [],
    ),
    (
        ImagePart(url="https://x/y.png"),
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        [],
    ),
    (ImagePart(file_id="file_1"), {"type": "image", "source": {"type": "file", "file_id": "file_1"}}, []),
    (
        ImagePart(url="https://x", detail="low"),
        {"type": "image", "source": {"type": "url", "url": "https://x"}},
        ["messages"],
    ),
    (
        FilePart(PDF, filename="a.pdf", native=("messages", {"citations": {"enabled": True}})),
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "a.pdf",
            "citations": {"enabled": True},
        },
        [],
    ),
    (
        FilePart(base64.b64encode(b"a,b").decode(), filename="t.csv"),
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "a,b"},
            "title": "t.csv",
        },
        [],
    ),
    (
        FilePart(text="words"),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        [],
    ),
    (
        FilePart(url="https://x/a.pdf"),
        {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
        [],
    ),
    (FilePart(file_id="file_1"), {"type": "document", "source": {"type": "file", "file_id": "file_1"}}, []),
    (RefusalPart("no"), {"type": "text", "text": "no"}, []),
    (
        TextPart("x", native=("responses", {"prompt_cache_breakpoint": {"mode": "explicit"}})),
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        [],
    ),
]


@pytest.mark.parametrize(("part", "block", "warned"), PARTS)
def test_a_part_becomes_its_block(part: Any, block: dict[str, Any], warned: list[str]) -> None:
    body, lost = encode(Request("m", (Message("user", (part,)),)))
    assert body["messages"][0]["content"] == [block]
    assert lost == warned


def test_a_file_id_asks_for_the_files_beta() -> None:
    request = Request("m", (Message("user", (FilePart(file_id="file_1"),)),))
    assert DIALECT.encode_request(request, generic.client_context()).headers == {
        "anthropic-beta": "files-api-2025-04-14"
    }


def test_a_hosted_item_of_another_api_is_left_out_with_a_warning() -> None:
    item = OpaquePart("web_search_call", ("responses", {"type": "web_search_call"}))
    body, lost = encode(Request("m", (HI, Message("assistant", (item, TextPart("t"))), HI)))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "t"}]
    assert lost == ["messages"]


def test_a_system_prompt_alone_is_sent_as_the_users() -> None:
    body, lost = encode(Request("m", instructions="A"))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "A"}]}]
    assert ("system" in body, lost) == (False, ["messages"])


# tools

CHOICES = [
    (None, None, None),
    (ToolChoice("auto"), None, {"type": "auto"}),
    (ToolChoice("required"), None, {"type": "any"}),
    (ToolChoice("none"), False, {"type": "none"}),
    (ToolChoice("named", "sum"), None, {"type": "tool", "name": "sum"}),
    (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
    (None, True, None),
    (
        ToolChoice("allowed", allowed=({"type": "function", "name": "sum"},), required=True),
        None,
        {"type": "any"},
    ),
]


@pytest.mark.parametrize(("choice", "parallel", "want"), CHOICES)
def test_the_tool_choice_is_said_in_anthropics_words(
    choice: ToolChoice | None, parallel: bool | None, want: dict[str, Any] | None
) -> None:
    tools = (SUM, Tool("function", "other"))
    body, lost = encode(Request("m", (HI,), tools=tools, tool_choice=choice, parallel_tool_calls=parallel))
    assert body.get("tool_choice") == want
    narrowed = choice is not None and choice.mode == "allowed"
    other = {"name": "other", "input_schema": {"type": "object", "properties": {}}}
    assert body["tools"] == ([SUM_OUT] if narrowed else [SUM_OUT, other])
    assert lost == []


def test_a_strict_tool_is_strict_where_the_model_enforces_it() -> None:
    strict = Tool("function", "sum", "Adds.", SCHEMA, strict=True)
    body, lost = encode(Request("m", (HI,), tools=(strict,)))
    assert (body["tools"], lost) == ([{**SUM_OUT, "strict": True}], [])
    body, lost = encode(Request("m", (HI,), tools=(strict,)), "claude-3-7-sonnet")
    assert (body["tools"], lost) == ([SUM_OUT], ["tools"])


def test_a_free_text_tool_is_offered_as_a_function_and_its_calls_come_back() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    tool = Tool("custom", "patch", "Patches.", format=grammar)
    call = Message("assistant", (ToolCallPart("call_1", "patch", "*** a", "custom"),))
    request = Request("m", (HI, call, RESULT), tools=(tool,))
    body, lost = encode(request)
    (offered,) = body["tools"]
    assert offered["input_schema"]["required"] == ["input"]
    assert "start: WORD" in offered["input_schema"]["properties"]["input"]["description"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "*** a"}
    assert lost == ["tools"]
    context = generic.client_context(request=request)
    answer = {"content": [{"type": "tool_use", "id": "t", "name": "patch", "input": {"input": "*** b"}}]}
    part = generic.parts_of(DIALECT.decode_response(answer, context).choices[0])[0]
    assert part == ToolCallPart("t", "patch", "*** b", "custom")


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
PLACE = {"type": "approximate", "country": "DE"}


@pytest.mark.parametrize(
    ("members", "want"),
    [
        (
            {
                "tools": (
                    Tool(
                        "hosted",
                        "web_search_preview",
                        native=(
                            "responses",
                            {"filters": {"allowed_domains": ["a.b"]}, "user_location": PLACE},
                        ),
                    ),
                )
            },
            {**SEARCH, "allowed_domains": ["a.b"], "user_location": PLACE},
        ),
        (
            {"hints": {"web_search_options": {"user_location": {"approximate": {"country": "DE"}}}}},
            {**SEARCH, "user_location": PLACE},
        ),
        ({"hints": {"web_search_options": {}}}, SEARCH),
    ],
)
def test_a_hosted_search_is_anthropics_own(members: dict[str, Any], want: dict[str, Any]) -> None:
    body, lost = encode(Request("m", (HI,), **members))
    assert (body["tools"], lost) == ([want], [])


def test_a_hosted_tool_that_nobody_runs_is_left_out_with_a_warning() -> None:
    body, lost = encode(Request("m", (HI,), tools=(Tool("hosted", "file_search"), SUM)))
    assert (body["tools"], lost) == ([SUM_OUT], ["tools"])
    search = Request("m", (HI,), tools=(Tool("hosted", "web_search"),))
    assert encode(search, "claude-3-opus-20240229")[1] == ["tools"]


# the answer's form


def test_a_schema_is_native_where_the_model_enforces_it() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    body, lost = encode(Request("m", (HI,), output=Output("schema", schema, "x", strict=True)))
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "integer", "description": "(minimum: 1)"}},
            "additionalProperties": False,
        },
    }
    assert lost == ["response_format"]
    assert schema["properties"]["a"] == {"type": "integer", "minimum": 1}


@pytest.mark.parametrize(
    ("model", "options", "schema"),
    [
        ("claude-3-7-sonnet", None, SCHEMA),
        ("claude-sonnet-4-5", VERTEX, SCHEMA),
        ("claude-sonnet-4-5", None, {"type": "object", "additionalProperties": {"type": "integer"}}),
    ],
)
def test_elsewhere_a_tool_stands_for_the_schema(model: str, options: Any, schema: dict[str, Any]) -> None:
    wish = Output("schema", schema)
    body, _ = encode(Request("m", (HI,), output=wish), model, options)
    assert [tool["name"] for tool in body["tools"]] == [ANSWER_TOOL]
    assert body["tools"][0]["input_schema"] == schema
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    body, _ = encode(Request("m", (HI,), tools=(SUM,), output=wish), model, options)
    assert [tool["name"] for tool in body["tools"]] == ["sum", ANSWER_TOOL]
    assert body["tool_choice"] == {"type": "any"}


def test_a_json_object_is_asked_for_in_words() -> None:
    body, lost = encode(Request("m", (HI,), instructions="A", output=Output("json")))
    assert body["system"][0] == {"type": "text", "text": "A"}
    assert "JSON object" in body["system"][1]["text"]
    assert lost == ["response_format"]


# the rest


def test_other_members_are_mapped_or_reported() -> None:
    hints = {
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "default",
        "prompt_cache_key": "k",
        "truncation": "disabled",
        "include": ["file_search_call.results"],
    }
    request = Request(
        "m",
        (HI,),
        hints=hints,
        extra={"fancy": 1},
        origin=Origin("chat", {}),
        stream=True,
        metadata={"a": "b"},
    )
    body, lost = encode(request)
    assert (body["metadata"], body["service_tier"], body["stream"]) == (
        {"user_id": "s"},
        "standard_only",
        True,
    )
    assert lost == ["fancy", "metadata", "prompt_cache_key"]
    assert encode(Request("m", (HI,), hints={"service_tier": "flex", "truncation": "auto"}))[1] == [
        "service_tier",
        "truncation",
    ]


def test_on_vertex_the_url_says_the_model_and_the_body_the_version() -> None:
    body, _ = encode(Request("m", (HI,)), "claude-opus-4-1@20250805", VERTEX)
    assert body == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    with pytest.raises(GatewayError):
        encode(Request("m", (Message("user", (ImagePart(url="https://x"),)),)), "claude-opus-4-1", VERTEX)
