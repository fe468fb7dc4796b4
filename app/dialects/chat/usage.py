"""The usage object and the finish reasons of chat completions, both ways.

As in canonical Usage, ``prompt_tokens`` includes cached tokens and ``completion_tokens`` includes reasoning.
If the total shows that reasoning is not included (xAI), it is added. Vendors have further counts at the top
level (``reasoning_tokens``, ``num_cached_tokens``, ``citation_tokens``) and a cost (a number, or an object
with ``total_cost``), as in recorded answers of 2025 and 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.chat.options import as_native, own_members
from app.dialects.shared.decoder_parts import decode_cost
from app.dialects.shared.lenient_json import as_dict, as_str, count, opt_str, rest
from app.dialects.shared.plain_counts import OF_CHAT
from app.dialects.shared.usage_sides import sides

_COUNTED: Final = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cost",
        "reasoning_tokens",
        "num_cached_tokens",
        "prompt_cache_hit_tokens",
        "cached_tokens",
        "citation_tokens",
        "num_search_queries",
    }
)
_INPUT_OWN: Final = frozenset({"cached_tokens", "cache_write_tokens"})
_OUTPUT_OWN: Final = frozenset({"reasoning_tokens"})
_CACHED: Final = ("num_cached_tokens", "prompt_cache_hit_tokens", "cached_tokens")
"""Members with cached tokens that are not in ``prompt_tokens_details`` (DeepSeek, Moonshot …)."""
_EXTRA_OUTPUT: Final = ("citation_tokens", "num_search_queries")

_FINISHES: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # failures of the server: SGLang, vLLM, DeepSeek and their hosts
    **dict.fromkeys(
        ("error", "abort", "aborted", "timeout", "cancelled", "canceled", "insufficient_system_resource"),
        "error",
    ),
}

_REASON_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "fault": "stop",
    "error": "stop",
}


def decode_usage(raw: Any) -> Usage | None:
    """Return the usage of a chat answer, None if there is none or it has no counts."""
    if not raw:  # null in most chunks of a stream
        return None
    members = as_dict(raw)
    if OF_CHAT.fit(members):
        return _plain_usage(members)
    prompt, completion = count(members.get("prompt_tokens")), count(members.get("completion_tokens"))
    total = count(members.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    before, after = (
        as_dict(members.get("prompt_tokens_details")),
        as_dict(members.get("completion_tokens_details")),
    )
    details = {**_counts("input", before, _INPUT_OWN), **_counts("output", after, _OUTPUT_OWN)}
    for name in _EXTRA_OUTPUT:
        if (value := count(members.get(name))) is not None:
            details[f"output.{name}"] = value
    remainder = rest(members, _COUNTED)
    reasoning = _first(after.get("reasoning_tokens"), members.get("reasoning_tokens"))
    tokens = sides(prompt, completion, total)
    is_counted = prompt is not None and completion is not None
    beside = reasoning if is_counted and reasons_beside(members) else 0
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output + beside,
        total_tokens=total,
        cached_tokens=_first(before.get("cached_tokens"), *(members.get(name) for name in _CACHED)),
        cache_write_tokens=_first(before.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
        details=details,
        cost=decode_cost(members),
        missing=tokens.missing,
        native=as_native(remainder),
    )


def _plain_usage(usage: Mapping[str, Any]) -> Usage:
    """Return a usage with plain counts. tests/dialects/test_plain_counts.py compares it with the full decoding."""
    before, after = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    reasoning = after.get("reasoning_tokens", 0)
    return Usage(
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        total_tokens=usage["total_tokens"],
        cached_tokens=before.get("cached_tokens", 0),
        cache_write_tokens=before.get("cache_write_tokens", 0),
        reasoning_tokens=reasoning,
        details={**_counts("input", before, _INPUT_OWN), **_counts("output", after, _OUTPUT_OWN)},
    )


def reasons_beside(usage: Mapping[str, Any]) -> bool:
    """Tell whether the total of a usage shows that its reasoning is not included in its output."""
    after = as_dict(usage.get("completion_tokens_details"))
    reasoning = _first(after.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    if not reasoning:
        return False
    both = sum(count(usage.get(name)) or 0 for name in ("prompt_tokens", "completion_tokens"))
    return count(usage.get("total_tokens")) == both + reasoning


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object with its details, which OpenAI always sends."""
    before: dict[str, Any] = {"cached_tokens": usage.cached_tokens, "audio_tokens": 0}
    if usage.cache_write_tokens:
        before["cache_write_tokens"] = usage.cache_write_tokens
    after: dict[str, Any] = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    for path, value in usage.details.items():
        side, _, name = path.partition(".")
        (before if side == "input" else after)[name] = value
    body: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total,
        "prompt_tokens_details": before,
        "completion_tokens_details": after,
    }
    if usage.cost is not None:
        body["cost"] = dict(usage.cost)
    return {**own_members(usage.native), **body}


def decode_finish(raw: Any, *, calls: bool, stop_sequence: Any = None) -> Finish:
    """Return the finish of a choice; an unknown word is ``stop``.

    ``stop`` becomes ``tool_calls`` if the choice has tool calls, as after a forced call.
    """
    word = opt_str(raw)
    reason = _FINISHES.get(word or "", "stop")
    if calls and reason == "stop":
        reason = "tool_calls"
    return Finish(reason, word, opt_str(stop_sequence))


def decode_choice_finish(choice: Mapping[str, Any], *, calls: bool) -> Finish:
    """Return the finish of a choice by its ``finish_reason`` and SGLang's ``matched_stop``."""
    return decode_finish(choice.get("finish_reason"), calls=calls, stop_sequence=choice.get("matched_stop"))


def is_broken_off(raw: Any) -> bool:
    """Tell whether a finish reason means a failure of the server."""
    return _FINISHES.get(as_str(raw)) == "error"


def encode_finish(finish: Finish | None, *, calls: bool, legacy: bool = False) -> str:
    """Return the finish reason: one of the five that OpenAI documents."""
    reason: FinishReason = "stop" if finish is None else finish.reason
    if calls and reason == "stop":
        reason = "tool_calls"
    word = _REASON_WORDS[reason]
    return "function_call" if legacy and word == "tool_calls" else word


def _counts(side: str, members: Mapping[str, Any], own: frozenset[str]) -> dict[str, int]:
    """Return the other counts that are not zero under ``input.NAME`` or ``output.NAME``."""
    return {
        f"{side}.{name}": value
        for name, raw in members.items()
        if raw and name not in own and (value := count(raw))
    }


def _first(*values: Any) -> int:
    for value in values:
        if value is not None and (tokens := count(value)) is not None:
            return tokens
    return 0
