"""Decode, encode and estimate the usage of images, speech and transcription: tokens, or seconds of audio.

Sources: ``ImagesResponse`` of openai-python 3.51, ``ImageGenerationUsage`` of openrouter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.images import ImageRequest
from app.canonical.media import SpeechRequest
from app.canonical.response import CHARACTERS, SECONDS, Billing, Usage
from app.dialects.media.base import estimate_usage
from app.dialects.shared.lenient_json import as_dict, count, number, opt_str
from app.dialects.shared.usage_sides import sides

_NAME: Final = "images"
_KINDS: Final = ("text_tokens", "image_tokens")


def decode_image_usage(raw: Any, *, svg: Any = None) -> Usage | None:
    """Return the usage that OpenAI or OpenRouter reports, the latter with a cost; None without any count.

    Output tokens without details are those of images. ``svg`` is the usage of the model that wrote
    an SVG, which is billed separately.
    """
    members = as_dict(raw)
    input_tokens = count(members.get("input_tokens", members.get("prompt_tokens")))
    output_tokens = count(members.get("output_tokens", members.get("completion_tokens")))
    cost = number(members.get("cost"))
    if input_tokens is None and output_tokens is None and cost is None:
        return None
    inputs = _details(members.get("input_tokens_details") or members.get("prompt_tokens_details"), "input")
    details = members.get("output_tokens_details") or members.get("completion_tokens_details")
    total = count(members.get("total_tokens"))
    tokens = sides(input_tokens, output_tokens, total)
    default = {"output.image_tokens": tokens.output} if tokens.output else {}
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        total_tokens=total,
        missing=tokens.missing,
        details={**inputs, **(_details(details, "output") or default)},
        cost=None if cost is None else {"total_cost": cost},
        billing=Billing(further=_further(as_dict(svg))),
        native=(_NAME, members),
    )


def _details(raw: Any, side: str) -> dict[str, int]:
    counts = {kind: count(as_dict(raw).get(kind)) for kind in _KINDS}
    return {f"{side}.{kind}": tokens for kind, tokens in counts.items() if tokens}


def _further(raw: Mapping[str, Any]) -> tuple[tuple[str | None, Usage], ...]:
    if not raw:
        return ()
    run = Usage(
        input_tokens=count(raw.get("input_tokens")) or 0,
        output_tokens=count(raw.get("output_tokens")) or 0,
        reasoning_tokens=count(raw.get("reasoning_tokens")) or 0,
    )
    return ((opt_str(raw.get("model")), run),)


def estimate_image_usage(request: ImageRequest, images: int) -> Usage:
    """Return the usage for a provider that reports none: an estimate of the prompt, and the number of images."""
    estimate = estimate_usage([request.prompt])
    return replace(estimate, total_tokens=None, billing=Billing(units={"generated_images": images}))


def complete_image_usage(usage: Usage | None, request: ImageRequest, images: int) -> Usage:
    """Return a usage with an estimate of the prompt, and the number of images, where the provider did not count them."""
    if usage is None or not usage.missing:
        return usage or estimate_image_usage(request, images)
    own = estimate_image_usage(request, images)
    if "input" in usage.missing:
        usage = replace(usage, input_tokens=own.input_tokens, total_tokens=None)
    if "output" in usage.missing:
        usage = replace(usage, billing=replace(usage.billing, units=own.billing.units))
    return replace(usage, estimated=True, missing=())


def encode_image_usage(usage: Usage) -> dict[str, Any]:
    """Return OpenAI's usage object."""
    details = usage.details
    images = details.get("input.image_tokens", 0)
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "text_tokens": details.get("input.text_tokens", max(0, usage.input_tokens - images)),
            "image_tokens": images,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {kind: details.get(f"output.{kind}", 0) for kind in reversed(_KINDS)},
        "total_tokens": usage.total,
    }


_AUDIO: Final = "openai_audio"


def decode_audio_usage(raw: Any) -> Usage | None:
    """Return the usage of OpenAI's ``input_tokens`` or Mistral's and Groq's ``prompt_tokens``, or of a duration.

    Seconds of audio, rounded up, are the detail ``input.audio_seconds``; the object itself is
    native. Mistral's prompt tokens exclude those of the audio, which are a detail (recorded
    traffic). Of seconds alone no side is missing. None without any count.
    """
    members = as_dict(raw)
    input_tokens = count(members.get("input_tokens", members.get("prompt_tokens")))
    output_tokens = count(members.get("output_tokens", members.get("completion_tokens")))
    total = count(members.get("total_tokens"))
    seconds = number(members.get("seconds", members.get("prompt_audio_seconds")))
    if input_tokens is None and output_tokens is None and total is None and seconds is None:
        return None
    details = _audio_details(members.get("input_token_details") or members.get("prompt_tokens_details"))
    if seconds is not None and seconds >= 0:
        details[SECONDS] = math.ceil(seconds)
    cost = number(members.get("cost"))
    tokens = sides(input_tokens, output_tokens, total)
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        total_tokens=total,
        missing=tokens.missing if total or len(tokens.missing) < 2 else (),
        details=details,
        cost=None if cost is None else {"total_cost": cost},
        native=(_AUDIO, members),
    )


def transcript_usage(raw: Any, duration: float | None, text: str) -> Usage | None:
    """Return the usage of a transcript; without one, that of its duration in seconds, which Groq's verbose form has alone."""
    seconds_usage = {"type": "duration", "seconds": duration} if duration else None
    return complete_audio_usage(decode_audio_usage(raw), "output", text) or decode_audio_usage(seconds_usage)


def speech_usage(raw: Any, request: SpeechRequest) -> Usage | None:
    """Return the usage of speech."""
    return complete_audio_usage(decode_audio_usage(raw), "input", request.text)


def complete_audio_usage(usage: Usage | None, side: str, text: str) -> Usage | None:
    """Return a usage whose ``side``, which is a text, is estimated where the provider did not count it; a total without
    sides is divided. Tokens of audio that are not counted stay unknown."""
    if usage is None or side not in usage.missing:
        return usage
    own, reported = estimate_usage([text]).input_tokens, usage.total
    own = min(own, reported) if len(usage.missing) == 2 else own
    rest = reported - own if len(usage.missing) == 2 else reported
    before, after = (own, rest) if side == "input" else (rest, own)
    return replace(
        usage, input_tokens=before, output_tokens=after, total_tokens=None, estimated=True, missing=()
    )


def estimate_speech_usage(request: SpeechRequest) -> Usage:
    """Return the usage of speech for a provider that reports none: an estimate of the text, and its characters, by which
    some models are charged."""
    estimate = estimate_usage([request.text])
    units = {CHARACTERS: len(request.text)}
    return replace(estimate, total_tokens=None, billing=Billing(units=units))


def _audio_details(raw: Any) -> dict[str, int]:
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
