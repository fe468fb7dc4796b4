"""Chat requests: what a client may write, and what each kind of wire is sent of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
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
    State,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from app.dialects.base import ServerContext
from app.dialects.chat.dialect import DIALECT
from app.dialects.chat.messages_out import short_id
from app.dialects.chat.options import ChatOptions
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from app.providers import chat_rows as rows
from tests.dialects import generic

Json = dict[str, Any]
USER = Message("user", (TextPart("hi"),))


def unwrap(text: str) -> Signature | None:
    """Stands for the gateway's sealing: ``sealed:`` marks what we made."""
    return Signature(text[7:], "messages", "there") if text.startswith("sealed:") else None


def read(body: Json, **members: Any) -> Request:
    context = ServerContext(new_id=generic.counter(), now=0, unwrap=unwrap)
    return DIALECT.decode_request({"model": "m", "messages": [], **body, **members}, context)


def write(
    request: Request, options: ChatOptions | None = None, realm: str = "there"
) -> tuple[Json, list[str]]:
    """The body sent and the members told as lost."""
    losses = Losses("chat", target="this model")
    context = generic.client_context(options=options, realm=realm, losses=losses)
    return DIALECT.encode_request(request, context).body, [loss.param for loss in losses.items]


def encode_messages(
    *messages: Message, options: ChatOptions | None = None, realm: str = "there"
) -> list[Json]:
    written: list[Json] = write(Request("m", messages), options, realm)[0]["messages"]
    return written


PARTS: list[tuple[Json, Any]] = [
    ({"type": "text", "text": "hi"}, TextPart("hi")),
    (
        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
        TextPart("hi", native=("chat", {"cache_control": {"type": "ephemeral"}})),
    ),
    (
        {"type": "image_url", "image_url": {"url": "https://e/x.png", "detail": "low"}},
        ImagePart(url="https://e/x.png", detail="low"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}},
        ImagePart("R0lG", "image/gif"),
    ),
    ({"type": "image_url", "image_url": "https://e/x.png"}, ImagePart(url="https://e/x.png")),
    ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, AudioPart("UklG", "wav")),
    ({"type": "file", "file": {"file_id": "file-1"}}, FilePart(file_id="file-1")),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        FilePart("JVBE", filename="a.pdf", media_type="application/pdf"),
    ),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://e/a.pdf"}},
        FilePart(url="https://e/a.pdf", filename="a.pdf"),
    ),
    (
        {"type": "document_url", "document_url": "https://e/a.pdf", "document_name": "a"},
        FilePart(url="https://e/a.pdf", filename="a"),
    ),
    ({"type": "pdf_url", "pdf_url": {"url": "https://e/a.pdf"}}, FilePart(url="https://e/a.pdf")),
    ({"type": "refusal", "refusal": "no"}, RefusalPart("no")),
    (
        {"type": "video_url", "video_url": {"url": "https://e/v"}},
        OpaquePart("video_url", ("chat", {"type": "video_url", "video_url": {"url": "https://e/v"}})),
    ),
]


@pytest.mark.parametrize(("wire", "part"), PARTS, ids=lambda value: str(value)[:60])
def test_every_part_type_is_read(wire: Json, part: Any) -> None:
    assert read({"messages": [{"role": "user", "content": [wire]}]}).messages == (Message("user", (part,)),)


def test_every_role_is_read() -> None:
    request = read(
        {
            "messages": [
                {"role": "system", "content": "s", "name": "boss"},
                {"role": "developer", "content": [{"type": "text", "text": "d"}]},
                {"role": "user", "content": "u"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [_call("c1", "f", '{"a":1}'), _custom("c2", "g", "x")],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "r1"},
                {
                    "role": "tool",
                    "tool_call_id": "c2",
                    "content": [{"type": "text", "text": "r2"}],
                    "name": "g",
                },
                {"role": "assistant", "content": "a", "refusal": "no", "audio": {"id": "audio_1"}},
            ]
        }
    )
    assert request.messages == (
        Message("system", (TextPart("s"),), name="boss"),
        Message("developer", (TextPart("d"),)),
        Message("user", (TextPart("u"),)),
        Message("assistant", (ToolCallPart("c1", "f", '{"a":1}'), ToolCallPart("c2", "g", "x", "custom"))),
        Message("tool", (ToolResultPart("c1", (TextPart("r1"),), "f"),)),
        Message("tool", (ToolResultPart("c2", (TextPart("r2"),), "g", kind="custom"),), name="g"),
        Message("assistant", (TextPart("a"), RefusalPart("no"), AudioPart(audio_id="audio_1"))),
    )


