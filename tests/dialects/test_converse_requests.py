"""What goes out to Converse: golden bodies, their losses, and botocore's service model."""

from __future__ import annotations

import base64
import copy
import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

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
from app.dialects.converse.dialect import DIALECT
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_forms import ANSWER_TOOL
from app.errors import GatewayError
from tests.dialects import generic

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OLD_CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-lite-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
LLAMA = "meta.llama3-1-70b-instruct-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"

HI = Message("user", (TextPart("hi"),))
MINE = Signature("c2ln", "converse", "there")
FOREIGN = Signature("c2ln", "messages", "elsewhere")
SCHEMA = {
    "type": "object",
    "properties": {"zeta": {"type": "string"}, "alpha": {"type": "integer"}},
    "required": ["zeta", "alpha"],
    "additionalProperties": False,
}
SUM = Tool("function", "sum", "Adds.", SCHEMA)
SUM_OUT = {"toolSpec": {"name": "sum", "description": "Adds.", "inputSchema": {"json": SCHEMA}}}
CALL = ToolCallPart("call_1", "sum", '{"a":1}')
RESULT = Message("tool", (ToolResultPart("call_1", (TextPart("ok"),)),))
PNG = "iVBORw0KGgoAAAANSUhEUg=="


@cache
def shape(operation: str) -> Any:
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    return service.operation_model(operation).input_shape


def assert_published(body: dict[str, Any], model: str, operation: str = "Converse") -> None:
    """Hold a body to botocore's model, whose blobs are bytes; unknown members are refused, too."""
    params = {"modelId": model, **blobs(copy.deepcopy(body))}
    report = ParamValidator().validate(params, shape(operation))
    assert report.generate_report() == ""
    assert unknown(params, shape(operation)) == []


def blobs(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: base64.b64decode(v) if k in {"bytes", "redactedContent"} and isinstance(v, str) else blobs(v)
            for k, v in value.items()
        }
    return [blobs(item) for item in value] if isinstance(value, list) else value


def unknown(value: Any, wanted: Any, path: str = "") -> list[str]:
    if wanted.type_name == "structure" and not getattr(wanted, "is_document_type", False):
        return [
            fault
            for name, item in value.items()
            for fault in (
                unknown(item, wanted.members[name], f"{path}.{name}")
                if name in wanted.members
                else [f"{path}.{name}"]
            )
        ]
    if wanted.type_name == "list":
        return [fault for item in value for fault in unknown(item, wanted.member, path + "[]")]
    return []


def encode(request: Request, model: str = CLAUDE, origin: str = "chat") -> tuple[dict[str, Any], list[str]]:
    """The body and the parameters that were warned of; the body fits AWS's model."""
    context = generic.client_context(model, losses=Losses(origin, target=model))
    body = DIALECT.encode_request(request, context).body
    assert_published(body, model)
    return body, [loss.param for loss in context.losses.items]


def test_the_judge_bites() -> None:
    for bad in (
        {"messages": [{"role": "user"}]},
        {"messages": [], "seed": 1},
        {"messages": [], "system": [{"x": 1}]},
    ):
        with pytest.raises(AssertionError):
            assert_published(bad, "m")


def test_a_plain_request() -> None:
    body, lost = encode(Request("m", (HI,), instructions="A"))
    assert body == {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "system": [{"text": "A"}]}
    assert lost == []


SAMPLING = [
    (
        CLAUDE,
        Sampling(max_tokens=9, temperature=1.5, stop=("x",)),
        {"maxTokens": 9, "temperature": 1, "stopSequences": ["x"]},
        {},
        ["temperature"],
    ),
    (CLAUDE, Sampling(temperature=0.5, top_p=0.5, top_k=3), {"temperature": 0.5}, {"top_k": 3}, ["top_p"]),
    (
        NOVA,
        Sampling(temperature=0.5, top_p=0.5, top_k=3),
        {"temperature": 0.5, "topP": 0.5},
        {"inferenceConfig": {"topK": 3}},
        [],
    ),
    (LLAMA, Sampling(temperature=2, top_k=3), {"temperature": 1}, None, ["temperature", "top_k"]),
    ("us.anthropic.claude-opus-4-8", Sampling(temperature=0.5, top_p=1), None, None, ["temperature"]),
    (NOVA, Sampling(seed=1, presence_penalty=1, n=1), None, None, ["seed", "presence_penalty"]),
]


