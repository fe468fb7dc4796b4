"""The requests of the matrix, without their model: what clients of chat and Responses send.

Values are odd on purpose (0.37, 1234, "STOPWORD"), so that one can find them again in what goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.golden.surfaces import EACH_WIRE, SURFACES

Body = Mapping[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
IMAGE_URL = "https://example.com/cat.png"
FILE_URL = "https://example.com/paper.pdf"

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


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _says(*contents: Any) -> dict[str, Any]:
    return {"messages": [_user(content) for content in contents]}


HI = _says("Say HELLOWORD.")


def _function(name: str = "get_weather", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Tells {name}.", "parameters": WEATHER, **more}


def _tools(*functions: dict[str, Any], **members: Any) -> dict[str, Any]:
    tools = [{"type": "function", "function": function} for function in functions or (_function(),)]
    return {**HI, "tools": tools, **members}


def _call(identifier: str, arguments: str, name: str = "get_weather") -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


ROME = '{"zone":"CET","city":"ROMEWORD"}'
OSLO = '{"zone":"CET","city":"OSLOWORD"}'
CALL_IDS = ("call_aaaaaaaaaaaaaaaaaaaaaaaa", "call_bbbbbbbbbbbbbbbbbbbbbbbb")
CLAUDE_SIGNATURE = "sealed|messages|claude|CLAUDESIGNATURE"
GEMINI_SIGNATURE = "sealed|gemini|gemini:default|R0VNSU5JU0lHTg=="

_ANSWERED = [
    _user("Which weather?"),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [_call(CALL_IDS[0], ROME), _call(CALL_IDS[1], OSLO)],
    },
    {"role": "tool", "tool_call_id": CALL_IDS[0], "content": "SUNNYWORD"},
    {"role": "tool", "tool_call_id": CALL_IDS[1], "content": [{"type": "text", "text": "RAINYWORD"}]},
]

CHAT: Mapping[str, Body] = {
    "text": HI,
    "system_and_developer": {
        "messages": [
            {"role": "system", "content": "SYSTEMWORD"},
            {"role": "developer", "content": "DEVELOPERWORD"},
            _user("Say HELLOWORD."),
        ]
    },
    "turns": {
        "messages": [
            _user("FIRSTWORD"),
            {"role": "assistant", "content": "SECONDWORD"},
            _user([{"type": "text", "text": "THIRDWORD"}, {"type": "text", "text": "FOURTHWORD"}]),
        ]
    },
    "last_is_assistant": {"messages": [_user("FIRSTWORD"), {"role": "assistant", "content": "PREFIXWORD"}]},
    "named": {"messages": [{"role": "user", "name": "NAMEWORD", "content": "FIRSTWORD"}]},
    "image_data": _says(
        [
            {"type": "text", "text": "LOOKWORD"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        ]
    ),
    "image_url": _says([{"type": "image_url", "image_url": {"url": IMAGE_URL}}]),
    "file_data": _says(
        [
            {
                "type": "file",
                "file": {"filename": "paper.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            },
            {"type": "text", "text": "READWORD"},
        ]
    ),
    "file_id": _says([{"type": "file", "file": {"file_id": "file-IDWORD"}}]),
    "audio": _says([{"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}]),
    "tool": _tools(),
    "tools_parallel_strict": _tools(
        _function(strict=True), _function("get_time"), tool_choice="auto", parallel_tool_calls=False
    ),
    "tool_required": _tools(tool_choice="required"),
    "tool_none": _tools(tool_choice="none"),
    "tool_named": _tools(tool_choice={"type": "function", "function": {"name": "get_weather"}}),
    "tools_allowed": _tools(
        _function(),
        _function("get_time"),
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "get_weather"}}],
            },
        },
    ),
    "tool_custom": {
        **HI,
        "tools": [{"type": "custom", "custom": {"name": "shell", "description": "RUNWORD"}}],
    },
    "tool_flat_any": {**HI, "tools": [{"type": "function", **_function()}], "tool_choice": "any"},
    "tool_hosted": {**HI, "tools": [{"type": "web_search"}]},
    "web_search_options": {**HI, "web_search_options": {"search_context_size": "low"}},
    "tool_results": {"messages": _ANSWERED, "tools": [{"type": "function", "function": _function()}]},
    "tool_results_without_tools": {"messages": _ANSWERED},
    "schema": {
        **HI,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "person", "schema": PERSON, "strict": True},
        },
    },
    "json": {**HI, "response_format": {"type": "json_object"}},
    "effort_low": {**HI, "reasoning_effort": "low"},
    "effort_high": {**HI, "reasoning_effort": "high", "max_completion_tokens": 8000},
    "effort_none": {**HI, "reasoning_effort": "none"},
    "reasoning_budget": {**HI, "reasoning": {"max_tokens": 2345}, "max_completion_tokens": 8000},
    "reasoning_replayed": {
        "messages": [
            _user("FIRSTWORD"),
            {
                "role": "assistant",
                "content": None,
                "reasoning": "THOUGHTWORD",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "THOUGHTWORD", "signature": CLAUDE_SIGNATURE}
                ],
                "tool_calls": [_call(CALL_IDS[0], ROME)],
            },
            {"role": "tool", "tool_call_id": CALL_IDS[0], "content": "SUNNYWORD"},
        ],
        "tools": [{"type": "function", "function": _function()}],
    },
    "call_signature_replayed": {
        "messages": [
            _user("FIRSTWORD"),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [_call(CALL_IDS[0], ROME)],
                "reasoning_details": [
                    {"type": "reasoning.encrypted", "data": GEMINI_SIGNATURE, "id": CALL_IDS[0]}
                ],
            },
            {"role": "tool", "tool_call_id": CALL_IDS[0], "content": "SUNNYWORD"},
        ],
        "tools": [{"type": "function", "function": _function()}],
    },
    "sampling": {**HI, "temperature": 0.37, "max_completion_tokens": 1234, "stop": ["STOPWORD", "HALTWORD"]},
    "top_p": {**HI, "top_p": 0.83, "max_tokens": 1234, "stop": "STOPWORD"},
    "hot": {**HI, "temperature": 1.9},
    "penalties": {**HI, "seed": 4711, "presence_penalty": 0.21, "frequency_penalty": 0.43},
    "logit_bias": {**HI, "logit_bias": {"50256": -77}},
    "logprobs": {**HI, "logprobs": True, "top_logprobs": 3},
    "two_choices": {**HI, "n": 2},
    "hints": {
        **HI,
        "metadata": {"METAKEY": "METAWORD"},
        "service_tier": "flex",
        "safety_identifier": "SAFEWORD",
        "prompt_cache_key": "CACHEWORD",
        "store": True,
    },
    "user": {**HI, "user": "USERWORD"},
    "unknown_members": {**HI, "x_unheard_of": {"deep": "UNKNOWNWORD"}},
    "stream": {**HI, "stream": True, "stream_options": {"include_usage": True}},
    "fallbacks": {**HI, "fallbacks": ["sandbox/echo"]},
}


def _input(*items: Any, **members: Any) -> dict[str, Any]:
    return {"input": list(items), **members}


ASK = {"input": "Say HELLOWORD."}
_FLAT = {"type": "function", "strict": True, **_function()}
_R_CALLED = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which weather?"}]},
    {"type": "function_call", "call_id": CALL_IDS[0], "name": "get_weather", "arguments": ROME},
    {"type": "function_call", "call_id": CALL_IDS[1], "name": "get_weather", "arguments": OSLO},
    {"type": "function_call_output", "call_id": CALL_IDS[0], "output": "SUNNYWORD"},
    {
        "type": "function_call_output",
        "call_id": CALL_IDS[1],
        "output": [
            {"type": "input_text", "text": "RAINYWORD"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        ],
    },
]

RESPONSES: Mapping[str, Body] = {
    "text": ASK,
    "instructions": {**ASK, "instructions": "INSTRUCTIONWORD"},
    "system_and_developer": _input(
        {"role": "system", "content": "SYSTEMWORD"},
        {"role": "developer", "content": [{"type": "input_text", "text": "DEVELOPERWORD"}]},
        {"role": "user", "content": "Say HELLOWORD."},
        instructions="INSTRUCTIONWORD",
    ),
    "turns": _input(
        {"role": "user", "content": "FIRSTWORD"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "SECONDWORD", "annotations": []}],
        },
        {"role": "user", "content": [{"type": "input_text", "text": "THIRDWORD"}]},
    ),
    "image_data": _input(
        _user(
            [
                {"type": "input_text", "text": "LOOKWORD"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
            ]
        )
    ),
    "image_url": _input(_user([{"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"}])),
    "file_data": _input(
        _user(
            [
                {
                    "type": "input_file",
                    "filename": "paper.pdf",
                    "file_data": f"data:application/pdf;base64,{PDF}",
                },
                {"type": "input_text", "text": "READWORD"},
            ]
        )
    ),
    "file_url": _input(_user([{"type": "input_file", "file_url": FILE_URL}])),
    "tool": {**ASK, "tools": [_FLAT]},
    "tools_parallel": {
        **ASK,
        "tools": [_FLAT, {**_FLAT, "name": "get_time"}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    },
    "tool_required": {**ASK, "tools": [_FLAT], "tool_choice": "required"},
    "tool_none": {**ASK, "tools": [_FLAT], "tool_choice": "none"},
    "tool_named": {**ASK, "tools": [_FLAT], "tool_choice": {"type": "function", "name": "get_weather"}},
    "tools_allowed": {
        **ASK,
        "tools": [_FLAT, {**_FLAT, "name": "get_time"}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "get_weather"}],
        },
    },
    "tool_custom": {**ASK, "tools": [{"type": "custom", "name": "shell", "description": "RUNWORD"}]},
    "tool_custom_grammar": {
        **ASK,
        "tools": [
            {
                "type": "custom",
                "name": "shell",
                "format": {"type": "grammar", "syntax": "regex", "definition": "GRAMMARWORD"},
            }
        ],
    },
    "tool_namespace": {
        **ASK,
        "tools": [
            {
                "type": "namespace",
                "name": "sky",
                "description": "SKYWORD",
                "tools": [{"type": "function", **_function()}],
            }
        ],
    },
    "tool_hosted": {**ASK, "tools": [{"type": "web_search"}]},
    "tool_hosted_forced": {
        **ASK,
        "tools": [{"type": "web_search_preview"}],
        "tool_choice": {"type": "web_search_preview"},
    },
    "tool_results": _input(*_R_CALLED, tools=[_FLAT]),
    "custom_result": _input(
        {"role": "user", "content": "FIRSTWORD"},
        {"type": "custom_tool_call", "call_id": CALL_IDS[0], "name": "shell", "input": "LSWORD"},
        {"type": "custom_tool_call_output", "call_id": CALL_IDS[0], "output": "LISTWORD"},
        tools=[{"type": "custom", "name": "shell"}],
    ),
    "schema": {
        **ASK,
        "text": {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}},
    },
    "json": {**ASK, "text": {"format": {"type": "json_object"}}},
    "verbosity": {**ASK, "text": {"verbosity": "low"}},
    "effort_low": {**ASK, "reasoning": {"effort": "low"}},
    "effort_high_summary": {
        **ASK,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 8000,
    },
    "effort_none": {**ASK, "reasoning": {"effort": "none"}},
    "reasoning_replayed": _input(
        {"role": "user", "content": "FIRSTWORD"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "THOUGHTWORD"}],
            "encrypted_content": CLAUDE_SIGNATURE,
        },
        {"type": "function_call", "call_id": CALL_IDS[0], "name": "get_weather", "arguments": ROME},
        {"type": "function_call_output", "call_id": CALL_IDS[0], "output": "SUNNYWORD"},
        tools=[_FLAT],
    ),
    "sampling": {**ASK, "temperature": 0.37, "max_output_tokens": 1234},
    "top_p": {**ASK, "top_p": 0.83, "text": {"max_tokens": 1234}},
    "logprobs": {**ASK, "top_logprobs": 3, "include": ["message.output_text.logprobs"]},
    "hints": {
        **ASK,
        "metadata": {"METAKEY": "METAWORD"},
        "service_tier": "flex",
        "safety_identifier": "SAFEWORD",
        "prompt_cache_key": "CACHEWORD",
        "truncation": "auto",
        "max_tool_calls": 7,
        "store": False,
    },
    "user": {**ASK, "user": "USERWORD"},
    "unknown_members": {**ASK, "x_unheard_of": {"deep": "UNKNOWNWORD"}},
    "stream": {**ASK, "stream": True},
}

COMPLETION: Mapping[str, Body] = {
    "text": {"prompt": "Say HELLOWORD."},
    "sampling": {
        "prompt": "Say HELLOWORD.",
        "temperature": 0.37,
        "max_tokens": 1234,
        "stop": ["STOPWORD"],
        "seed": 4711,
    },
    "two_prompts": {"prompt": ["FIRSTWORD", "SECONDWORD"]},
    "legacy": {"prompt": "Say HELLOWORD.", "echo": True, "best_of": 2, "logprobs": 3, "suffix": "SUFFIXWORD"},
    "stream": {"prompt": "Say HELLOWORD.", "stream": True, "user": "USERWORD"},
}
EMBEDDING: Mapping[str, Body] = {
    "text": {"input": "HELLOWORD"},
    "texts": {"input": ["FIRSTWORD", "SECONDWORD"], "dimensions": 256, "user": "USERWORD"},
    "tokens": {"input": [[1001, 1002], [1003]]},
    "base64": {"input": "HELLOWORD", "encoding_format": "base64"},
}
SPEECH: Mapping[str, Body] = {
    "text": {"input": "HELLOWORD", "voice": "alloy"},
    "formed": {
        "input": "HELLOWORD",
        "voice": "alloy",
        "response_format": "wav",
        "speed": 1.25,
        "instructions": "CALMWORD",
    },
    "stream": {"input": "HELLOWORD", "voice": "alloy", "stream_format": "sse"},
}
TRANSCRIPTION: Mapping[str, Body] = {
    "file": {},
    "formed": {
        "language": "en",
        "prompt": "PROMPTWORD",
        "temperature": "0.37",
        "response_format": "verbose_json",
        "timestamp_granularities[]": "word",
    },
    "stream": {"stream": "true"},
}

IMAGE_GENERATION: Mapping[str, Body] = {
    "prompt": {"prompt": "BARNWORD"},
    "formed": {
        "prompt": "BARNWORD",
        "n": 3,
        "size": "1536x1024",
        "quality": "high",
        "background": "transparent",
        "output_format": "webp",
        "output_compression": 37,
        "response_format": "b64_json",
        "user": "USERWORD",
        "moderation": "low",
    },
    "stream": {"prompt": "BARNWORD", "stream": True, "partial_images": 2},
}
IMAGE_EDIT: Mapping[str, Body] = {
    "prompt": {"prompt": "BARNWORD"},
    "formed": {
        "prompt": "BARNWORD",
        "n": 3,
        "size": "1536x1024",
        "quality": "high",
        "input_fidelity": "high",
    },
    "stream": {"prompt": "BARNWORD", "stream": True, "partial_images": 2},
}
IMAGE_VARIATION: Mapping[str, Body] = {"formed": {"n": 3, "size": "512x512", "user": "USERWORD"}}

TRANSLATION: Mapping[str, Body] = {
    "file": {},
    "formed": {"prompt": "PROMPTWORD", "temperature": "0.37", "response_format": "srt"},
    "timed": {
        "language": "de",
        "response_format": "verbose_json",
        "timestamp_granularities": "word",
        "stream": "true",
    },
}

MODERATION: Mapping[str, Body] = {
    "text": {"input": "JUDGEDWORD"},
    "texts": {"input": ["FIRSTWORD", "SECONDWORD"], "metadata": {"topic": "METAWORD"}},
    "parts": {
        "input": [
            {"type": "text", "text": "FIRSTWORD"},
            {"type": "image_url", "image_url": {"url": IMAGE_URL}},
        ]
    },
}

FIXTURES: Mapping[str, Mapping[str, Body]] = {
    "chat": CHAT,
    "responses": RESPONSES,
    "completion": COMPLETION,
    "embedding": EMBEDDING,
    "moderation": MODERATION,
    "speech": SPEECH,
    "transcription": TRANSCRIPTION,
    "translation": TRANSLATION,
    "image_generation": IMAGE_GENERATION,
    "image_edit": IMAGE_EDIT,
    "image_variation": IMAGE_VARIATION,
    **SURFACES,
}

_LANGUAGE = (
    "openai/gpt-4o",
    "openai/gpt-5-mini",
    "azure/gpt-4o",
    "azure/claude-sonnet-4-5",
    "azure/grok-3",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-opus-4-7",
    "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/amazon.nova-lite-v1:0",
    "vertex/gemini-2.5-flash",
    "vertex/claude-sonnet-4-5@20250929",
    "vertex/mistral-medium-3",
    "vertex/meta/llama-4-maverick",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-3-pro-preview",
    "cohere/command-a-03-2025",
    "mistral/mistral-medium-latest",
    "groq/llama-3.3-70b-versatile",
    "openrouter/anthropic/claude-haiku-4.5",
    "cerebras/gpt-oss-120b",
    "perplexity/sonar-pro",
    "parasail/parasail-llama-33-70b-fp8",
    "sgl/qwen3",
    "ollama/llama3.2",
)
_PAINTERS = (
    "openai/gpt-image-2",
    "azure/gpt-image-2",
    "openrouter/google/gemini-2.5-flash-image",
    "gemini/gemini-2.5-flash-image",
    "vertex/gemini-2.5-flash-image",
    "vertex/imagen-4.0-generate-001",
    "vertex/imagen-3.0-capability-001",
    "bedrock/amazon.nova-canvas-v1:0",
    "bedrock/stability.stable-image-core-v1:1",
)
TARGETS: Mapping[str, tuple[str, ...]] = {
    "chat": _LANGUAGE,
    "responses": _LANGUAGE,
    "completion": (
        "openai/gpt-3.5-turbo-instruct",
        "azure/gpt-35-turbo-instruct",
        "anthropic/claude-sonnet-4-5",
        "bedrock/amazon.titan-text-express-v1",
        "bedrock/amazon.nova-lite-v1:0",
        "vertex/gemini-2.5-flash",
        "gemini/gemini-2.5-flash",
        "cohere/command-a-03-2025",
        "mistral/mistral-medium-latest",
        "groq/llama-3.3-70b-versatile",
        "openrouter/openai/gpt-3.5-turbo-instruct",
        "cerebras/gpt-oss-120b",
        "perplexity/sonar",
        "parasail/parasail-llama-33-70b-fp8",
        "sgl/qwen3",
        "ollama/llama3.2",
    ),
    **dict.fromkeys(SURFACES, EACH_WIRE),
    "embedding": (
        "openai/text-embedding-3-small",
        "azure/text-embedding-3-small",
        "bedrock/amazon.titan-embed-text-v2:0",
        "bedrock/cohere.embed-english-v3",
        "bedrock/amazon.nova-2-multimodal-embeddings-v1:0",
        "vertex/text-embedding-005",
        "vertex/gemini-embedding-001",
        "gemini/gemini-embedding-001",
        "cohere/embed-v4.0",
        "mistral/mistral-embed",
        "openrouter/openai/text-embedding-3-small",
        "perplexity/pplx-embed-v1-0.6b",
        "sgl/bge",
        "ollama/all-minilm",
    ),
    "moderation": ("openai/omni-moderation-latest", "mistral/mistral-moderation-latest"),
    "speech": (
        "openai/gpt-4o-mini-tts",
        "azure/gpt-4o-mini-tts",
        "gemini/gemini-2.5-flash-preview-tts",
        "mistral/voxtral-mini-tts-latest",
        "groq/playai-tts",
        "elevenlabs/eleven_multilingual_v2",
    ),
    "transcription": (
        "openai/whisper-1",
        "azure/whisper-1",
        "gemini/gemini-2.5-flash",
        "mistral/voxtral-mini-latest",
        "groq/whisper-large-v3",
        "openrouter/openai/whisper-1",
        "cohere/cohere-transcribe-03-2026",
        "elevenlabs/scribe_v1",
    ),
    "image_generation": _PAINTERS,
    "image_edit": _PAINTERS,
    "image_variation": ("openai/dall-e-2", "azure/dall-e-2"),
    "translation": ("openai/whisper-1", "azure/whisper-1", "groq/whisper-large-v3"),
}
"""Operation -> the models that stand for each provider and each of its wires."""