def _call(identifier: str, name: str, arguments: str, **members: Any) -> Json:
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **members,
    }


def _custom(identifier: str, name: str, text: str) -> Json:
    return {"id": identifier, "type": "custom", "custom": {"name": name, "input": text}}


def test_old_function_messages_find_their_calls() -> None:
    request = read(
        {
            "functions": [{"name": "f", "parameters": {"type": "object"}}],
            "function_call": {"name": "f"},
            "messages": [
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "r"},
            ],
        }
    )
    call, result = request.messages[0].parts[0], request.messages[1].parts[0]
    assert isinstance(call, ToolCallPart)
    assert isinstance(result, ToolResultPart)
    assert (call.id, call.name, result.name) == (result.call_id, "f", "f")
    assert request.tools == (Tool("function", "f", parameters={"type": "object"}),)
    assert request.tool_choice == ToolChoice("named", "f")


REASONING: list[tuple[Json, tuple[Any, ...]]] = [
    ({"reasoning": "hm"}, (ReasoningPart("hm"),)),
    ({"reasoning_content": "hm"}, (ReasoningPart("hm"),)),
    (
        {
            "reasoning": "hm",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "x", "index": 0}
            ],
        },
        (ReasoningPart("hm", "text", Signature("S", "chat"), ("chat", {"format": "x", "index": 0})),),
    ),
    (
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "s"},
                {"type": "reasoning.encrypted", "data": "sealed:E"},
            ]
        },
        (ReasoningPart("s", "summary"), ReasoningPart("", "hidden", Signature("E", "messages", "there"))),
    ),
    (
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "E"}]},
        (ReasoningPart("hm"), ReasoningPart("", "hidden", Signature("E", "chat"))),
    ),
    (
        {"reasoning_details": [{"type": "reasoning.server_tool_call", "tool_name": "t"}]},
        (
            OpaquePart(
                "reasoning.server_tool_call",
                ("chat", {"reasoning_details": {"type": "reasoning.server_tool_call", "tool_name": "t"}}),
            ),
        ),
    ),
    (
        {"extra_content": {"google": {"thought_signature": "G"}}},
        (ReasoningPart("", "hidden", Signature("G", "chat")),),
    ),
    (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "T"}]},
        (ReasoningPart("hm", "text", Signature("T", "chat")),),
    ),
]


@pytest.mark.parametrize(("members", "parts"), REASONING, ids=lambda value: str(value)[:50])
def test_reasoning_comes_back_from_every_slot(members: Json, parts: tuple[Any, ...]) -> None:
    assert read({"messages": [{"role": "assistant", **members}]}).messages[0].parts == parts


def test_a_calls_own_signature_is_found_in_the_details_or_on_the_call() -> None:
    details = [{"type": "reasoning.encrypted", "data": "sealed:A", "id": "c1", "format": "g"}]
    signed = _call("c2", "g", "{}", extra_content={"google": {"thought_signature": "B"}})
    message = {
        "role": "assistant",
        "tool_calls": [_call("c1", "f", "{}"), signed],
        "reasoning_details": details,
    }
    assert read({"messages": [message]}).messages[0].parts == (
        ToolCallPart(
            "c1",
            "f",
            "{}",
            signature=Signature("A", "messages", "there"),
            native=("chat", {"reasoning_details": {"format": "g"}}),
        ),
        ToolCallPart("c2", "g", "{}", signature=Signature("B", "chat")),
    )


