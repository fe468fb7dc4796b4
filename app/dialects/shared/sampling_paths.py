"""Sampling parameters by their canonical names, which are OpenAI's: decoded, as members, and their paths in each dialect.

Of several paths the first is the one to write. A parameter that a dialect lacks is not listed. Sources: the vendors' API references, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Sampling
from app.dialects.shared.losses import Losses
from app.dialects.shared.strict_json import ClientObject

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


def decode_sampling(members: ClientObject) -> Sampling:
    """Return the sampling of a chat or text completion without ``logprobs``, which differ between them.

    Raises ``bad_request`` for the first member of a wrong type.
    """
    return Sampling(
        max_tokens=members.integer("max_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        top_k=members.integer("top_k"),
        stop=members.texts("stop"),
        seed=members.integer("seed"),
        presence_penalty=members.number("presence_penalty"),
        frequency_penalty=members.number("frequency_penalty"),
        logit_bias=members.mapping("logit_bias"),
        n=members.integer("n"),
    )


def capped_temperature(value: float | None, most: float, losses: Losses) -> float | None:
    """Return a temperature, at most ``most``; one that is lowered is reported."""
    if value is None or value <= most:
        return value
    losses.report("temperature", f"The temperature ends at {most:g}; {value:g} was lowered to it")
    return most


def sampling_members(sampling: Sampling) -> dict[str, Any]:
    """Return all members of ``sampling`` as JSON, None for those that are not set."""
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": dict(sampling.logit_bias) if sampling.logit_bias else None,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "n": sampling.n,
    }
