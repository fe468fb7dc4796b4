"""The requests of the matrix that come in at the surfaces of other APIs, without their model.

As in ``fixtures``, values are odd on purpose, so that one can find them again in what goes out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
IMAGE_URL = "https://example.com/cat.png"
FILE_URL = "https://example.com/paper.pdf"
CLAUDE_SIGNATURE = "sealed|messages|claude|CLAUDESIGNATURE"
GEMINI_SIGNATURE = base64.b64encode(b"sealed|gemini|gemini:default|R0VNSU5JU0lHTg==").decode()
WEATHER = {
    "type": "object",
    "properties": {"zone": {"type": "string"}, "city": {"type": "string", "description": "CITYWORD"}},
    "required": ["zone", "city"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {"surname": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["surname", "age"],
    "additionalProperties": False,
}
ROME = {"zone": "CET", "city": "ROMEWORD"}
OSLO = {"zone": "CET", "city": "OSLOWORD"}


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


# Messages

_TOOL = {"name": "get_weather", "description": "Tells get_weather.", "input_schema": WEATHER}
_TIME = {**_TOOL, "name": "get_time", "description": "Tells get_time."}
_USE = ("toolu_aaaaaaaaaaaaaaaaaaaaaaaa", "toolu_bbbbbbbbbbbbbbbbbbbbbbbb")


def _messages_body(*turns: Any, **members: Any) -> dict[str, Any]:
    return {"max_tokens": 5678, "messages": list(turns) or [_user("Say HELLOWORD.")], **members}


def _blocks_body(*blocks: dict[str, Any]) -> dict[str, Any]:
    return _messages_body(_user([*blocks, {"type": "text", "text": "READWORD"}]))


def _source(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "source": members}


def _used(number: int, what: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": _USE[number], "name": "get_weather", "input": dict(what)}


def _gave(number: int, content: Any, **members: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": _USE[number], "content": content, **members}


_PICTURE = _source("image", type="base64", media_type="image/png", data=PNG)
_ADAPTIVE = {"type": "adaptive", "display": "summarized"}
_MCP = {"type": "url", "url": "https://example.com/mcp", "name": "MCPWORD"}

MESSAGES: Mapping[str, Body] = {
    "text": _messages_body(),
    "system": _messages_body(system="SYSTEMWORD"),
    "system_blocks_cached": _messages_body(
        system=[
            {"type": "text", "text": "SYSTEMWORD", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": "MOREWORD"},
        ]
    ),
    "turns": _messages_body(
        _user("FIRSTWORD"), _assistant("SECONDWORD"), _user([{"type": "text", "text": "THIRDWORD"}])
    ),
    "prefill": _messages_body(_user("FIRSTWORD"), _assistant("PREFIXWORD")),
    "image_data": _blocks_body(_PICTURE),
    "image_url": _blocks_body(_source("image", type="url", url=IMAGE_URL)),
    "document_data": _blocks_body(
        {
            **_source("document", type="base64", media_type="application/pdf", data=PDF),
            "title": "TITLEWORD",
            "context": "CONTEXTWORD",
        }
    ),
    "document_url": _blocks_body(_source("document", type="url", url=FILE_URL)),
    "document_text_cited": _blocks_body(
        {
            **_source("document", type="text", media_type="text/plain", data="PLAINWORD"),
            "citations": {"enabled": True},
        }
    ),
    "search_result": _blocks_body(
        {
            "type": "search_result",
            "source": "SOURCEWORD",
            "title": "TITLEWORD",
            "content": [{"type": "text", "text": "FOUNDWORD"}],
        }
    ),
    "tool": _messages_body(tools=[_TOOL]),
    "tool_strict": _messages_body(tools=[{**_TOOL, "strict": True}]),
    "tool_any": _messages_body(tools=[_TOOL], tool_choice={"type": "any"}),
    "tool_none": _messages_body(tools=[_TOOL], tool_choice={"type": "none"}),
    "tool_named": _messages_body(tools=[_TOOL, _TIME], tool_choice={"type": "tool", "name": "get_weather"}),
    "tools_one_at_a_time": _messages_body(
        tools=[_TOOL, _TIME], tool_choice={"type": "auto", "disable_parallel_tool_use": True}
    ),
    "tool_cached": _messages_body(tools=[{**_TOOL, "cache_control": {"type": "ephemeral"}}]),
    "tool_hosted": _messages_body(
        tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
    ),
    "tool_results": _messages_body(
        _user("FIRSTWORD"),
        _assistant([{"type": "text", "text": "CALLWORD"}, _used(0, ROME), _used(1, OSLO)]),
        _user(
            [
                _gave(0, "SUNNYWORD"),
                _gave(1, [{"type": "text", "text": "RAINYWORD"}, _PICTURE]),
                {"type": "text", "text": "ASKWORD"},
            ]
        ),
        tools=[_TOOL],
    ),
    "tool_failed": _messages_body(
        _user("FIRSTWORD"),
        _assistant([_used(0, ROME)]),
        _user([_gave(0, "BROKENWORD", is_error=True)]),
        tools=[_TOOL],
    ),
    "thinking_budget": _messages_body(thinking={"type": "enabled", "budget_tokens": 2345}),
    "thinking_adaptive": _messages_body(thinking=_ADAPTIVE, output_config={"effort": "medium"}),
    "thinking_disabled": _messages_body(thinking={"type": "disabled"}),
    "effort": _messages_body(output_config={"effort": "low"}),
    "thinking_replayed": _messages_body(
        _user("FIRSTWORD"),
        _assistant(
            [
                {"type": "thinking", "thinking": "THOUGHTWORD", "signature": CLAUDE_SIGNATURE},
                _used(0, ROME),
            ]
        ),
        _user([_gave(0, "SUNNYWORD")]),
        tools=[_TOOL],
        thinking={"type": "enabled", "budget_tokens": 2345},
    ),
    "schema": _messages_body(output_config={"format": {"type": "json_schema", "schema": PERSON}}),
    "sampling": _messages_body(temperature=0.37, stop_sequences=["STOPWORD", "HALTWORD"]),
    "top_p": _messages_body(top_p=0.83),
    "top_k": _messages_body(top_k=41),
    "hints": _messages_body(metadata={"user_id": "USERWORD"}, service_tier="standard_only"),
    "context_management": _messages_body(
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}
    ),
    "container": _messages_body(container="CONTAINERWORD"),
    "mcp_servers": _messages_body(mcp_servers=[_MCP]),
    "unknown_members": _messages_body(x_unheard_of={"deep": "UNKNOWNWORD"}),
    "stream": _messages_body(stream=True),
    "fallbacks": _messages_body(fallbacks=["sandbox/echo"]),
}


# Gemini

_DECLARED = {
    "name": "get_weather",
    "description": "Tells get_weather.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"zone": {"type": "STRING"}, "city": {"type": "STRING", "description": "CITYWORD"}},
        "required": ["zone", "city"],
    },
}
_JSON_DECLARED = {
    "name": "get_time",
    "description": "Tells get_time.",
    "parametersJsonSchema": WEATHER,
}


def _contents(*parts: Any, **members: Any) -> dict[str, Any]:
    said = parts or ({"text": "Say HELLOWORD."},)
    return {"contents": [{"role": "user", "parts": list(said)}], **members}


def _configured(**members: Any) -> dict[str, Any]:
    return _contents(generationConfig=members)


def _declared(*functions: Any, **members: Any) -> dict[str, Any]:
    return _contents(tools=[{"functionDeclarations": list(functions or (_DECLARED,))}], **members)


def _calling(mode: str, *names: str) -> dict[str, Any]:
    config = {"mode": mode, **({"allowedFunctionNames": list(names)} if names else {})}
    return {"toolConfig": {"functionCallingConfig": config}}


def _function_call(what: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return {"functionCall": {"name": "get_weather", "args": dict(what)}, **members}


def _returned(word: str) -> dict[str, Any]:
    return {"functionResponse": {"name": "get_weather", "response": {"weather": word}}}


_VOICE = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}

GEMINI: Mapping[str, Body] = {
    "text": _contents(),
    "system": _contents(systemInstruction={"parts": [{"text": "SYSTEMWORD"}, {"text": "MOREWORD"}]}),
    "snake_case": _contents(
        system_instruction={"parts": [{"text": "SYSTEMWORD"}]},
        generation_config={"max_output_tokens": 1234, "stop_sequences": ["STOPWORD"]},
    ),
    "turns": {
        "contents": [
            {"role": "user", "parts": [{"text": "FIRSTWORD"}]},
            {"role": "model", "parts": [{"text": "SECONDWORD"}]},
            {"role": "user", "parts": [{"text": "THIRDWORD"}, {"text": "FOURTHWORD"}]},
        ]
    },
    "image_data": _contents({"text": "LOOKWORD"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    "image_uri": _contents({"fileData": {"mimeType": "image/png", "fileUri": IMAGE_URL}}),
    "document_data": _contents({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    "audio_data": _contents({"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
    "tool": _declared(),
    "tool_json_schema": _declared(_JSON_DECLARED),
    "tool_any": _declared(**_calling("ANY")),
    "tool_named": _declared(_DECLARED, _JSON_DECLARED, **_calling("ANY", "get_weather")),
    "tool_none": _declared(**_calling("NONE")),
    "tool_hosted": _contents(tools=[{"googleSearch": {}}]),
    "tool_results": {
        "contents": [
            {"role": "user", "parts": [{"text": "FIRSTWORD"}]},
            {"role": "model", "parts": [_function_call(ROME), _function_call(OSLO)]},
            {"role": "user", "parts": [_returned("SUNNYWORD"), _returned("RAINYWORD")]},
        ],
        "tools": [{"functionDeclarations": [_DECLARED]}],
    },
    "signature_replayed": {
        "contents": [
            {"role": "user", "parts": [{"text": "FIRSTWORD"}]},
            {"role": "model", "parts": [_function_call(ROME, thoughtSignature=GEMINI_SIGNATURE)]},
            {"role": "user", "parts": [_returned("SUNNYWORD")]},
        ],
        "tools": [{"functionDeclarations": [_DECLARED]}],
    },
    "sampling": _configured(temperature=0.37, maxOutputTokens=1234, stopSequences=["STOPWORD", "HALTWORD"]),
    "top_p": _configured(topP=0.83),
    "top_k": _configured(topK=41),
    "hot": _configured(temperature=1.9),
    "penalties": _configured(seed=4711, presencePenalty=0.21, frequencyPenalty=0.43),
    "two_candidates": _configured(candidateCount=2),
    "logprobs": _configured(responseLogprobs=True, logprobs=3),
    "schema": _configured(
        responseMimeType="application/json",
        responseSchema={"type": "OBJECT", "properties": {"surname": {"type": "STRING"}}},
    ),
    "json_schema": _configured(responseMimeType="application/json", responseJsonSchema=PERSON),
    "json": _configured(responseMimeType="application/json"),
    "thinking_budget": _configured(thinkingConfig={"thinkingBudget": 2345, "includeThoughts": True}),
    "thinking_level": _configured(thinkingConfig={"thinkingLevel": "LOW"}),
    "thinking_off": _configured(thinkingConfig={"thinkingBudget": 0}),
    "modalities": _configured(responseModalities=["TEXT", "IMAGE"]),
    "speech": _configured(responseModalities=["AUDIO"], speechConfig=_VOICE),
    "resolution": _contents(
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"},
    ),
    "safety": _contents(
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]
    ),
    "cached": _contents(cachedContent="cachedContents/CACHEWORD"),
    "labels": _contents(labels={"METAKEY": "METAWORD"}),
    "unknown_members": _contents(xUnheardOf={"deep": "UNKNOWNWORD"}),
    "stream": {**_contents(), "stream": True},
    "fallbacks": _contents(fallbacks=["sandbox/echo"]),
}


# Converse


def _converse(*blocks: Any, **members: Any) -> dict[str, Any]:
    return {"messages": [_user(list(blocks or ({"text": "Say HELLOWORD."},)))], **members}


def _spec(name: str = "get_weather", **members: Any) -> dict[str, Any]:
    spec = {"name": name, "description": f"Tells {name}.", "inputSchema": {"json": WEATHER}, **members}
    return {"toolSpec": spec}


def _tooled(*specs: Any, **members: Any) -> dict[str, Any]:
    return _converse(toolConfig={"tools": list(specs or (_spec(),)), **members})


def _tool_use(number: int, what: Mapping[str, Any]) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": _USE[number], "name": "get_weather", "input": dict(what)}}


def _result(number: int, *content: Any, **members: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": _USE[number], "content": list(content), **members}}


_BYTES = {"image": {"format": "png", "source": {"bytes": PNG}}}
_THOUGHT = {"reasoningText": {"text": "THOUGHTWORD", "signature": CLAUDE_SIGNATURE}}

CONVERSE: Mapping[str, Body] = {
    "text": _converse(),
    "system": _converse(system=[{"text": "SYSTEMWORD"}, {"text": "MOREWORD"}]),
    "cache_points": _converse(
        {"text": "FIRSTWORD"},
        {"cachePoint": {"type": "default"}},
        system=[{"text": "SYSTEMWORD"}, {"cachePoint": {"type": "default"}}],
    ),
    "turns": {
        "messages": [
            _user([{"text": "FIRSTWORD"}]),
            _assistant([{"text": "SECONDWORD"}]),
            _user([{"text": "THIRDWORD"}, {"text": "FOURTHWORD"}]),
        ]
    },
    "image_data": _converse({"text": "LOOKWORD"}, _BYTES),
    "document_data": _converse(
        {"document": {"format": "pdf", "name": "paper", "source": {"bytes": PDF}}}, {"text": "READWORD"}
    ),
    "tool": _tooled(),
    "tool_strict": _tooled(_spec(strict=True)),
    "tool_auto": _tooled(toolChoice={"auto": {}}),
    "tool_any": _tooled(toolChoice={"any": {}}),
    "tool_named": _tooled(_spec(), _spec("get_time"), toolChoice={"tool": {"name": "get_weather"}}),
    "tool_results": {
        "messages": [
            _user([{"text": "FIRSTWORD"}]),
            _assistant([{"text": "CALLWORD"}, _tool_use(0, ROME), _tool_use(1, OSLO)]),
            _user(
                [_result(0, {"text": "SUNNYWORD"}), _result(1, {"json": {"weather": "RAINYWORD"}}, _BYTES)]
            ),
        ],
        "toolConfig": {"tools": [_spec()]},
    },
    "tool_failed": {
        "messages": [
            _user([{"text": "FIRSTWORD"}]),
            _assistant([_tool_use(0, ROME)]),
            _user([_result(0, {"text": "BROKENWORD"}, status="error")]),
        ],
        "toolConfig": {"tools": [_spec()]},
    },
    "reasoning_replayed": {
        "messages": [
            _user([{"text": "FIRSTWORD"}]),
            _assistant([{"reasoningContent": _THOUGHT}, _tool_use(0, ROME)]),
            _user([_result(0, {"text": "SUNNYWORD"})]),
        ],
        "toolConfig": {"tools": [_spec()]},
    },
    "sampling": _converse(
        inferenceConfig={"maxTokens": 1234, "temperature": 0.37, "stopSequences": ["STOPWORD", "HALTWORD"]}
    ),
    "top_p": _converse(inferenceConfig={"topP": 0.83}),
    "thinking_budget": _converse(
        inferenceConfig={"maxTokens": 5678},
        additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 2345}},
    ),
    "further_fields": _converse(
        additionalModelRequestFields={"top_k": 41},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    ),
    "schema": _converse(
        outputConfig={
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "person", "schema": json.dumps(PERSON)}},
            }
        }
    ),
    "guardrail": _converse(
        {"guardContent": {"text": {"text": "GUARDWORD"}}},
        guardrailConfig={"guardrailIdentifier": "GUARDIDWORD", "guardrailVersion": "7"},
    ),
    "metadata": _converse(requestMetadata={"METAKEY": "METAWORD"}),
    "latency": _converse(performanceConfig={"latency": "optimized"}),
    "unknown_members": _converse(x_unheard_of={"deep": "UNKNOWNWORD"}),
    "stream": {**_converse(), "stream": True},
    "fallbacks": _converse(fallbacks=["sandbox/echo"]),
}


# Cohere

_FUNCTION = {"name": "get_weather", "description": "Tells get_weather.", "parameters": WEATHER}
_COHERE_TOOL = {"type": "function", "function": _FUNCTION}
_COHERE_TIME = {"type": "function", "function": {**_FUNCTION, "name": "get_time"}}


def _hears(*turns: Any, **members: Any) -> dict[str, Any]:
    return {"messages": list(turns) or [_user("Say HELLOWORD.")], **members}


COHERE: Mapping[str, Body] = {
    "text": _hears(),
    "system": _hears({"role": "system", "content": "SYSTEMWORD"}, _user("Say HELLOWORD.")),
    "turns": _hears(
        _user("FIRSTWORD"), _assistant("SECONDWORD"), _user([{"type": "text", "text": "THIRDWORD"}])
    ),
    "image_data": _hears(
        _user([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}])
    ),
    "image_url": _hears(_user([{"type": "image_url", "image_url": {"url": IMAGE_URL}}])),
    "documents": _hears(
        documents=[{"id": "doc_1", "data": {"heading": "HEADWORD", "snippet": "SNIPPETWORD"}}, "PLAINWORD"],
        citation_options={"mode": "FAST"},
    ),
    "tool": _hears(tools=[_COHERE_TOOL]),
    "tools_strict": _hears(tools=[_COHERE_TOOL, _COHERE_TIME], strict_tools=True),
    "tool_required": _hears(tools=[_COHERE_TOOL], tool_choice="REQUIRED"),
    "tool_none": _hears(tools=[_COHERE_TOOL], tool_choice="NONE"),
    "tool_results": _hears(
        _user("FIRSTWORD"),
        {
            "role": "assistant",
            "tool_plan": "PLANWORD",
            "tool_calls": [
                {
                    "id": "get_weather_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"zone":"CET","city":"ROMEWORD"}'},
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "get_weather_1",
            "content": [{"type": "document", "document": {"data": {"weather": "SUNNYWORD"}}}],
        },
        tools=[_COHERE_TOOL],
    ),
    "thinking_replayed": _hears(
        _user("FIRSTWORD"),
        _assistant([{"type": "thinking", "thinking": "THOUGHTWORD"}, {"type": "text", "text": "SECONDWORD"}]),
        _user("THIRDWORD"),
    ),
    "schema": _hears(response_format={"type": "json_object", "json_schema": PERSON}),
    "json": _hears(response_format={"type": "json_object"}),
    "thinking_budget": _hears(thinking={"type": "enabled", "token_budget": 2345}, max_tokens=5678),
    "thinking_off": _hears(thinking={"type": "disabled"}),
    "sampling": _hears(temperature=0.37, max_tokens=1234, stop_sequences=["STOPWORD", "HALTWORD"]),
    "p": _hears(p=0.83),
    "k": _hears(k=41),
    "penalties": _hears(seed=4711, presence_penalty=0.21, frequency_penalty=0.43),
    "logprobs": _hears(logprobs=True),
    "safety": _hears(safety_mode="STRICT"),
    "unknown_members": _hears(x_unheard_of={"deep": "UNKNOWNWORD"}),
    "stream": _hears(stream=True),
    "fallbacks": _hears(fallbacks=["sandbox/echo"]),
}

SURFACES: Mapping[str, Mapping[str, Body]] = {
    "messages": MESSAGES,
    "gemini": GEMINI,
    "converse": CONVERSE,
    "cohere": COHERE,
}
"""Dialect of the surface -> its requests."""

EACH_WIRE = (
    "openai/gpt-4o",
    "openai/gpt-5-mini",
    "anthropic/claude-sonnet-4-5",
    "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/amazon.nova-lite-v1:0",
    "vertex/gemini-2.5-flash",
    "vertex/claude-sonnet-4-5@20250929",
    "gemini/gemini-3-pro-preview",
    "cohere/command-a-03-2025",
    "mistral/mistral-medium-latest",
    "groq/llama-3.3-70b-versatile",
    "ollama/llama3.2",
)
"""The models that stand for each wire behind those surfaces."""
