"""Bodies to try, by the schema that checks them: each is answered by the sandbox, without a provider's key.

Tests: tests/surfaces/test_reference.py sends every one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ASK: Final = "say exactly: Hello"
_CHAT: Final = {"model": "sandbox/echo", "messages": [{"role": "user", "content": _ASK}]}
_MESSAGES: Final = {**_CHAT, "max_tokens": 100}
_CONTENTS: Final = [{"role": "user", "parts": [{"text": _ASK}]}]
_VECTOR: Final = {"content": {"parts": [{"text": "Hello"}]}}

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ResponsesBody": {"model": "sandbox/echo", "input": _ASK},
    "CompactBody": {"model": "sandbox/echo", "input": _ASK},
    "InputTokensBody": {"model": "sandbox/echo", "input": _ASK},
    "ChatBody": _CHAT,
    "CompletionBody": {"model": "sandbox/echo", "prompt": _ASK},
    "RerankBody": {"model": "sandbox/echo", "query": "red fruit", "documents": ["a red apple", "a blue car"]},
    "ModerationBody": {"model": "sandbox/echo", "input": ["a quiet walk", "I will kill you"]},
    "EmbeddingBody": {"model": "sandbox/echo", "input": "Hello"},
    "SpeechBody": {"model": "sandbox/echo", "input": "Hello", "voice": "alloy"},
    "ImageBody": {"model": "sandbox/echo", "prompt": "a red barn", "size": "256x256"},
    "BatchBody": {
        "input_file_id": "file-…",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    },
    "ConversationBody": {"items": [{"type": "message", "role": "user", "content": "Hello"}]},
    "ConversationUpdateBody": {"metadata": {"topic": "greetings"}},
    "ConversationItemsBody": {"items": [{"type": "message", "role": "user", "content": "Hello"}]},
    "MessagesBody": _MESSAGES,
    "MessagesCountBody": _CHAT,
    "CohereChatBody": _CHAT,
    "CohereEmbedBody": {
        "model": "sandbox/echo",
        "texts": ["Hello"],
        "input_type": "search_query",
        "embedding_types": ["float"],
    },
    "GenerateContentBody": {"contents": _CONTENTS},
    "CountTokensBody": {"contents": _CONTENTS},
    "EmbedContentBody": _VECTOR,
    "BatchEmbedContentsBody": {"requests": [{"model": "models/sandbox/echo", **_VECTOR}]},
    "PredictBody": {"instances": [{"content": "Hello"}]},
    "ClaudeBody": {
        "model": "sandbox/echo",
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": _ASK}],
    },
    "ConverseBody": {"messages": [{"role": "user", "content": [{"text": _ASK}]}]},
    "BedrockCountBody": {
        "input": {"converse": {"messages": [{"role": "user", "content": [{"text": _ASK}]}]}}
    },
    "InvokeBody": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": _ASK}],
    },
}
"""By the name of the component. Where the URL names the model, ``sandbox/echo`` stands there."""

_ARGUMENTS: Final[Mapping[str, str]] = {
    "publisher": "sandbox",
    "deployment": "sandbox/echo",
    "model_id": "sandbox/echo",
    "project": "any",
    "location": "global",
}


def argument(path: str, name: str) -> str | None:
    """Return what to try for an argument of a path, None for an id that only an answer tells."""
    value = _ARGUMENTS.get(name)
    return value.rpartition("/")[2] if value is not None and "{publisher}" in path else value
