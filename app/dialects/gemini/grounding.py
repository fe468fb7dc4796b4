"""Grounding and citations of a candidate as OpenAI's ``url_citation`` annotations.

Google counts positions in bytes of UTF-8 over the candidate's visible text; OpenAI counts
characters of one text. A segment's own words, where given, decide when the two disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.shared.lenient_json import as_dict, as_list, count, dicts, opt_str

Annotation = dict[str, Any]


def annotations_of(candidate: Mapping[str, Any], text: str, before: int, *, last: bool) -> list[Annotation]:
    """Return the annotations of one text block.

    ``before`` is the number of bytes of visible text in earlier blocks. ``last`` says that
    no block follows: sources that no segment names are then listed at the text's end.
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
    """Return the citations of a ``citationMetadata``: Vertex names the list ``citations``, the
    Gemini API ``citationSources`` (google-genai's and the REST reference's types)."""
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
        if span is None:
            continue
        for index in indexes:
            source = sources[index] if index < len(sources) else None
            if source is not None:
                yield _citation(source, span)
    if last:
        for index, source in enumerate(sources):
            if source is not None and index not in used:
                yield _citation(source, (len(text), len(text)))


def searches_of(candidate: Mapping[str, Any]) -> int:
    """Return how many searches of the web grounded a candidate."""
    return len(as_list(as_dict(candidate.get("groundingMetadata")).get("webSearchQueries")))


def _source(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """The web page, map place or retrieved document of a chunk, if it has an address."""
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


def _span(segment: Mapping[str, Any], words: str | None, text: str, before: int) -> tuple[int, int] | None:
    """Return the characters of ``text`` that a segment means; None if it lies elsewhere."""
    start = (count(segment.get("startIndex")) or 0) - before
    end = count(segment.get("endIndex"))
    data = text.encode()
    if end is not None and 0 <= start < len(data) and end - before > start:
        span = (len(_cut(data, start)), len(_cut(data, end - before)))
        if words is None or text[span[0] : span[1]] == words:
            return span
    at = text.find(words) if words else -1
    return (at, at + len(words or "")) if at >= 0 else None


def _cut(data: bytes, length: int) -> str:
    return data[:length].decode("utf-8", "ignore")