MEMBERS: list[tuple[Json, Json]] = [
    ({"max_tokens": 5}, {"sampling": Sampling(max_tokens=5)}),
    ({"max_tokens": 5, "max_completion_tokens": 7}, {"sampling": Sampling(max_tokens=7)}),
    ({"max_tokens": 5.0}, {"sampling": Sampling(max_tokens=5)}),
    ({"stop": "a"}, {"sampling": Sampling(stop=("a",))}),
    ({"stop": ["a", "b"]}, {"sampling": Sampling(stop=("a", "b"))}),
    (
        {
            "temperature": 0,
            "top_p": 0.5,
            "top_k": 3,
            "seed": 0,
            "n": 2,
            "presence_penalty": 1,
            "frequency_penalty": -1,
        },
        {
            "sampling": Sampling(
                temperature=0, top_p=0.5, top_k=3, seed=0, n=2, presence_penalty=1, frequency_penalty=-1
            )
        },
    ),
    (
        {"logit_bias": {"5": -100}, "logprobs": True, "top_logprobs": 2},
        {"sampling": Sampling(logit_bias={"5": -100}, logprobs=True, top_logprobs=2)},
    ),
    ({"reasoning_effort": "low"}, {"reasoning": Reasoning("low")}),
    (
        {"reasoning": {"effort": "high", "summary": "auto", "exclude": True}},
        {"reasoning": Reasoning("high", None, "auto", ("chat", {"exclude": True}))},
    ),
    ({"reasoning": {"max_tokens": 100}}, {"reasoning": Reasoning(None, 100)}),
    (
        {"reasoning": {"enabled": False}},
        {"reasoning": Reasoning("none", native=("chat", {"enabled": False}))},
    ),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_object"}}, {"output": Output("json")}),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"a": 1}, "strict": True},
            }
        },
        {"output": Output("schema", {"a": 1}, "x", True)},
    ),
    (
        {"response_format": {"type": "json_schema", "name": "x", "schema": {"a": 1}}},
        {"output": Output("schema", {"a": 1}, "x")},
    ),
    (
        {"response_format": {"type": "regex", "regex": {"regex": "a+"}}},
        {"extra": {"response_format": {"type": "regex", "regex": {"regex": "a+"}}}},
    ),
    (
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}, "verbosity": "low"},
        {
            "output": Output(
                modalities=("text", "audio"), audio={"voice": "alloy", "format": "mp3"}, verbosity="low"
            )
        },
    ),
    (
        {"service_tier": "flex", "user": "u", "prediction": {"type": "content", "content": "x"}},
        {"hints": {"service_tier": "flex", "user": "u", "prediction": {"type": "content", "content": "x"}}},
    ),
    ({"store": True, "metadata": {"a": "b"}}, {"state": State(store=True), "metadata": {"a": "b"}}),
    ({"parallel_tool_calls": False, "stream": True}, {"parallel_tool_calls": False, "stream": True}),
    (
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"extra": {"stream_options": {"include_obfuscation": False}}},
    ),
    ({"fallbacks": ["a/b"], "mystery": [1]}, {"extra": {"mystery": [1]}}),
    ({"temperature": None, "tools": None, "user": None}, {}),
]


@pytest.mark.parametrize(("members", "wanted"), MEMBERS, ids=lambda value: str(value)[:60])
def test_every_member_is_read(members: Json, wanted: Json) -> None:
    got = read(members)
    assert got == replace(Request("m"), origin=got.origin, **wanted)


TOOLS: list[tuple[Json, Tool]] = [
    (
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"z": 1, "a": 2}, "strict": True},
        },
        Tool("function", "f", "d", {"z": 1, "a": 2}, True),
    ),
    ({"type": "function", "name": "f", "parameters": {"a": 1}}, Tool("function", "f", parameters={"a": 1})),
    ({"function": {"name": "f"}}, Tool("function", "f")),
    (
        {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}},
        Tool("function", "f", native=("chat", {"cache_control": {"type": "ephemeral"}})),
    ),
    (
        {
            "type": "custom",
            "custom": {
                "name": "g",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
            },
        },
        Tool("custom", "g", format={"type": "grammar", "syntax": "lark", "definition": "x"}),
    ),
    (
        {"type": "custom", "name": "g", "format": {"type": "text"}},
        Tool("custom", "g", format={"type": "text"}),
    ),
    (
        {"type": "browser_search"},
        Tool("hosted", "browser_search", native=("chat", {"type": "browser_search"})),
    ),
]


@pytest.mark.parametrize(("wire", "tool"), TOOLS, ids=lambda value: str(value)[:60])
def test_tools_are_read_in_both_nestings(wire: Json, tool: Tool) -> None:
    assert read({"tools": [wire]}).tools == (tool,)