@pytest.mark.parametrize(("model", "sampling", "inference", "fields", "warned"), SAMPLING)
def test_sampling(model: str, sampling: Sampling, inference: Any, fields: Any, warned: list[str]) -> None:
    body, lost = encode(Request("m", (HI,), sampling=sampling), model)
    assert body.get("inferenceConfig") == inference
    assert (body.get("additionalModelRequestFields") or None) == (fields or None)
    assert lost == warned


THINKING = [
    (
        CLAUDE,
        Reasoning("medium"),
        {"thinking": {"type": "enabled", "budget_tokens": 27_200}},
        {"maxTokens": 64_000},
        None,
        [],
    ),
    (
        "us.anthropic.claude-sonnet-4-6",
        Reasoning("high"),
        {"thinking": {"type": "adaptive"}},
        None,
        {"effort": "high"},
        [],
    ),
    (OLD_CLAUDE, Reasoning("high"), None, None, None, ["reasoning_effort"]),
    (NOVA, Reasoning("high"), None, None, None, ["reasoning_effort"]),
    (NOVA, Reasoning("none"), None, None, None, []),
    (
        NOVA_2,
        Reasoning("low"),
        {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        None,
        None,
        [],
    ),
    (NOVA_2, Reasoning("none"), {"reasoningConfig": {"type": "disabled"}}, None, None, []),
    (GPT_OSS, Reasoning("xhigh"), {"reasoning_effort": "high"}, None, None, ["reasoning_effort"]),
]


@pytest.mark.parametrize(("model", "reasoning", "fields", "inference", "output", "warned"), THINKING)
def test_thinking(
    model: str, reasoning: Reasoning, fields: Any, inference: Any, output: Any, warned: list[str]
) -> None:
    body, lost = encode(Request("m", (HI,), reasoning=reasoning), model)
    assert body.get("additionalModelRequestFields") == fields
    assert (body.get("inferenceConfig"), body.get("outputConfig"), lost) == (inference, output, warned)


def test_novas_high_effort_takes_no_sampling() -> None:
    wish = Sampling(max_tokens=9000, temperature=0.5, top_p=0.5, stop=("x",))
    body, lost = encode(Request("m", (HI,), reasoning=Reasoning("high"), sampling=wish), NOVA_2)
    assert body["inferenceConfig"] == {"stopSequences": ["x"]}
    assert lost == ["max_completion_tokens", "temperature", "top_p"]


# conversation


def test_turns_results_and_cache_points() -> None:
    mark = ("chat", {"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    request = Request(
        "m",
        (
            Message("system", (TextPart("S", native=mark),)),
            Message("user", (TextPart("hi", native=("messages", {"cache_control": {"type": "ephemeral"}})),)),
            Message("assistant", (TextPart(" \n"), ReasoningPart("hm", signature=MINE), CALL)),
            Message("assistant", (ToolCallPart("call/2", "sum", ""),)),
            Message(
                "tool",
                (
                    ToolResultPart(
                        "call_1", (TextPart('{"a": 1}'), ImagePart(PNG, "image/png")), is_error=True
                    ),
                ),
            ),
            Message("user", (TextPart("and"),)),
            Message("tool", (ToolResultPart("call/2", (TextPart("[1]"), TextPart("2"), TextPart("x y"))),)),
        ),
        tools=(Tool("function", "sum", native=mark),),
    )
    body, lost = encode(request)
    assert body["system"] == [{"text": "S"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    fitted = body["messages"][1]["content"][2]["toolUse"]["toolUseId"]
    assert fitted.startswith("call_")
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"toolUse": {"toolUseId": "call_1", "name": "sum", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": fitted, "name": "sum", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "call_1",
                        "content": [
                            {"json": {"a": 1}},
                            {"image": {"format": "png", "source": {"bytes": PNG}}},
                        ],
                        "status": "error",
                    }
                },
                {
                    "toolResult": {
                        "toolUseId": fitted,
                        "content": [{"json": {"results": [1]}}, {"json": {"value": 2}}, {"text": "x y"}],
                    }
                },
                {"text": "and"},
            ],
        },
    ]
    assert lost == []
    assert encode(request, LLAMA)[1].count("cache_control") == 1


