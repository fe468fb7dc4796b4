"""Decode what is in a Gemini response (client half): finish reasons, usage, grounding, errors.

Grounding and citations become OpenAI's ``url_citation``. Google's positions are bytes of UTF-8 in the
candidate's visible text, OpenAI's characters of one text; if a segment has a text that is not at its
position, the text decides. An error is ``{"error": {code, message, status, details}}``, sometimes in a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    known = sides(_sum(prompt, tools), _sum(answer, thoughts), total)
    return Usage(
        input_tokens=known.input,
        output_tokens=known.output,
        total_tokens=total,
        cached_tokens=count(raw.get("cachedContentTokenCount")) or 0,
        reasoning_tokens=thoughts or 0,
        details=details,
        missing=known.missing,
        native=native_usage(NAME, raw),
    )


def _sum(*counts: int | None) -> int | None:
    known = [tokens for tokens in counts if tokens is not None]
    return sum(known) if known else None


def _details(raw: Mapping[str, Any]) -> dict[str, int]:
    details: dict[str, int] = {}
    for member, side in _DETAILS:
        for entry in dicts(raw.get(member)):
            modality, tokens = as_str(entry.get("modality")).lower(), count(entry.get("tokenCount"))
            if modality in MODALITIES and tokens:
                name = f"{side}.{modality}_tokens"
                details[name] = details.get(name, 0) + tokens
    return details


Annotation = dict[str, Any]


def annotations_of(candidate: Mapping[str, Any], text: str, before: int, *, last: bool) -> list[Annotation]:
    """Return the annotations of one text block.

    ``before`` is the number of bytes of visible text in earlier blocks. ``last``: no block
    follows, so that sources without a segment are listed at the end of the text.
    """
    annotations = [
        *_grounding_annotations(as_dict(candidate.get("groundingMetadata")), text, before, last=last)
    ]
    for citation in citations(as_dict(candidate.get("citationMetadata"))):
        span = _span(citation, None, text, before)
        if span is None and last and citation.get("endIndex") is None:
            span = (len(text), len(text))
        if span is not None and opt_str(citation.get("uri")):
            annotations.append(_citation(citation, span))
    return annotations


def citations(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the citations of a ``citationMetadata``: a list ``citations`` on Vertex, ``citationSources``
    on the Gemini API (google-genai's types, Google's REST reference)."""
    return [*dicts(metadata.get("citations")), *dicts(metadata.get("citationSources"))]


def _grounding_annotations(
    metadata: dict[str, Any], text: str, before: int, *, last: bool
) -> Iterator[Annotation]:
    sources = [_source(chunk) for chunk in dicts(metadata.get("groundingChunks"))]
    used: set[int] = set()
    for support in dicts(metadata.get("groundingSupports")):
        segment = as_dict(support.get("segment"))
        indexes = [i for i in as_list(support.get("groundingChunkIndices")) if count(i) is not None]
        used.update(indexes)
        span = _span(segment, opt_str(segment.get("text")), text, before)
        cited = [sources[index] for index in indexes if index < len(sources)] if span is not None else []
        yield from (_citation(source, span) for source in cited if source is not None and span is not None)
    if last:
        unused = [source for index, source in enumerate(sources) if index not in used]
        yield from (_citation(source, (len(text), len(text))) for source in unused if source is not None)


def searches_of(candidate: Mapping[str, Any]) -> int:
    """Return the number of web searches that grounded a candidate."""
    return len(as_list(as_dict(candidate.get("groundingMetadata")).get("webSearchQueries")))


def _source(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """Return the web page, map place or document of a chunk, None if it has no address."""
    for kind in ("web", "maps", "retrievedContext", "image"):
        source = as_dict(chunk.get(kind))
        if opt_str(source.get("uri") or source.get("sourceUri")):
            return source
    return None


def _citation(source: Mapping[str, Any], span: tuple[int, int]) -> Annotation:
    return {
        "type": "url_citation",
        "url": source.get("uri") or source.get("sourceUri"),
        "title": opt_str(source.get("title")) or "",
        "start_index": span[0],
        "end_index": span[1],
    }


def _span(segment: Mapping[str, Any], quote: str | None, text: str, before: int) -> tuple[int, int] | None:
    """Return the start and end of a segment in characters of ``text``, None if it is in another block."""
    start = (count(segment.get("startIndex")) or 0) - before
    end = count(segment.get("endIndex"))
    data = text.encode()
    if end is not None and 0 <= start < len(data) and end - before > start:
        first, last = (len(data[:length].decode("utf-8", "ignore")) for length in (start, end - before))
        if quote is None or text[first:last] == quote:
            return first, last
    at = text.find(quote) if quote else -1
    return (at, at + len(quote or "")) if at >= 0 else None


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