CHOICES: list[tuple[Any, ToolChoice]] = [
    ("auto", ToolChoice("auto")),
    ("none", ToolChoice("none")),
    ("required", ToolChoice("required")),
    ("any", ToolChoice("required")),
    ("tool", ToolChoice("required")),
    ({"type": "any"}, ToolChoice("required")),
    ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", "f")),
    ({"type": "function", "name": "f"}, ToolChoice("named", "f")),
    ({"type": "custom", "custom": {"name": "g"}}, ToolChoice("named", "g", "custom")),
    (
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
        ToolChoice("allowed", allowed=({"type": "function", "name": "f"},), required=True),
    ),
    (
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ToolChoice("allowed", allowed=({"type": "function", "name": "f"},)),
    ),
]


@pytest.mark.parametrize(("wire", "choice"), CHOICES, ids=lambda value: str(value)[:60])
def test_tool_choices_are_read(wire: Any, choice: ToolChoice) -> None:
    assert read({"tool_choice": wire}).tool_choice == choice


WRONG: list[tuple[Json, str, str]] = [
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": "x"}, "messages", "invalid_type"),
    ({"messages": ["x"]}, "messages[0]", "invalid_type"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "invalid_type"),
    (
        {"messages": [{"role": "user", "content": [{}]}]},
        "messages[0].content[0].type",
        "missing_required_parameter",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
        "messages[0].content[0].text",
        "invalid_type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].image_url",
        "invalid_type",
    ),
    (
        {"messages": [{"role": "tool", "content": "x"}]},
        "messages[0].tool_call_id",
        "missing_required_parameter",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls", "invalid_type"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": 1}}]}]},
        "messages[0].tool_calls[0].function.name",
        "invalid_type",
    ),
    ({"messages": [{"role": "assistant", "reasoning": 5}]}, "messages[0].reasoning", "invalid_type"),
    ({"model": 5}, "model", "invalid_type"),
    ({"temperature": "1"}, "temperature", "invalid_type"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"max_tokens": 5.5}, "max_tokens", "invalid_type"),
    ({"stop": [1]}, "stop[0]", "invalid_type"),
    ({"stream": "yes"}, "stream", "invalid_type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
        "tools[0].function.parameters",
        "invalid_type",
    ),
    ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
    ({"tool_choice": 5}, "tool_choice", "invalid_type"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter"),
    ({"response_format": "json"}, "response_format", "invalid_type"),
    ({"reasoning": "high"}, "reasoning", "invalid_type"),
    ({"metadata": []}, "metadata", "invalid_type"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
]


@pytest.mark.parametrize(("members", "param", "code"), WRONG, ids=lambda value: str(value)[:70])
def test_a_wrong_shape_is_named_by_its_path(members: Json, param: str, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(members)
    assert (caught.value.kind.name, caught.value.param, caught.value.code) == ("bad_request", param, code)


def test_members_are_spelled_as_the_wire_wants_them() -> None:
    request = Request("m", (USER,), sampling=Sampling(max_tokens=9, seed=4, n=1, stop=("x",)), stream=True)
    assert write(request, rows.OPENAI)[0] == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 9,
        "seed": 4,
        "stop": ["x"],
        "n": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert write(request, rows.MISTRAL)[0] == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "random_seed": 4,
        "stop": ["x"],
        "n": 1,
        "stream": True,
    }


LOST: list[tuple[ChatOptions, Json, Json, list[str]]] = [
    # row, members the client wrote, what is sent of them, what is told
    (rows.GROQ, {"logit_bias": {"5": 1}}, {}, ["logit_bias"]),
    (rows.GROQ, {"n": 1}, {}, []),
    (rows.MISTRAL, {"user": "u", "logit_bias": {"5": 1}}, {}, ["logit_bias", "user"]),
    (rows.MISTRAL, {"temperature": 2}, {"temperature": 1.5}, ["temperature"]),
    (rows.PERPLEXITY, {"seed": 4}, {}, ["seed"]),
    (
        rows.PERPLEXITY,
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "response", "schema": {"type": "object"}},
            }
        },
        ["response_format"],
    ),
    (rows.PERPLEXITY, {"search_mode": "web", "mystery": 1}, {"search_mode": "web", "mystery": 1}, []),
    (rows.OPENAI, {"search_mode": "web", "mystery": 1}, {"mystery": 1}, ["search_mode"]),
    (rows.OPENAI, {"top_k": 4, "thinking": {"type": "enabled"}}, {}, ["top_k", "thinking"]),
    (rows.OPENAI, {"verbosity": "low", "store": True}, {"verbosity": "low", "store": True}, []),
    (
        rows.CEREBRAS,
        {"verbosity": "low", "store": False, "metadata": {"a": "b"}},
        {},
        ["verbosity", "metadata"],
    ),
    (rows.CUSTOM, {"top_k": 4, "min_p": 0.1, "thinking": {}}, {"top_k": 4, "min_p": 0.1, "thinking": {}}, []),
    (rows.CUSTOM, {"prompt_cache_key": "k"}, {}, ["prompt_cache_key"]),
    (rows.OPENAI, {"reasoning_effort": "max"}, {"reasoning_effort": "max"}, []),
    (rows.GROQ, {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, ["reasoning_effort"]),
    (rows.GROQ, {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}, ["reasoning_effort"]),
    (rows.PERPLEXITY, {"reasoning_effort": "none"}, {}, ["reasoning_effort"]),
    (rows.PERPLEXITY, {"reasoning_effort": "max"}, {"reasoning_effort": "high"}, ["reasoning_effort"]),
    (
        rows.OPENAI,
        {"reasoning": {"max_tokens": 100}, "max_tokens": 1000},
        {"reasoning_effort": "low", "max_completion_tokens": 1000},
        ["reasoning.max_tokens"],
    ),
    (
        rows.OPENAI,
        {"reasoning": {"effort": "low", "summary": "auto"}},
        {"reasoning_effort": "low"},
        ["reasoning.summary"],
    ),
    (
        rows.OPENROUTER,
        {"reasoning": {"max_tokens": 100, "exclude": True}},
        {"reasoning": {"max_tokens": 100, "exclude": True}},
        [],
    ),
    (rows.OPENROUTER, {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}, []),
    (
        rows.OLLAMA,
        {"tools": [{"function": {"name": "f", "strict": True}}], "tool_choice": "auto"},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        ["tools"],
    ),
    (rows.OLLAMA, {"tools": [{"function": {"name": "f"}}], "tool_choice": "none"}, {}, []),
    (
        rows.MISTRAL,
        {"tools": [{"function": {"name": "f"}}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
                }
            ]
        },
        [],
    ),
    (rows.OPENAI, {"tool_choice": "auto", "parallel_tool_calls": True}, {}, []),
    (rows.GROQ, {"tools": [{"type": "browser_search"}]}, {"tools": [{"type": "browser_search"}]}, []),
    (rows.OPENAI, {"tools": [{"type": "browser_search"}]}, {}, ["tools"]),
    (rows.OPENAI, {"modalities": ["text"]}, {"modalities": ["text"]}, []),
    (rows.GROQ, {"modalities": ["text"]}, {}, []),
    (
        rows.OPENAI,
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"stream": True, "stream_options": {"include_obfuscation": False, "include_usage": True}},
        [],
    ),
]