def test_documents_have_clean_names_each_its_own() -> None:
    parts = (
        FilePart("JVBERi0x", filename="Q3_report: final.pdf"),
        FilePart("JVBERi0x", filename="Q3 report  final.pdf"),
        FilePart(text="words"),
        FilePart("YSxi", media_type="text/csv", filename="t.csv"),
    )
    body, lost = encode(Request("m", (Message("user", parts),)))
    documents = [block["document"] for block in body["messages"][0]["content"] if "document" in block]
    assert [(d["name"], d["format"]) for d in documents] == [
        ("Q3 report final", "pdf"),
        ("Q3 report final (2)", "pdf"),
        ("document", "txt"),
        ("t", "csv"),
    ]
    assert documents[2]["source"] == {"bytes": base64.b64encode(b"words").decode()}
    assert lost == ["messages"]


def test_a_place_in_s3_is_named_and_no_other_address_is_fetched() -> None:
    body, _ = encode(Request("m", (Message("user", (ImagePart(url="s3://bucket/a.png"),)),)))
    assert body["messages"][0]["content"] == [
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}}
    ]


REFUSED = [
    Request("m", (Message("user", (ImagePart(url="https://x/a.png"),)),)),
    Request("m", (Message("user", (ImagePart(file_id="f"),)),)),
    Request("m", (Message("user", (ImagePart("AAAA", "image/tiff"),)),)),
    Request("m", (Message("user", (AudioPart("AAAA", "wav"),)),)),
    Request("m", (Message("user", (FilePart("AAAA", media_type="application/zip"),)),)),
    Request("m", (HI,), sampling=Sampling(n=2)),
    Request("m", (HI,), sampling=Sampling(logprobs=True)),
    Request("m", (HI,), tool_choice=ToolChoice("named", "web_search", "hosted")),
    Request("m", (Message("user", (OpaquePart("input_video", ("responses", {"x": 1})),)),)),
]


@pytest.mark.parametrize("request_", REFUSED)
def test_what_would_change_the_answer_is_refused(request_: Request) -> None:
    with pytest.raises(GatewayError) as caught:
        encode(request_)
    assert caught.value.kind.name == "unsupported_parameter"


@pytest.mark.parametrize("signature", [None, FOREIGN])
def test_thinking_of_others_stays_behind_with_one_warning(signature: Signature | None) -> None:
    parts = (
        ReasoningPart("a", signature=signature),
        ReasoningPart("b", signature=signature),
        RefusalPart("no"),
    )
    body, lost = encode(Request("m", (HI, Message("assistant", parts), HI)))
    assert body["messages"][1]["content"] == [{"text": "no"}]
    assert lost == ["messages"]


def test_a_models_own_blocks_go_back_as_they_came() -> None:
    block = {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    cited = TextPart("x", native=("converse", {"citations": [{"title": "T"}]}))
    hidden = ReasoningPart("", "hidden", MINE)
    turn = Message("assistant", (OpaquePart("toolUse", ("converse", block)), cited, hidden))
    body, lost = encode(Request("m", (HI, turn, HI)), NOVA_2)
    assert body["messages"][1]["content"] == [
        block,
        {"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": "T"}]}},
        {"reasoningContent": {"redactedContent": "c2ln"}},
    ]
    assert lost == []


def test_a_model_without_system_prompt_reads_it_from_the_user() -> None:
    body, lost = encode(Request("m", (HI,), instructions="A"), "amazon.titan-text-express-v1")
    assert body == {"messages": [{"role": "user", "content": [{"text": "A"}, {"text": "hi"}]}]}
    assert lost == ["messages"]


# tools


def tools_of(body: dict[str, Any]) -> Any:
    return body.get("toolConfig")


def test_tools_are_made_up_when_only_the_history_has_them() -> None:
    body, lost = encode(Request("m", (HI, Message("assistant", (CALL,)), RESULT)))
    empty = {"json": {"type": "object", "properties": {}}}
    assert tools_of(body) == {"tools": [{"toolSpec": {"name": "sum", "inputSchema": empty}}]}
    assert lost == []


CHOICES = [
    (None, {"tools": [SUM_OUT]}),
    (ToolChoice("auto"), {"tools": [SUM_OUT]}),
    (ToolChoice("required"), {"tools": [SUM_OUT], "toolChoice": {"any": {}}}),
    (ToolChoice("named", "sum"), {"tools": [SUM_OUT], "toolChoice": {"tool": {"name": "sum"}}}),
    (ToolChoice("none"), None),
]


