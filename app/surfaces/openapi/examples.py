"""Example bodies by the name of their schema; the sandbox answers each without a provider's key.

Tests: tests/surfaces/test_reference.py sends every one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PROMPT: Final = "say exactly: Hello"
_CHAT: Final = {"model": "sandbox/echo", "messages": [{"role": "user", "content": _PROMPT}]}
_MESSAGES: Final = {**_CHAT, "max_tokens": 100}
_CONTENTS: Final = [{"role": "user", "parts": [{"text": _PROMPT}]}]
_VECTOR: Final = {"content": {"parts": [{"text": "Hello"}]}}

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ResponsesBody": {"model": "sandbox/echo", "input": _PROMPT},
    "CompactBody": {"model": "sandbox/echo", "input": _PROMPT},
    "InputTokensBody": {"model": "sandbox/echo", "input": _PROMPT},
    "ChatBody": _CHAT,
    "CompletionBody": {"model": "sandbox/echo", "prompt": _PROMPT},
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
        "messages": [{"role": "user", "content": _PROMPT}],
    },
    "ConverseBody": {"messages": [{"role": "user", "content": [{"text": _PROMPT}]}]},
    "BedrockCountBody": {
        "input": {"converse": {"messages": [{"role": "user", "content": [{"text": _PROMPT}]}]}}
    },
    "InvokeBody": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": _PROMPT}],
    },
}
"""By the name of the component. Bodies whose URL names the model have none."""

_ARGUMENTS: Final[Mapping[str, str]] = {
    "publisher": "sandbox",
    "deployment": "sandbox/echo",
    "model_id": "sandbox/echo",
    "project": "any",
    "location": "global",
}


def argument(path: str, name: str) -> str | None:
    """Return an example for an argument of a path; None for an id, which only an earlier answer has."""
    value = _ARGUMENTS.get(name)
    return value.rpartition("/")[2] if value is not None and "{publisher}" in path else value