@pytest.mark.parametrize(("options", "members", "wanted", "told"), LOST, ids=lambda value: str(value)[:50])
def test_what_a_wire_lacks_is_mapped_or_told(
    options: ChatOptions, members: Json, wanted: Json, told: list[str]
) -> None:
    body, lost = write(read({"messages": [{"role": "user", "content": "hi"}], **members}), options)
    assert {name: value for name, value in body.items() if name not in {"model", "messages"}} == wanted
    assert lost == told


REFUSED: list[tuple[ChatOptions, Json, str]] = [
    (rows.GROQ, {"n": 2}, "n"),
    (rows.GROQ, {"logprobs": True}, "logprobs"),
    (rows.OLLAMA, {"tools": [{"function": {"name": "f"}}], "tool_choice": "required"}, "tool_choice"),
    (
        rows.OPENAI,
        {"tools": [{"type": "x"}, {"function": {"name": "f"}}], "tool_choice": {"type": "x"}},
        "tool_choice",
    ),
    (rows.GROQ, {"modalities": ["text", "audio"]}, "modalities"),
    (rows.OPENAI, {"tools": [{"type": "browser_search"}], "tool_choice": "required"}, "tool_choice"),
    (
        rows.GROQ,
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        "messages",
    ),
    (
        rows.OPENROUTER,
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        "messages",
    ),
    (
        rows.CEREBRAS,
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
        "messages",
    ),
    (
        replace(rows.CUSTOM, formats=frozenset()),
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        "response_format",
    ),
]


