"""The paths of sampling parameters in the bodies of each dialect; the first path is the one to write.

A parameter that a dialect lacks is not listed. Sources: the vendors' API references, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Paths = Mapping[str, tuple[str, ...]]


def _paths(*names: str, **others: str) -> Paths:
    return {**{name: (name,) for name in names}, **{name: (path,) for name, path in others.items()}}


def _gemini(**names: str) -> Paths:
    """Return the paths in both spellings that the API accepts, camelCase and snake_case."""
    return {
        name: (f"generationConfig.{camel}", f"generation_config.{_snake(camel)}")
        for name, camel in names.items()
    }


def _snake(camel: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel)


_OPENAI: Final = _paths("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty")

SAMPLING_PATHS: Final[Mapping[str, Paths]] = {
    "chat": {**_OPENAI, "max_tokens": ("max_tokens", "max_completion_tokens")},
    "completions": {**_OPENAI, "max_tokens": ("max_tokens",)},
    "responses": _paths("temperature", "top_p", max_tokens="max_output_tokens"),
    "messages": _paths("max_tokens", "temperature", "top_p", "top_k", stop="stop_sequences"),
    "gemini": _gemini(
        max_tokens="maxOutputTokens",
        temperature="temperature",
        top_p="topP",
        top_k="topK",
        stop="stopSequences",
        seed="seed",
        presence_penalty="presencePenalty",
        frequency_penalty="frequencyPenalty",
    ),
    "converse": _paths(
        max_tokens="inferenceConfig.maxTokens",
        temperature="inferenceConfig.temperature",
        top_p="inferenceConfig.topP",
        stop="inferenceConfig.stopSequences",
        top_k="additionalModelRequestFields.top_k",
    ),
    "cohere": _paths(
        *("max_tokens", "temperature", "seed", "presence_penalty", "frequency_penalty"),
        top_p="p",
        top_k="k",
        stop="stop_sequences",
    ),
}
