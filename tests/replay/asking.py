"""What a client sends to get a recording's answer: the surface, the path and the body.

A recording in the surface's own format is asked with the recorded body. Any other is asked with a
plain prompt that brings the tools and the options without which such an answer would make no sense.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.traffic.answers import Answer, Outcome, Vectors, extract
from tests.traffic.load import Exchange

Json = dict[str, Any]

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
CHAT_SHAPED = "/api/llm/api/inference/openai/responses"
"""TrueFoundry's surface: a chat-shaped body goes over the target's chat wire and is answered as Responses."""


@dataclass(frozen=True)
class Ask:
    """One request of a client. ``reads`` names the reader of its answer; ``native`` says that the body
    is the recorded one."""

    reads: str
    path: str
    body: Any = None
    stream: bool = False
    native: bool = False
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for a test's id."""
        surface = "shaped-" if self.path == CHAT_SHAPED else ""
        return f"{surface}{self.reads}{'-native' if self.native else ''}"


PROVIDERS: Mapping[str, str] = {"gemini.openai_compat.chat": "compat"}
"""api -> the provider that stands for it, where that is not the recording's own."""

MODELS: Mapping[str, str] = {
    "azure": "gpt-4o",
    "elevenlabs": "eleven_multilingual_v2",
    "groq": "whisper-large-v3",
    "gemini": "gemini-2.5-flash",
    "vertex": "gemini-2.5-flash",
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "amazon.nova-lite-v1:0",
    "mistral": "mistral-small-latest",
    "cohere": "command-a-03-2025",
    "perplexity": "sonar",
    "cerebras": "gpt-oss-120b",
    "sgl": "qwen",
    "parasail": "parasail-llama-33-70b-fp8",
    "ollama": "llama3.2",
    "openrouter": "openai/gpt-4o",
}
"""What is asked for where the recording does not tell its model."""

_PATH_MODEL = re.compile(r"/(?:models?|deployments)/([^/:]+(?::\d+)?)")
_PASSING = ("openai", "azure", "openrouter")
_OTHER_MAKERS = "azure.inference.chat"


def provider_of(exchange: Exchange) -> str:
    """The provider that the client names."""
    return PROVIDERS.get(exchange.api, exchange.provider)


def model_of(exchange: Exchange) -> str:
    """The model that the client names, with its provider."""
    found = _PATH_MODEL.search(unquote(exchange.request["path"]))
    told = exchange.model or (found.group(1) if found and found.group(1) != "MODEL" else None)
    if exchange.api.startswith("bedrock.") and "/model/" in exchange.request["path"]:
        told = unquote(exchange.request["path"].split("/")[2])
    if exchange.api == _OTHER_MAKERS and "gpt" in (told or "gpt"):
        told = "grok-3"  # the inference API serves all makers; ours is chosen by the deployment's name
    return f"{provider_of(exchange)}/{told or MODELS[exchange.provider]}"


def asks(exchange: Exchange) -> list[Ask]:
    """Every request by which a client can get this recording's answer."""
    return _BY_OPERATION[exchange.operation.removesuffix("_stream")](exchange)


def _generation(exchange: Exchange) -> list[Ask]:
    expected = extract(exchange)
    if isinstance(expected, Vectors):  # Bedrock tells embeddings and text only by the model
        return _embedding(exchange)
    if exchange.api.startswith("bedrock.invoke."):
        return [_completion(exchange)]
    assert isinstance(expected, Answer)
    chat = [_chat(exchange, expected), *_chat_native(exchange, expected)]
    return [*chat, _responses(exchange, expected)]


def _chat(exchange: Exchange, wanted: Answer) -> Ask:
    body = {**_plain(exchange, wanted), "messages": [{"role": "user", "content": "Go on."}]}
    if exchange.operation.endswith("_stream"):
        body |= {"stream_options": {"include_usage": True}}
    choices = len({choice.index for choice in wanted.choices})
    body |= {"n": choices} if choices > 1 else {}
    body |= {"logprobs": True} if any(choice.logprobs for choice in wanted.choices) else {}
    return Ask("chat", CHAT, body, stream=exchange.operation.endswith("_stream"))


