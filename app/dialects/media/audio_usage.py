"""Decode and encode the usage of speech and transcription: tokens, or seconds of audio."""

from __future__ import annotations

import math
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.shared.lenient_json import as_dict, count, number

SECONDS: Final = "input.audio_seconds"
_NAME: Final = "openai_audio"


def decode_audio_usage(raw: Any) -> Usage | None:
    """Return the usage of OpenAI's ``input_tokens`` or Mistral's and Groq's ``prompt_tokens``, or of a duration.

    Seconds of audio, rounded up, are the detail ``input.audio_seconds``; the object itself is
    native. Mistral's prompt tokens exclude those of the audio, which are a detail (recorded
    traffic). None without any count.
    """
    members = as_dict(raw)
    input_tokens = count(members.get("input_tokens", members.get("prompt_tokens")))
    output_tokens = count(members.get("output_tokens", members.get("completion_tokens")))
    total = count(members.get("total_tokens"))
    seconds = number(members.get("seconds", members.get("prompt_audio_seconds")))
    if input_tokens is None and output_tokens is None and total is None and seconds is None:
        return None
    details = _details(members.get("input_token_details") or members.get("prompt_tokens_details"))
    if seconds is not None and seconds >= 0:
        details[SECONDS] = math.ceil(seconds)
    cost = number(members.get("cost"))
    return Usage(
        input_tokens=input_tokens or 0,
        output_tokens=output_tokens or 0,
        total_tokens=total,
        details=details,
        cost=None if cost is None else {"total_cost": cost},
        native=(_NAME, members),
    )


def _details(raw: Any) -> dict[str, int]:
    counts = {name: count(value) for name, value in as_dict(raw).items()}
    return {f"input.{name}": tokens for name, tokens in counts.items() if tokens}


def encode_audio_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Return OpenAI's usage object: of type ``tokens``, or ``duration`` if only seconds are known."""
    if usage is None:
        return None
    seconds = usage.details.get(SECONDS)
    if seconds is not None and not usage.total:
        raw = as_dict(usage.native[1] if usage.native else None)
        return {"type": "duration", "seconds": raw.get("seconds", seconds)}
    members: dict[str, Any] = {
        "type": "tokens",
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total,
    }
    details = {kind: usage.details.get(f"input.{kind}", 0) for kind in ("text_tokens", "audio_tokens")}
    if any(details.values()) or not usage.input_tokens:
        members["input_token_details"] = details
    return members