@pytest.mark.parametrize(("options", "members", "param"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_would_change_the_answer_is_refused(options: ChatOptions, members: Json, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        write(read({"messages": [{"role": "user", "content": "hi"}], **members}), options)
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", param)


def test_a_named_tool_without_a_word_for_it_is_offered_alone() -> None:
    tools = [{"function": {"name": "f"}}, {"function": {"name": "g"}}]
    request = read({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "g"}}})
    body, told = write(request, rows.PERPLEXITY)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["g"]
    assert (body["tool_choice"], told) == ("required", ["tool_choice"])


def test_allowed_tools_are_said_or_become_fewer_tools() -> None:
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
    }
    request = read(
        {"tools": [{"function": {"name": "f"}}, {"function": {"name": "g"}}], "tool_choice": allowed}
    )
    said = write(request, rows.OPENAI)[0]
    assert (len(said["tools"]), said["tool_choice"]) == (2, allowed)
    fewer = write(request, rows.GROQ)[0]
    assert [tool["function"]["name"] for tool in fewer["tools"]] == ["g"]
    assert "tool_choice" not in fewer


def test_a_hosted_web_search_is_asked_for_in_the_searching_wires_own_member() -> None:
    tool = Tool(
        "hosted", "web_search", native=("responses", {"type": "web_search", "search_context_size": "high"})
    )
    body, told = write(Request("m", (USER,), tools=(tool,)), rows.PERPLEXITY)
    assert (body["web_search_options"], "tools" in body, told) == ({"search_context_size": "high"}, False, [])


def test_a_schema_keeps_the_order_of_its_keys() -> None:
    schema = {"type": "object", "properties": {"z": {}, "a": {}}, "required": ["z", "a"]}
    written = write(Request("m", (USER,), tools=(Tool("function", "f", parameters=schema),)))[0]
    assert list(written["tools"][0]["function"]["parameters"]["properties"]) == ["z", "a"]


def test_items_of_one_turn_become_one_message() -> None:
    request = Request(
        "m",
        (
            USER,
            Message("assistant", (ReasoningPart("hm"),), Item("rs_1")),
            Message("assistant", (TextPart("one"),), Item("msg_1")),
            Message("assistant", (ToolCallPart("c1", "f", ""),), Item("fc_1")),
            Message("assistant", (ToolCallPart("c2", "f", "{}"),), Item("fc_2")),
            Message(
                "tool", (ToolResultPart("c1", (TextPart("r1"),)), ToolResultPart("c2", (TextPart("r2"),)))
            ),
        ),
        instructions="be brief",
    )
    assert write(request)[0]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "one",
            "reasoning_content": "hm",
            "tool_calls": [_call("c1", "f", "{}"), _call("c2", "f", "{}")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r1"},
        {"role": "tool", "tool_call_id": "c2", "content": "r2"},
    ]


def test_two_answers_in_a_row_stay_two_messages() -> None:
    written = encode_messages(Message("assistant", (TextPart("a"),)), Message("assistant", (TextPart("b"),)))
    assert [message["content"] for message in written] == ["a", "b"]


def test_what_a_tool_showed_follows_its_results_in_a_user_message() -> None:
    results = Message("tool", (ToolResultPart("c1", (TextPart("see"), ImagePart("R0lG", "image/gif"))),))
    body, told = write(Request("m", (results, Message("tool", (ToolResultPart("c2", ()),)), USER)))
    assert body["messages"] == [
        {"role": "tool", "tool_call_id": "c1", "content": "see"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}}],
        },
        {"role": "user", "content": "hi"},
    ]
    assert told == ["messages"]


