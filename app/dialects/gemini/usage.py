"""Decode Gemini's token counts and finish reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.gemini.options import NAME
from app.dialects.shared.lenient_json import as_str, count, dicts
from app.dialects.shared.usage_repair import native_usage

REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # the limit of one request was reached, the response is incomplete
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
            "ESCALATION",
            "PUP_LIMITED_DISABLED",
        ),
        "content_filter",
    ),
    **dict.fromkeys(
        (
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE",
            "NO_IMAGE",
            "IMAGE_OTHER",
            "OTHER",
        ),
        "fault",
    ),
    # as numbers, for hosts that encode enums so (only these five are the same on all hosts)
    "1": "stop",
    "2": "length",
    "3": "content_filter",
    "4": "content_filter",
    "5": "fault",
}
"""google-genai's ``FinishReason``. A fault is the model's, not its server's: recorded responses with
UNEXPECTED_TOOL_CALL and OTHER have status 200 and a finishMessage."""

_DETAILS: Final = (
    ("promptTokensDetails", "input"),
    ("toolUsePromptTokensDetails", "input"),
    ("candidatesTokensDetails", "output"),
)
_MODALITIES: Final = frozenset({"text", "image", "audio", "video", "document"})


def finish_of(raw: str, *, calls_tools: bool) -> Finish:
    """Return why a candidate ended; STOP after function calls is ``tool_calls``."""
    reason = REASONS.get(raw, "stop")
    return Finish("tool_calls" if reason == "stop" and calls_tools else reason, raw)


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Return the usage of ``usageMetadata``, None without counts.

    Google's count of the candidates excludes thoughts, that of the prompt results of Google's tools;
    the canonical output and input tokens include them.
    """
    prompt, answer = count(raw.get("promptTokenCount")), count(raw.get("candidatesTokenCount"))
    total, thoughts = count(raw.get("totalTokenCount")), count(raw.get("thoughtsTokenCount"))
    if prompt is None and answer is None and total is None:
        return None
    tools = count(raw.get("toolUsePromptTokenCount"))
    details = _details(raw)
    if tools:
        details["input.tool_use_tokens"] = tools
    return Usage(
        input_tokens=(prompt or 0) + (tools or 0),
        output_tokens=(answer or 0) + (thoughts or 0),
        total_tokens=total,
        cached_tokens=count(raw.get("cachedContentTokenCount")) or 0,
        reasoning_tokens=thoughts or 0,
        details=details,
        native=native_usage(NAME, raw),
    )


def _details(raw: Mapping[str, Any]) -> dict[str, int]:
    details: dict[str, int] = {}
    for member, side in _DETAILS:
        for entry in dicts(raw.get(member)):
            modality, tokens = as_str(entry.get("modality")).lower(), count(entry.get("tokenCount"))
            if modality in _MODALITIES and tokens:
                name = f"{side}.{modality}_tokens"
                details[name] = details.get(name, 0) + tokens
    return details
