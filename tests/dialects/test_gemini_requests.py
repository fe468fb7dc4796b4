"""What goes out to generateContent: golden bodies, their losses, and Google's own types."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

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
from app.dialects.gemini.contents_out import SKIP_SIGNATURE
from app.dialects.gemini.dialect import DIALECT
from app.dialects.gemini.options import VERTEX, GeminiOptions
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic

HI = Message("user", (TextPart("hi"),))
MINE = Signature("c2ln", "gemini", "there")
FOREIGN = Signature("c2ln", "messages", "elsewhere")
SCHEMA = {
    "type": "object",
    "properties": {"zeta": {"type": "string"}, "alpha": {"type": ["integer", "null"]}},
    "required": ["zeta", "alpha"],
    "additionalProperties": False,
}
SUM = Tool("function", "sum", "Adds.", SCHEMA)


def encode(
    request: Request, model: str = "gemini-2.5-flash", options: GeminiOptions | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The body and the parameters that were warned of; the body fits Google's types."""
    context = generic.client_context(model, options=options, losses=Losses("chat", target=model))
    body = DIALECT.encode_request(request, context).body
    assert_published(body)
    return body, [loss.param for loss in context.losses.items]


def assert_published(body: dict[str, Any]) -> None:
    """Hold a body to google-genai's published types, which forbid unknown members."""
    for content in body["contents"]:
        types.Content.model_validate(content)
    if "systemInstruction" in body:
        types.Content.model_validate(body["systemInstruction"])
    for tool in body.get("tools", []):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(body.get("toolConfig", {}))
    config = dict(body.get("generationConfig", {}))
    types.ImageConfig.model_validate(config.pop("imageConfig", {}))
    types.GenerationConfig.model_validate(config)
    rest = body.keys() - {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
    types.GenerateContentConfig.model_validate({name: body[name] for name in rest})


def turns(*messages: Message, model: str = "gemini-2.5-flash", **members: Any) -> Any:
    return encode(Request(model, messages, **members), model)[0]["contents"]


CONVERSATIONS: dict[str, tuple[tuple[Message, ...], list[dict[str, Any]]]] = {
    "turns of one role are joined": (
        (HI, Message("user", (TextPart("there"),)), Message("assistant", (TextPart("yes"),))),
        [
            {"role": "user", "parts": [{"text": "hi"}, {"text": "there"}]},
            {"role": "model", "parts": [{"text": "yes"}]},
        ],
    ),
    "images inline and by address": (
        (
            Message(
                "user",
                (
                    ImagePart(data="aGk=", media_type="image/png"),
                    ImagePart(url="data:image/webp;base64,aGk="),
                    ImagePart(url="https://host/cat.gif?x=1"),
                ),
            ),
        ),
        [
            {
                "role": "user",
                "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
                    {"inlineData": {"mimeType": "image/webp", "data": "aGk="}},
                    {"fileData": {"mimeType": "image/gif", "fileUri": "https://host/cat.gif?x=1"}},
                ],
            }
        ],
    ),
    "audio and files": (
        (
            Message(
                "user",
                (
                    AudioPart(data="aGk=", format="mp3"),
                    FilePart(data="aGk=", media_type="application/pdf"),
                    FilePart(text="hi"),
                    FilePart(file_id="gs://bucket/a.txt"),
                ),
            ),
        ),
        [
            {
                "role": "user",
                "parts": [
                    {"inlineData": {"mimeType": "audio/mp3", "data": "aGk="}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
                    {"inlineData": {"mimeType": "text/plain", "data": "aGk="}},
                    {"fileData": {"mimeType": "text/plain", "fileUri": "gs://bucket/a.txt"}},
                ],
            }
        ],
    ),
    "a tool's result is named by its call, and not an object is wrapped": (
        (
            HI,
            Message(
                "assistant",
                (ToolCallPart("call_1", "sum", '{"b": 1, "a": 2}'), ToolCallPart("call_2", "now")),
            ),
            Message("tool", (ToolResultPart("call_1", (TextPart("3"),)),)),
            Message("tool", (ToolResultPart("call_2", (TextPart('{"hour": 9}'),)),)),
            Message("user", (TextPart("so?"),)),
        ),
        [
            {"role": "user", "parts": [{"text": "hi"}]},
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "sum", "args": {"b": 1, "a": 2}, "id": "call_1"}},
                    {"functionCall": {"name": "now", "args": {}, "id": "call_2"}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "sum", "response": {"output": "3"}, "id": "call_1"}},
                    {"functionResponse": {"name": "now", "response": {"hour": 9}, "id": "call_2"}},
                    {"text": "so?"},
                ],
            },
        ],
    ),
    "a failed tool says so": (
        (Message("tool", (ToolResultPart("c", (TextPart("no such file"),), name="read", is_error=True),)),),
        [
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "read", "response": {"error": "no such file"}, "id": "c"}}
                ],
            }
        ],
    ),
    "a custom tool's call is a function of one text": (
        (Message("assistant", (ToolCallPart("c", "shell", "ls -l", "custom"),)),),
        [
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "shell", "args": {"input": "ls -l"}, "id": "c"}}],
            }
        ],
    ),
    "code that Google ran goes back as it came": (
        (
            Message(
                "assistant", (OpaquePart("executableCode", ("gemini", {"executableCode": {"code": "1"}})),)
            ),
        ),
        [{"role": "model", "parts": [{"executableCode": {"code": "1"}}]}],
    ),
    "a refusal is a text of the model": (
        (HI, Message("assistant", (RefusalPart("I will not."),))),
        [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "I will not."}]}],
    ),
    "a hidden signature returns to the text that follows it": (
        (Message("assistant", (ReasoningPart(form="hidden", signature=MINE), TextPart("yes"))),),
        [{"role": "model", "parts": [{"text": "yes", "thoughtSignature": "c2ln"}]}],
    ),
    "a signature that came last returns on an empty text": (
        (Message("assistant", (TextPart("yes"), ReasoningPart(form="hidden", signature=MINE))),),
        [{"role": "model", "parts": [{"text": "yes"}, {"text": "", "thoughtSignature": "c2ln"}]}],
    ),
    "a call keeps its signature and the thoughts before it": (
        (
            Message("assistant", (ReasoningPart("hm", "summary"),)),
            Message(
                "assistant", (ToolCallPart("c", "now", "{}", signature=MINE), ToolCallPart("d", "now", "{}"))
            ),
        ),
        [
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"functionCall": {"name": "now", "args": {}, "id": "c"}, "thoughtSignature": "c2ln"},
                    {"functionCall": {"name": "now", "args": {}, "id": "d"}},
                ],
            }
        ],
    ),
    "the signature of a Responses reasoning item belongs to what follows it": (
        (
            Message("assistant", (ReasoningPart("hm", "summary", MINE),)),
            Message("assistant", (TextPart("yes"),)),
        ),
        [
            {
                "role": "model",
                "parts": [{"text": "hm", "thought": True}, {"text": "yes", "thoughtSignature": "c2ln"}],
            }
        ],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_messages_become_contents(name: str) -> None:
    messages, contents = CONVERSATIONS[name]
    body, warned = encode(Request("m", messages))
    assert body == {"contents": contents}
    assert warned == []


def test_instructions_and_system_messages_are_one_instruction() -> None:
    messages = (Message("system", (TextPart("b"),)), Message("developer", (TextPart("c"),)), HI)
    body, warned = encode(Request("m", messages, instructions="a"))
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert warned == []


def test_a_late_system_message_moves_to_the_front_with_a_warning() -> None:
    body, warned = encode(Request("m", (HI, Message("system", (TextPart("b"),)))))
    assert body["systemInstruction"] == {"parts": [{"text": "b"}]}
    assert warned == ["messages"]


def test_instructions_alone_become_the_users_turn() -> None:
    body, warned = encode(Request("m", (), instructions="a"))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    assert warned == ["messages"]


@pytest.mark.parametrize("signature", [None, FOREIGN, Signature("x", "gemini", "another realm")])
def test_reasoning_of_another_is_left_out_with_a_warning(signature: Signature | None) -> None:
    answer = Message("assistant", (ReasoningPart("hm", "text", signature), TextPart("yes")))
    body, warned = encode(Request("m", (HI, answer)))
    assert body["contents"][1] == {"role": "model", "parts": [{"text": "yes"}]}
    assert warned == ["messages"]


def test_gemini_3_gets_a_placeholder_for_the_first_unsigned_call_only() -> None:
    calls = Message(
        "assistant", (ToolCallPart("c", "now", "{}", signature=FOREIGN), ToolCallPart("d", "now", "{}"))
    )
    parts = turns(HI, calls, model="gemini-3-pro-preview")[1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SKIP_SIGNATURE, None]
    parts = turns(HI, calls, model="gemini-2.5-pro")[1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, None]


def test_a_signed_call_of_gemini_3_needs_no_placeholder() -> None:
    calls = Message(
        "assistant", (ToolCallPart("c", "now", "{}", signature=MINE), ToolCallPart("d", "now", "{}"))
    )
    body, warned = encode(Request("m", (HI, calls)), "gemini-3.5-flash")
    assert [p.get("thoughtSignature") for p in body["contents"][1]["parts"]] == ["c2ln", None]
    assert warned == []


def test_media_of_a_tools_result_go_inside_it_for_gemini_3_and_beside_it_before() -> None:
    result = ToolResultPart(
        "c", (TextPart("see"), ImagePart(data="aGk=", media_type="image/png")), name="look"
    )
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    inside = turns(Message("tool", (result,)), model="gemini-3-flash-preview")[0]["parts"]
    assert inside == [
        {"functionResponse": {"name": "look", "response": {"output": "see"}, "id": "c", "parts": [image]}}
    ]
    body, warned = encode(Request("m", (Message("tool", (result,)),)))
    assert body["contents"][0]["parts"][1] == image
    assert warned == ["messages"]


def test_a_result_without_its_call_is_named_by_the_id_with_a_warning() -> None:
    body, warned = encode(Request("m", (Message("tool", (ToolResultPart("call_9", (TextPart("{}"),)),)),)))
    assert body["contents"][0]["parts"][0]["functionResponse"]["name"] == "call_9"
    assert warned == ["messages"]


REFUSED: dict[str, Message] = {
    "messages": Message("user", (ImagePart(file_id="file-abc"),)),
    "speech": Message("assistant", (AudioPart(audio_id="audio_1"),)),
    "system": Message("system", (ImagePart(data="aGk="),)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_answer_is_refused(name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        encode(Request("m", (HI, REFUSED[name])))
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", "messages")


def test_every_sampling_parameter_has_its_place() -> None:
    sampling = Sampling(
        max_tokens=10,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=("a", "b"),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=4,
        n=2,
    )
    body, warned = encode(Request("m", (HI,), sampling=sampling))
    assert body["generationConfig"] == {
        "maxOutputTokens": 10,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 3,
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "stopSequences": ["a", "b"],
        "seed": 7,
        "responseLogprobs": True,
        "logprobs": 4,
    }
    assert warned == []


def test_what_sampling_cannot_say_is_warned_of() -> None:
    sampling = Sampling(temperature=2.5, seed=2**40, logit_bias={"1": 2})
    body, warned = encode(Request("m", (HI,), sampling=sampling, parallel_tool_calls=False, tools=(SUM,)))
    assert body["generationConfig"] == {"temperature": 2.0}
    assert warned == ["temperature", "seed", "logit_bias", "parallel_tool_calls"]


THINKING: list[tuple[str, Reasoning, int | None, dict[str, Any], list[str]]] = [
    ("gemini-2.5-flash", Reasoning("none"), None, {"thinkingBudget": 0}, []),
    ("gemini-2.5-pro", Reasoning("none"), None, {"thinkingBudget": 128, "includeThoughts": True}, ["reasoning_effort"]),
    ("gemini-2.5-pro", Reasoning(budget=-1), None, {"thinkingBudget": -1, "includeThoughts": True}, []),
    (
        "gemini-2.5-pro",
        Reasoning(budget=99_999),
        None,
        {"thinkingBudget": 32_768, "includeThoughts": True},
        ["reasoning.max_tokens"],
    ),
    (
        "gemini-2.5-flash-lite",
        Reasoning("low", budget=100),
        None,
        {"thinkingBudget": 512, "includeThoughts": True},
        ["reasoning.max_tokens"],
    ),
    ("gemini-2.5-flash", Reasoning("low"), None, {"thinkingBudget": 3_686, "includeThoughts": True}, []),
    ("gemini-2.5-flash", Reasoning("high"), 1_000, {"thinkingBudget": 800, "includeThoughts": True}, []),
    ("gemini-3.5-flash", Reasoning("minimal"), None, {"thinkingLevel": "minimal", "includeThoughts": True}, []),
    ("gemini-3-pro-preview", Reasoning("medium"), None, {"thinkingLevel": "high", "includeThoughts": True}, ["reasoning_effort"]),
    ("gemini-3-pro-preview", Reasoning("minimal"), None, {"thinkingLevel": "low", "includeThoughts": True}, ["reasoning_effort"]),
    ("gemini-3.1-pro-preview", Reasoning("medium"), None, {"thinkingLevel": "medium", "includeThoughts": True}, []),
    ("gemini-3.5-flash", Reasoning("xhigh"), None, {"thinkingLevel": "high", "includeThoughts": True}, ["reasoning_effort"]),
    ("gemini-3.5-flash", Reasoning("none"), None, {"thinkingLevel": "minimal", "includeThoughts": True}, ["reasoning_effort"]),
    ("gemini-3.5-flash", Reasoning("high", budget=5_000), None, {"thinkingBudget": 5_000, "includeThoughts": True}, []),
    ("gemini-flash-latest", Reasoning("low"), None, {"thinkingLevel": "low", "includeThoughts": True}, []),
    ("gemini-2.0-flash", Reasoning("high"), None, {}, ["reasoning_effort"]),
    ("gemini-2.0-flash", Reasoning("none"), None, {}, []),
    ("gemini-2.5-flash", Reasoning(summary="auto"), None, {"includeThoughts": True}, []),
    ("1234567890", Reasoning("low"), 2_000, {"thinkingBudget": 1_024, "includeThoughts": True}, []),
]  # fmt: skip


@pytest.mark.parametrize(("model", "reasoning", "limit", "config", "params"), THINKING)
def test_effort_and_budget_fit_the_family(
    model: str, reasoning: Reasoning, limit: int | None, config: dict[str, Any], params: list[str]
) -> None:
    request = Request("m", (HI,), reasoning=reasoning, sampling=Sampling(max_tokens=limit))
    body, warned = encode(request, model)
    assert body.get("generationConfig", {}).get("thinkingConfig", {}) == config
    assert warned == params


def test_a_responses_client_gets_thoughts_only_when_it_asks() -> None:
    asked = Request("m", (HI,), reasoning=Reasoning("low"), origin=Origin("responses", {}))
    assert encode(asked)[0]["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 3_686}


def test_functions_keep_their_schema_and_key_order() -> None:
    body, warned = encode(Request("m", (HI,), tools=(SUM,)))
    declaration = body["tools"][0]["functionDeclarations"][0]
    assert declaration == {"name": "sum", "description": "Adds.", "parametersJsonSchema": SCHEMA}
    assert list(declaration["parametersJsonSchema"]["properties"]) == ["zeta", "alpha"]
    assert warned == []


def test_an_old_model_gets_the_reduced_schema_in_the_same_order() -> None:
    body, warned = encode(Request("m", (HI,), tools=(SUM,)), "gemini-2.0-flash")
    parameters = body["tools"][0]["functionDeclarations"][0]["parameters"]
    assert parameters == {
        "type": "object",
        "properties": {"zeta": {"type": "string"}, "alpha": {"nullable": True, "type": "integer"}},
        "propertyOrdering": ["zeta", "alpha"],
        "required": ["zeta", "alpha"],
    }
    assert warned == []


def test_keywords_that_the_reduced_form_lacks_are_warned_of() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True, "items": {}}}}
    _, warned = encode(Request("m", (HI,), tools=(Tool("function", "f", None, schema),)), "gemini-1.5-pro")
    assert warned == ["tools"]


CHOICES: list[tuple[ToolChoice, dict[str, Any]]] = [
    (ToolChoice("auto"), {"mode": "AUTO"}),
    (ToolChoice("none"), {"mode": "NONE"}),
    (ToolChoice("required"), {"mode": "ANY"}),
    (ToolChoice("named", "sum"), {"mode": "ANY", "allowedFunctionNames": ["sum"]}),
    (
        ToolChoice("allowed", allowed=({"type": "function", "name": "sum"},), required=True),
        {"mode": "ANY", "allowedFunctionNames": ["sum"]},
    ),
]


@pytest.mark.parametrize(("choice", "config"), CHOICES)
def test_tool_choices(choice: ToolChoice, config: dict[str, Any]) -> None:
    body, _ = encode(Request("m", (HI,), tools=(SUM,), tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_tools_not_allowed_are_not_offered_where_none_is_required() -> None:
    other = Tool("function", "other", None, None)
    choice = ToolChoice("allowed", allowed=({"type": "function", "function": {"name": "sum"}},))
    body, _ = encode(Request("m", (HI,), tools=(SUM, other), tool_choice=choice))
    assert [d["name"] for d in body["tools"][0]["functionDeclarations"]] == ["sum"]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}}


def test_googles_own_tools() -> None:
    tools = (Tool("hosted", "web_search"), Tool("hosted", "code_interpreter"), Tool("hosted", "file_search"))
    body, warned = encode(Request("m", (HI,), tools=tools))
    assert body["tools"] == [{"googleSearch": {}}, {"codeExecution": {}}]
    assert warned == ["tools"]


def test_search_asked_for_by_a_chat_client() -> None:
    body, warned = encode(Request("m", (HI,), hints={"web_search_options": {}}))
    assert (body["tools"], warned) == ([{"googleSearch": {}}], [])


def test_googles_tools_and_functions_mix_from_gemini_3_on_where_the_host_can() -> None:
    request = Request("m", (HI,), tools=(SUM, Tool("hosted", "web_search")))
    body, warned = encode(request, "gemini-3.5-flash")
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert warned == []
    for model, options in (("gemini-2.5-flash", GeminiOptions()), ("gemini-3.5-flash", VERTEX)):
        body, warned = encode(request, model, options)
        assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"]]
        assert warned == ["tools"]


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    body, warned = encode(Request("m", (HI,), tools=(Tool("custom", "shell", "Runs."),)))
    schema = body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]
    assert (schema["required"], warned) == (["input"], ["tools"])


def test_forcing_one_of_googles_tools_is_refused() -> None:
    request = Request("m", (HI,), tool_choice=ToolChoice("named", "web_search", "hosted"))
    with pytest.raises(GatewayError, match="cannot be made to use"):
        encode(request)


def test_output_forms() -> None:
    assert encode(Request("m", (HI,), output=Output("json")))[0]["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    form = Output("schema", SCHEMA, "answer")
    assert encode(Request("m", (HI,), output=form))[0]["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    old = encode(Request("m", (HI,), output=form), "gemini-2.0-flash")[0]["generationConfig"]
    assert old["responseSchema"]["propertyOrdering"] == ["zeta", "alpha"]


def test_speech_and_pictures_out() -> None:
    spoken = Output(modalities=("audio",), audio={"voice": "Kore", "format": "pcm16"})
    assert encode(Request("m", (HI,), output=spoken))[0]["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    seen = Output(modalities=("text", "image"))
    assert encode(Request("m", (HI,), output=seen))[0]["generationConfig"] == {
        "responseModalities": ["TEXT", "IMAGE"]
    }
    with pytest.raises(GatewayError):
        encode(Request("m", (HI,), output=Output(modalities=("smell",))))


def test_googles_own_members_are_taken_in_either_spelling() -> None:
    extra = {
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/x",
        "labels": {"team": "a"},
        "image_config": {"aspectRatio": "1:1"},
        "media_resolution": "MEDIA_RESOLUTION_LOW",
        "whatever": 1,
    }
    body, warned = encode(Request("m", (HI,), extra=extra, origin=Origin("chat", {})))
    assert body["safetySettings"] == extra["safety_settings"]
    assert (body["cachedContent"], body["labels"]) == ("cachedContents/x", {"team": "a"})
    assert body["generationConfig"] == {
        "imageConfig": {"aspectRatio": "1:1"},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    }
    assert warned == ["whatever"]


def test_hints() -> None:
    hints = {
        "service_tier": "flex",
        "user": "u",
        "truncation": "disabled",
        "include": ["file_search_call.results"],
        "prediction": None,
    }
    body, warned = encode(Request("m", (HI,), hints=hints))
    assert (body["serviceTier"], warned) == ("flex", ["user"])
    assert "serviceTier" not in encode(Request("m", (HI,), hints={"service_tier": "auto"}))[0]


def test_a_count_asks_for_the_same_request() -> None:
    request = Request("m", (HI,), instructions="a", tools=(SUM,), tool_choice=ToolChoice("auto"))
    wrapped = DIALECT.encode_count(request, generic.client_context("gemini-2.5-flash")).body
    inner = wrapped["generateContentRequest"]
    assert inner.pop("model") == "models/gemini-2.5-flash"
    assert inner == encode(request)[0]
    vertex = DIALECT.encode_count(request, generic.client_context("gemini-2.5-flash", options=VERTEX)).body
    assert list(vertex) == ["contents", "systemInstruction", "tools"]