SIGNED = (
    ReasoningPart("hm", "text", Signature("S", "chat", "there"), ("chat", {"format": "x", "index": 0})),
    ToolCallPart("c1", "f", "{}", signature=Signature("T", "chat", "there")),
)
FOREIGN = (
    ReasoningPart("hm", "text", Signature("S", "messages", "there")),
    ToolCallPart("c1", "f", "{}", signature=Signature("T", "gemini", "there")),
)
HISTORY: list[tuple[ChatOptions, tuple[Any, ...], Json, list[str]]] = [
    (rows.OPENAI, (ReasoningPart("hm"), TextPart("a")), {"content": "a"}, ["messages"]),
    (rows.GROQ, (ReasoningPart("hm"), TextPart("a")), {"content": "a", "reasoning": "hm"}, []),
    (rows.CUSTOM, (ReasoningPart("hm"), TextPart("a")), {"content": "a", "reasoning_content": "hm"}, []),
    (rows.CUSTOM, (SIGNED[0],), {"content": None, "reasoning_content": "hm"}, ["messages"]),
    (
        rows.MISTRAL,
        (ReasoningPart("hm", "text", Signature("S", "chat", "there")), TextPart("a")),
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "S"},
                {"type": "text", "text": "a"},
            ],
            "prefix": True,
        },
        [],
    ),
    (
        rows.OPENROUTER,
        SIGNED,
        {
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0, "format": "x"},
                {"type": "reasoning.encrypted", "data": "T", "id": "c1", "index": 1},
            ],
            "tool_calls": [_call("c1", "f", "{}")],
        },
        [],
    ),
    (rows.OPENROUTER, FOREIGN, {"content": None, "tool_calls": [_call("c1", "f", "{}")]}, ["messages"]),
    (
        replace(rows.CUSTOM, text_lists=True, open_members=False, history="extra_content"),
        (ToolCallPart("c1", "f", "{}", signature=Signature("T", "chat", "there")),),
        {
            "content": None,
            "tool_calls": [_call("c1", "f", "{}", extra_content={"google": {"thought_signature": "T"}})],
        },
        [],
    ),
    (rows.OPENAI, (RefusalPart("no"),), {"content": None, "refusal": "no"}, []),
    (rows.GROQ, (RefusalPart("no"),), {"content": "no"}, []),
    (rows.OPENAI, (AudioPart(audio_id="audio_1"),), {"content": None, "audio": {"id": "audio_1"}}, []),
    (
        rows.OPENAI,
        (TextPart("a"), OpaquePart("web_search_call", ("responses", {}))),
        {"content": "a"},
        ["messages"],
    ),
]


@pytest.mark.parametrize(("options", "parts", "wanted", "told"), HISTORY, ids=lambda value: str(value)[:50])
def test_an_earlier_turn_goes_back_in_the_wires_own_slots(
    options: ChatOptions, parts: tuple[Any, ...], wanted: Json, told: list[str]
) -> None:
    body, lost = write(Request("m", (Message("assistant", parts),)), options)
    assert body["messages"] == [{"role": "assistant", **wanted}]
    assert lost == told


def test_a_signature_of_another_realm_is_left_out_with_its_thought() -> None:
    assert encode_messages(
        USER, Message("assistant", (SIGNED[0],)), options=rows.OPENROUTER, realm="elsewhere"
    ) == [{"role": "user", "content": "hi"}]


def test_short_ids_keep_calls_and_results_together() -> None:
    messages = (
        Message(
            "assistant", (ToolCallPart("call_a_long_one", "f", "{}"), ToolCallPart("Ab3dEf6h9", "f", "{}"))
        ),
        Message("tool", (ToolResultPart("call_a_long_one", (TextPart("r"),)),)),
    )
    assistant, result = encode_messages(*messages, options=rows.MISTRAL)
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert ids == [short_id("call_a_long_one"), "Ab3dEf6h9"]
    assert result["tool_call_id"] == ids[0]
    assert len(ids[0]) == 9
    assert ids[0].isalnum()


def test_a_last_assistant_message_is_marked_as_the_beginning_of_the_answer() -> None:
    messages = encode_messages(USER, Message("assistant", (TextPart("It is"),)), options=rows.MISTRAL)
    assert messages[-1] == {"role": "assistant", "content": "It is", "prefix": True}
    assert (
        "prefix"
        not in encode_messages(Message("assistant", (TextPart("It is"),)), USER, options=rows.MISTRAL)[0]
    )