def _chat_native(exchange: Exchange, wanted: Answer) -> list[Ask]:
    """The recorded chat body, where there is one and it was no mistake."""
    recorded = exchange.request["body"]
    is_chat = exchange.api.endswith((".chat", "mistral.chat")) and exchange.api != "cohere.v2.chat"
    if not is_chat or not isinstance(recorded, dict) or wanted.error or exchange.status >= 400:
        return []
    body = {**recorded, "model": model_of(exchange)}
    if body.get("stream"):
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return [Ask("chat", CHAT, body, stream=bool(body.get("stream")), native=True)]


def _responses(exchange: Exchange, wanted: Answer) -> Ask:
    """Where a provider has Responses of its own, its chat answers are reached by a chat-shaped body."""
    stream = exchange.operation.endswith("_stream")
    body = _plain(exchange, wanted)
    if exchange.provider in _PASSING and exchange.api not in (_OTHER_MAKERS, "azure.anthropic.messages"):
        return Ask("responses", CHAT_SHAPED, body | _prompted(chat=True), stream=stream)
    flat = [_flat(tool) for tool in body.pop("tools", ())]
    return Ask("responses", RESPONSES, body | _prompted() | ({"tools": flat} if flat else {}), stream=stream)


def _prompted(chat: bool = False) -> Json:
    return {"messages": [{"role": "user", "content": "Go on."}]} if chat else {"input": "Go on."}


def _plain(exchange: Exchange, wanted: Answer) -> Json:
    body: Json = {"model": model_of(exchange)}
    tools = [_tool(name, kind) for name, kind in sorted(_tool_kinds(wanted).items())]
    body |= {"tools": tools} if tools else {}
    return body | ({"stream": True} if exchange.operation.endswith("_stream") else {})


def _tool_kinds(wanted: Answer) -> dict[str, str]:
    calls = (call for choice in wanted.choices for call in choice.tool_calls)
    return {call.name: "custom" if call.kind == "custom" else "function" for call in calls}


def _tool(name: str, kind: str) -> Json:
    if kind == "custom":
        return {"type": "custom", "custom": {"name": name}}
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def _flat(tool: Json) -> Json:
    return {"type": tool["type"], **tool[tool["type"]]}


def _responses_recording(exchange: Exchange) -> list[Ask]:
    expected = extract(exchange)
    assert isinstance(expected, Answer)
    plain = _plain(exchange, expected)
    stream = exchange.operation.endswith("_stream")
    flat = [_flat(tool) for tool in plain.get("tools", ())]
    responses = {**plain, **_prompted(), **({"tools": flat} if flat else {})}
    over_chat = _chat(exchange, expected)
    responder = f"responder/{model_of(exchange).partition('/')[2]}"
    found = [
        Ask("responses", RESPONSES, responses, stream=stream),
        Ask("chat", CHAT, {**over_chat.body, "model": responder}, stream=stream),
    ]
    recorded = exchange.request["body"]
    if isinstance(recorded, dict) and not expected.error and exchange.status < 400:
        body = {k: v for k, v in recorded.items() if k not in _STATE} | {"model": model_of(exchange)}
        found.append(Ask("responses", RESPONSES, body, stream=body.get("stream") is True, native=True))
    return found


_STATE = ("previous_response_id", "conversation", "background")
"""Members that name what only that account's upstream knows."""


def _completion(exchange: Exchange) -> Ask:
    stream = exchange.operation.endswith("_stream")
    expected = extract(exchange)
    assert isinstance(expected, Answer)
    body: Json = {"model": model_of(exchange), "prompt": "Go on", **({"stream": True} if stream else {})}
    body |= {"stream_options": {"include_usage": True}} if stream else {}
    body |= {"logprobs": 1} if any(choice.logprobs for choice in expected.choices) else {}
    body |= {"n": len(expected.choices)} if len(expected.choices) > 1 else {}
    return Ask("completion", "/v1/completions", body, stream=stream)


