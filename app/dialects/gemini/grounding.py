"""Decode the grounding and citations of a candidate as OpenAI's ``url_citation`` annotations.

Google's positions are bytes of UTF-8 in the candidate's visible text, OpenAI's characters of
one text. If a segment has a text that is not at its position, the text decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.shared.lenient_json import as_dict, as_list, count, dicts, opt_str

Annotation = dict[str, Any]


def annotations_of(candidate: Mapping[str, Any], text: str, before: int, *, last: bool) -> list[Annotation]:
    """Return the annotations of one text block.

    ``before`` is the number of bytes of visible text in earlier blocks. ``last``: no block
    follows, so that sources without a segment are listed at the end of the text.
    """
    found = [*_grounding_annotations(as_dict(candidate.get("groundingMetadata")), text, before, last=last)]
    for citation in citations(as_dict(candidate.get("citationMetadata"))):
        span = _span(citation, None, text, before)
        if span is None and last and citation.get("endIndex") is None:
            span = (len(text), len(text))
        if span is not None and opt_str(citation.get("uri")):
            found.append(_citation(citation, span))
    return found


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
        found = [sources[index] for index in indexes if index < len(sources)] if span is not None else []
        yield from (_citation(source, span) for source in found if source is not None and span is not None)
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