FILES: list[tuple[ChatOptions, FilePart, Json]] = [
    (
        rows.OPENAI,
        FilePart("JVBE", media_type="application/pdf", filename="a.pdf"),
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
    ),
    (rows.OPENAI, FilePart(file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
    (rows.OPENAI, FilePart(text="plain"), {"type": "text", "text": "plain"}),
    (
        rows.MISTRAL,
        FilePart(url="https://e/a.pdf"),
        {"type": "document_url", "document_url": "https://e/a.pdf"},
    ),
    (rows.MISTRAL, FilePart(file_id="f"), {"type": "file", "file_id": "f"}),
    (
        rows.OPENROUTER,
        FilePart(url="https://e/a.pdf", filename="a.pdf"),
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://e/a.pdf"}},
    ),
    (
        rows.PERPLEXITY,
        FilePart("JVBE", filename="a.pdf"),
        {"type": "file_url", "file_url": {"url": "JVBE"}, "file_name": "a.pdf"},
    ),
]


@pytest.mark.parametrize(("options", "part", "wanted"), FILES, ids=lambda value: str(value)[:50])
def test_documents_are_written_in_the_wires_own_form(
    options: ChatOptions, part: FilePart, wanted: Json
) -> None:
    (message,) = encode_messages(Message("user", (part, TextPart("read"))), options=options)
    assert message["content"][0] == wanted


def test_a_document_by_address_is_refused_where_it_must_be_sent_whole() -> None:
    with pytest.raises(GatewayError) as caught:
        encode_messages(Message("user", (FilePart(url="https://e/a.pdf"),)), options=rows.OPENAI)
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", "messages")


def test_cache_marks_reach_the_wires_that_read_them_and_are_told_elsewhere() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    message = Message("user", (TextPart("hi", native=("chat", mark)),))
    assert encode_messages(message, options=rows.OPENROUTER)[0]["content"] == [
        {"type": "text", "text": "hi", **mark}
    ]
    body, told = write(Request("m", (message,)), rows.OPENAI)
    assert (body["messages"][0]["content"], told) == ("hi", ["cache_control"])


@pytest.mark.parametrize("texts", [("hi",), ("hi", "you")])
def test_a_marked_list_of_texts_is_one_string_where_lists_are_not_known(texts: tuple[str, ...]) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    message = Message("user", tuple(TextPart(one, native=("chat", mark)) for one in texts))
    body, told = write(Request("m", (message,)), rows.CUSTOM)
    assert (body["messages"][0]["content"], told) == ("\n".join(texts), ["cache_control"])


EFFORTS: list[tuple[str, str, str | None, list[str]]] = [
    ("llama-3.3-70b-versatile", "high", None, ["reasoning_effort"]),
    ("moonshotai/kimi-k2-instruct", "low", None, ["reasoning_effort"]),
    ("groq/compound", "none", None, []),
    ("deepseek-r1-distill-qwen-32b", "low", None, ["reasoning_effort"]),
    ("openai/gpt-oss-120b", "low", "low", []),
    ("qwen/qwen3-32b", "none", "none", []),
]


@pytest.mark.parametrize(("model", "asked", "effort", "lost"), EFFORTS)
def test_groqs_models_without_an_effort_are_sent_none(
    model: str, asked: str, effort: str | None, lost: list[str]
) -> None:
    losses = Losses("chat")
    context = generic.client_context(model, options=rows.GROQ, losses=losses)
    body = DIALECT.encode_request(read({"messages": [], "reasoning_effort": asked}), context).body
    assert (body.get("reasoning_effort"), [loss.param for loss in losses.items]) == (effort, lost)


def test_roles_and_names_fit_the_wire() -> None:
    message = Message("developer", (TextPart("d"),), name="boss")
    assert encode_messages(message, options=rows.OPENAI) == [
        {"role": "developer", "content": "d", "name": "boss"}
    ]
    body, told = write(Request("m", (message,)), rows.MISTRAL)
    assert (body["messages"], told) == ([{"role": "system", "content": "d"}], ["messages"])


def test_members_of_another_dialects_request_are_told() -> None:
    hints = {"truncation": "auto", "include": ["reasoning.encrypted_content"], "max_tool_calls": 3}
    request = Request("m", (USER,), hints=hints, extra={"mystery": 1}, origin=Origin("responses", {}))
    losses = Losses("responses")
    body = DIALECT.encode_request(request, generic.client_context(options=rows.OPENAI, losses=losses)).body
    assert body.keys() == {"model", "messages"}
    assert [loss.param for loss in losses.items] == ["truncation", "max_tool_calls", "mystery"]


def test_the_stores_members_stay_with_the_gateway_on_other_surfaces() -> None:
    request = Request(
        "m", (USER,), state=State(store=True), metadata={"a": "b"}, origin=Origin("responses", {})
    )
    body, told = write(request, rows.OPENAI)
    assert (body.keys(), told) == ({"model", "messages"}, [])