def _embedding(exchange: Exchange) -> list[Ask]:
    expected = extract(exchange)
    count = getattr(expected, "count", 0)
    inputs: Any = "some text" if count < 2 else [f"text {number}" for number in range(count)]
    body = {
        "model": _ONE_CONTENT if exchange.api == "gemini.embedContent" else model_of(exchange),
        "input": inputs,
    }
    return [
        Ask("embedding", "/v1/embeddings", body),
        Ask("embedding", "/openai/v1/embeddings", {**body, "encoding_format": "base64"}),
    ]


_ONE_CONTENT = "vertex/gemini-embedding-2"
"""The models of this family are asked by embedContent; Gemini's own API by its batch form."""


def _speech(exchange: Exchange) -> list[Ask]:
    recorded = exchange.request["body"] if isinstance(exchange.request["body"], dict) else {}
    body = {"model": model_of(exchange), "input": "Hello", "voice": "alloy"}
    if recorded.get("response_format"):
        body["response_format"] = recorded["response_format"]
    sse = {**body, "stream_format": "sse"}
    bare = [] if exchange.operation.endswith("_stream") else [Ask("audio", "/v1/audio/speech", body)]
    return [*bare, Ask("audio_events", "/v1/audio/speech", sse, stream=True)]


_TIMED: Mapping[str, str] = {"elevenlabs": "word", "groq": "segment", "mistral": "segment"}
"""Providers whose recorded transcripts have times -> the granularity to ask for."""

BOUNDARY = "replayed-form"


def _transcription(exchange: Exchange) -> list[Ask]:
    stream = exchange.operation.endswith("_stream")
    sent = {part["name"]: part.get("value") for part in _parts(exchange)}
    fields = {"model": model_of(exchange), "response_format": sent.get("response_format") or "json"}
    if exchange.provider in _TIMED and fields["response_format"] == "json":
        fields |= {"response_format": "verbose_json", "timestamp_granularities[]": _TIMED[exchange.provider]}
    fields |= {"stream": "true"} if stream else {}
    reads = "transcript_events" if stream else "transcript"
    if fields["response_format"] in ("text", "srt", "vtt"):
        reads = "transcript_text"
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return [Ask(reads, "/v1/audio/transcriptions", form(fields), stream=stream, headers=headers)]


def _parts(exchange: Exchange) -> list[Json]:
    body = exchange.request["body"]
    return body if isinstance(body, list) else []


def form(fields: Mapping[str, str], file: bytes = b"RIFF\x24\x00\x00\x00WAVEfmt ") -> bytes:
    """A multipart body with these fields and an audio file."""
    lines = []
    for name, value in fields.items():
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n'
        lines.append(f"{head}{value}\r\n".encode())
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n'
    lines.append(f"{head}content-type: audio/wav\r\n\r\n".encode() + file + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def _models(exchange: Exchange) -> list[Ask]:
    provider = provider_of(exchange)
    return [Ask("models", f"/v1/models?provider={provider}", method="GET")]


def _count(exchange: Exchange) -> list[Ask]:
    body = {"model": model_of(exchange), "input": "Count me."}
    return [Ask("count", "/v1/responses/input_tokens", body)]


_BY_OPERATION: Mapping[str, Callable[[Exchange], list[Ask]]] = {
    "chat_completion": _generation,
    "responses": _responses_recording,
    "responses_retrieve": _responses_recording,
    "text_completion": lambda exchange: [_completion(exchange)],
    "embedding": _embedding,
    "speech": _speech,
    "transcription": _transcription,
    "list_models": _models,
    "count_tokens": _count,
}


def outcome(exchange: Exchange) -> Outcome:
    """What the recording holds."""
    return extract(exchange)


def excerpt(body: Any) -> str:
    """A body for a failure's message."""
    return body[:300].decode("latin-1") if isinstance(body, bytes) else json.dumps(body)[:600]
