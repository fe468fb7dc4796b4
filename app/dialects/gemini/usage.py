"""What Gemini says at the end: token counts and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.gemini.contents_out import NAME
from app.dialects.shared.lenient_json import as_str, count, dicts, label
from app.dialects.shared.usage_repair import native_usage

REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # the most of one request was reached, the answer is not whole
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
    # The same as numbers, for hosts that encode enums so (only these five agree on all hosts).
    "1": "stop",
    "2": "length",
    "3": "content_filter",
    "4": "content_filter",
    "5": "fault",
}
"""Finish reasons of google-genai's ``FinishReason``. The faults of the model itself are
no breaks of its server: recorded UNEXPECTED_TOOL_CALL and OTHER answers have status 200 and a finishMessage."""

_DETAILS: Final = (
    ("promptTokensDetails", "input"),
    ("toolUsePromptTokensDetails", "input"),
    ("candidatesTokensDetails", "output"),
)
_MODALITIES: Final = frozenset({"text", "image", "audio", "video", "document"})


def finish_of(raw: str, *, calls_tools: bool) -> Finish:
    """Return the finish of a candidate; STOP after function calls is ``tool_calls``."""
    reason = REASONS.get(raw, "stop")
    return Finish("tool_calls" if reason == "stop" and calls_tools else reason, raw)


def finish_of_block(reason: str) -> Finish:
    """Return the finish of a prompt that was refused (``promptFeedback.blockReason``)."""
    return Finish("content_filter", reason)


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Return the counts of ``usageMetadata``, None where it has none.

    Thoughts are counted beside the candidates and tool results beside the prompt; ours
    include them (output and input).
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


def raw_reason(candidate: Mapping[str, Any]) -> str | None:
    """Return a candidate's finish reason as text, None while it is unfinished."""
    return label(candidate.get("finishReason"))