@pytest.mark.parametrize(("choice", "want"), CHOICES)
def test_the_tool_choice(choice: ToolChoice | None, want: Any) -> None:
    body, lost = encode(Request("m", (HI,), tools=(SUM,), tool_choice=choice))
    assert (tools_of(body), lost) == (want, [])


def test_tools_that_the_history_calls_cannot_be_forbidden() -> None:
    request = Request(
        "m", (HI, Message("assistant", (CALL,)), RESULT), tools=(SUM,), tool_choice=ToolChoice("none")
    )
    body, lost = encode(request)
    assert (tools_of(body), lost) == ({"tools": [SUM_OUT]}, ["tool_choice"])


def test_strict_custom_and_hosted_tools() -> None:
    strict = Tool("function", "sum", "Adds.", SCHEMA, strict=True)
    body, lost = encode(Request("m", (HI,), tools=(strict,), parallel_tool_calls=False))
    assert tools_of(body)["tools"] == [{"toolSpec": {**SUM_OUT["toolSpec"], "strict": True}}]
    assert lost == ["parallel_tool_calls"]
    assert encode(Request("m", (HI,), tools=(strict,)), OLD_CLAUDE)[1] == ["tools"]
    custom, search = Tool("custom", "patch"), Tool("hosted", "web_search_preview")
    body, lost = encode(Request("m", (HI,), tools=(custom, search)), NOVA_2)
    assert tools_of(body)["tools"][0]["toolSpec"]["inputSchema"]["json"]["required"] == ["input"]
    assert tools_of(body)["tools"][1] == {"systemTool": {"name": "nova_grounding"}}
    assert lost == ["tools"]
    assert encode(Request("m", (HI,), tools=(search,)), CLAUDE)[1] == ["tools"]


# the answer's form


@pytest.mark.parametrize("model", [CLAUDE, "qwen.qwen3-32b-v1:0"])
def test_a_schema_is_native_where_the_model_takes_it(model: str) -> None:
    body, lost = encode(
        Request("m", (HI,), output=Output("schema", SCHEMA, "city", description="A city.")), model
    )
    described = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(described.pop("schema")) == SCHEMA
    assert described == {"name": "city", "description": "A city."}
    assert ("toolConfig" in body, lost) == (False, [])


def test_elsewhere_a_tool_stands_for_the_schema() -> None:
    body, lost = encode(Request("m", (HI,), output=Output("schema", SCHEMA)), NOVA)
    assert tools_of(body)["toolChoice"] == {"tool": {"name": ANSWER_TOOL}}
    plain = {name: value for name, value in SCHEMA.items() if name != "additionalProperties"}
    assert tools_of(body)["tools"][0]["toolSpec"]["inputSchema"] == {"json": plain}
    body, lost = encode(Request("m", (HI,), output=Output("schema", SCHEMA), tools=(SUM,)), NOVA)
    assert (tools_of(body)["toolChoice"], lost) == ({"any": {}}, [])


def test_a_json_object_is_asked_for_in_words() -> None:
    body, lost = encode(Request("m", (HI,), output=Output("json")))
    assert "JSON object" in body["system"][0]["text"]
    assert lost == ["response_format"]


def test_the_apis_own_members_may_stand_beside_the_standard_ones() -> None:
    extra = {
        "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"top_k": 7},
        "requestMetadata": {"a": "b"},
        "fancy": 1,
    }
    hints = {"service_tier": "priority", "user": "u"}
    body, lost = encode(
        Request("m", (HI,), extra=extra, hints=hints, origin=Origin("chat", {}), sampling=Sampling(top_k=3))
    )
    assert body["guardrailConfig"]["guardrailIdentifier"] == "abc"
    assert body["additionalModelRequestFields"] == {"top_k": 7}
    assert body["serviceTier"] == {"type": "priority"}
    assert lost == ["fancy", "user"]


def test_a_count_asks_with_the_same_conversation() -> None:
    request = Request("m", (HI,), instructions="A", tools=(SUM,), sampling=Sampling(max_tokens=5))
    body = DIALECT.encode_count(request, generic.client_context(CLAUDE)).body
    assert_published(body, CLAUDE, "CountTokens")
    assert set(body["input"]["converse"]) == {"messages", "system", "toolConfig"}
