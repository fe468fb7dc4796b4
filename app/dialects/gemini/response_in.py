"""Decode what is in a Gemini response (client half): finish reasons, usage, errors.

An error is ``{"error": {code, message, status, details}}``, sometimes in a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.gemini.options import NAME
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, label, opt_str
from app.dialects.shared.usage_repair import native_usage
from app.dialects.shared.usage_sides import sides
from app.errors import GatewayError

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
MODALITIES: Final = frozenset({"text", "image", "audio", "video", "document"})


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
    tokens = sides(_sum(prompt, tools), _sum(answer, thoughts), total)
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        total_tokens=total,
        cached_tokens=count(raw.get("cachedContentTokenCount")) or 0,
        reasoning_tokens=thoughts or 0,
        details=details,
        missing=tokens.missing,
        native=native_usage(NAME, raw),
    )


def _sum(*counts: int | None) -> int | None:
    numbers = [tokens for tokens in counts if tokens is not None]
    return sum(numbers) if numbers else None


def _details(raw: Mapping[str, Any]) -> dict[str, int]:
    details: dict[str, int] = {}
    for member, side in _DETAILS:
        for entry in dicts(raw.get(member)):
            modality, tokens = as_str(entry.get("modality")).lower(), count(entry.get("tokenCount"))
            if modality in MODALITIES and tokens:
                name = f"{side}.{modality}_tokens"
                details[name] = details.get(name, 0) + tokens
    return details


def searches_of(candidate: Mapping[str, Any]) -> int:
    """Return the number of web searches that grounded a candidate."""
    return len(as_list(as_dict(candidate.get("groundingMetadata")).get("webSearchQueries")))


_BAD_KEY: Final = "API_KEY_INVALID"


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response with status 400 or above.

    An invalid key is a 400 with the reason API_KEY_INVALID. The wait after a 429 is a RetryInfo
    (recorded traffic).
    """
    error = _error(body)
    message, code = opt_str(error.get("message")), opt_str(error.get("status"))
    details = dicts(error.get("details"))
    if any(detail.get("reason") == _BAD_KEY for detail in details):
        status = 401
    return upstream_failure(status, message, code=code, headers=_retry_headers(details, headers), raw=body)


def decode_error_body(body: Any) -> GatewayError:
    """Return the error of a chunk in a stream; its status is the ``code`` of the body."""
    return decode_error(status_of_code(label(_error(body).get("code"))), body, {})


def _error(body: Any) -> dict[str, Any]:
    """Return the member ``error``; in a stream without ``alt=sse`` Vertex sends it in a list."""
    items = as_list(body)
    return as_dict(as_dict(items[0] if items else body).get("error"))


def _retry_headers(details: list[dict[str, Any]], headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers, with RetryInfo's ``retryDelay`` (``"34.4s"``) as ``retry-after`` if they have none."""
    delay = next((opt_str(detail.get("retryDelay")) for detail in details if detail.get("retryDelay")), None)
    if delay is None or "retry-after" in headers:
        return headers
    return {**headers, "retry-after": delay.removesuffix("s")}
