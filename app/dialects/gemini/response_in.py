"""Decode what is in a Gemini response (client half): finish reasons, usage, grounding, errors.

Grounding and citations become OpenAI's ``url_citation``. Google's positions are bytes of UTF-8 in the
candidate's visible text, OpenAI's characters of one text; if a segment has a text that is not at its
position, the text decides. An error is ``{"error": {code, message, status, details}}``, sometimes in a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import accumulate
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

_STEP: Final = 1024
"""Bytes between two places of a text whose characters are counted once."""
_LATER_BYTES: Final = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no character."""
_MOST_SEARCHES: Final = 16
_FEW_CHARACTERS: Final = 65_536
"""Quotes of wrong places are looked for in so many times the text, and in so many characters more."""


def annotations_of(candidate: Mapping[str, Any], text: str, before: int, *, last: bool) -> list[Annotation]:
    """Return the annotations of one text block.

    ``before`` is the number of bytes of visible text in earlier blocks. ``last``: no block
    follows, so that sources without a segment are listed at the end of the text.
    """
    places = _Places(text, before)
    grounding = as_dict(candidate.get("groundingMetadata"))
    annotations = [*_grounding_annotations(grounding, places, last=last)]
    for citation in citations(as_dict(candidate.get("citationMetadata"))):
        span = places.find(citation, None)
        if span is None and last and citation.get("endIndex") is None:
            span = (len(text), len(text))
        if span is not None and opt_str(citation.get("uri")):
            annotations.append(_citation(citation, span))
    return annotations


def citations(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the citations of a ``citationMetadata``: a list ``citations`` on Vertex, ``citationSources``
    on the Gemini API (google-genai's types, Google's REST reference)."""
    return [*dicts(metadata.get("citations")), *dicts(metadata.get("citationSources"))]


def _grounding_annotations(metadata: dict[str, Any], places: _Places, *, last: bool) -> Iterator[Annotation]:
    sources = [_source(chunk) for chunk in dicts(metadata.get("groundingChunks"))]
    used: set[int] = set()
    for support in dicts(metadata.get("groundingSupports")):
        segment = as_dict(support.get("segment"))
        indexes = [i for i in as_list(support.get("groundingChunkIndices")) if count(i) is not None]
        used.update(indexes)
        span = places.find(segment, opt_str(segment.get("text")))
        cited = [sources[index] for index in indexes if index < len(sources)] if span is not None else []
        yield from (_citation(source, span) for source in cited if source is not None and span is not None)
    if last:
        unused = [source for index, source in enumerate(sources) if index not in used]
        end = len(places.text)
        yield from (_citation(source, (end, end)) for source in unused if source is not None)


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


class _Places:
    """Finds segments in the text of one block, which ``before`` bytes of other blocks precede."""

    def __init__(self, text: str, before: int) -> None:
        self.text = text
        self._before = before
        self._work = _MOST_SEARCHES * len(text) + _FEW_CHARACTERS

    def find(self, segment: Mapping[str, Any], quote: str | None) -> tuple[int, int] | None:
        """Return the start and end of a segment in characters of the text, None if it is in another block."""
        start = (count(segment.get("startIndex")) or 0) - self._before
        end = count(segment.get("endIndex"))
        if end is not None and 0 <= start < len(self._data) and end - self._before > start:
            first, last = self._characters(start), self._characters(end - self._before)
            if quote is None or (len(quote) == last - first and self.text.startswith(quote, first)):
                return first, last
        if not quote or self._work <= 0:
            return None
        at = self.text.find(quote)
        self._work -= at + len(quote) if at >= 0 else len(self.text)
        return (at, at + len(quote)) if at >= 0 else None

    @cached_property
    def _data(self) -> bytes:
        return self.text.encode()

    @cached_property
    def _steps(self) -> list[int]:
        """The characters before each step."""
        data = self._data
        counts = (_count_starts(data[at : at + _STEP]) for at in range(0, len(data), _STEP))
        return list(accumulate(counts, initial=0))

    def _characters(self, length: int) -> int:
        """Return how many whole characters the first ``length`` bytes hold."""
        data, length = self._data, min(length, len(self._data))
        while length < len(data) and data[length] in _LATER_BYTES:
            length -= 1
        step = length // _STEP
        return self._steps[step] + _count_starts(data[step * _STEP : length])


def _count_starts(data: bytes) -> int:
    """Return how many characters begin in a piece of UTF-8."""
    return len(data.translate(None, _LATER_BYTES))


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
