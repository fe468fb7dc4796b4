"""The sources of a Gemini candidate's texts (client half): grounding and citations as OpenAI's ``url_citation``.

Google's positions are bytes of UTF-8 in the candidate's visible text, OpenAI's characters of one text; if a segment has a
text that is not at its position, the text decides. The work is linear in the texts and the segments, whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_list, count, dicts, json_text, opt_str

Annotation = dict[str, Any]
Span = tuple[int, int]

_STEP: Final = 1024
"""Bytes between two places of a text whose characters are counted once."""
_LATER_BYTES: Final = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no character."""
_MOST_SEARCHES: Final = 16
_FEW_CHARACTERS: Final = 65_536
"""Quotes of wrong places are looked for in so many times the texts, and in so many characters more."""
_ONE_SEARCH: Final = 16
"""Characters that a search costs beside those that it reads."""


@dataclass(slots=True)
class _Segment:
    """A piece of the visible text, in bytes from its start, and what it is cited from; ``quote`` is its text."""

    start: int
    end: int | None
    quote: str | None
    sources: Sequence[Mapping[str, Any]]


class Sources:
    """The sources of one candidate; each text block gets its own when it ends, in the order in which the provider has them."""

    def __init__(self) -> None:
        self.citations: list[dict[str, Any]] = []
        self._keys: set[str] = set()
        self._grounding: Mapping[str, Any] = {}
        self._supports = _Segments()
        self._cites = _Segments()
        self._before = 0  # bytes of the blocks that ended
        self._room = _FEW_CHARACTERS  # for searches, in characters

    def read(self, candidate: Mapping[str, Any]) -> None:
        """Note what the candidate of one chunk cites; later grounding replaces earlier, citations are added."""
        if candidate.get("groundingMetadata") is not None:
            self._ground(as_dict(candidate["groundingMetadata"]))
        for citation in _citations(as_dict(candidate.get("citationMetadata"))):
            if (key := json_text(citation)) not in self._keys:
                self._keys.add(key)
                self.citations.append(citation)
                if opt_str(citation.get("uri")) and citation.get("endIndex") is not None:
                    self._cites.add(_segment(citation, None, [citation]))

    def _ground(self, metadata: Mapping[str, Any]) -> None:
        self._grounding, self._supports = metadata, _Segments()
        sources = _sources(metadata)
        for support, indexes in _supports(metadata):
            segment = as_dict(support.get("segment"))
            own = [source for i in indexes if i < len(sources) and (source := sources[i]) is not None]
            self._supports.add(_segment(segment, opt_str(segment.get("text")), own))

    def annotations(self, text: str, *, last: bool) -> list[Annotation]:
        """Return the annotations of the next text block. ``last``: no block follows, so that sources without a segment are
        listed at the end of the text."""
        places = _Places(text, self._before)
        self._before += places.size
        self._room += _MOST_SEARCHES * len(text)
        end = (len(text), len(text))
        supports = self._located(self._supports, places, last=last)
        citations = self._located(self._cites, places, last=last)
        if last:
            supports += [(end, source) for source in self._unused()]
            without = (
                one for one in self.citations if one.get("endIndex") is None and opt_str(one.get("uri"))
            )
            citations += [(end, source) for source in without]
        return [_citation(source, span) for span, source in supports + citations]

    def _located(
        self, segments: _Segments, places: _Places, *, last: bool
    ) -> list[tuple[Span, Mapping[str, Any]]]:
        """Return the sources of the segments that are in a text, each with its place."""
        rows: list[tuple[int, Span, _Segment]] = []
        missing, segments.missing = segments.missing, []
        for number, segment in segments.until(None if last else self._before):
            if (span := places.at(segment)) is not None:
                rows.append((number, span, segment))
            elif segment.quote:
                missing.append((number, segment))
        for number, segment in missing:
            if self._room <= 0:
                break
            if (span := self._search(places.text, segment.quote or "")) is not None:
                rows.append((number, span, segment))
            else:
                segments.missing.append((number, segment))
        rows.sort(key=itemgetter(0))
        return [(span, source) for _, span, segment in rows for source in segment.sources]

    def _search(self, text: str, quote: str) -> Span | None:
        """Return the first place of a quote, None if there is none."""
        at = text.find(quote)
        self._room -= _ONE_SEARCH + (at + len(quote) if at >= 0 else len(text))
        return (at, at + len(quote)) if at >= 0 else None

    def _unused(self) -> Iterator[Mapping[str, Any]]:
        used = {index for _, indexes in _supports(self._grounding) for index in indexes}
        for index, source in enumerate(_sources(self._grounding)):
            if source is not None and index not in used:
                yield source


class _Segments:
    """Segments by their start, and those that are not where they should be."""

    def __init__(self) -> None:
        self._ahead: list[tuple[int, int, _Segment]] = []
        self._count = 0
        self.missing: list[tuple[int, _Segment]] = []

    def add(self, segment: _Segment) -> None:
        """Add a segment after the others."""
        heappush(self._ahead, (segment.start, self._count, segment))
        self._count += 1

    def until(self, end: int | None) -> Iterator[tuple[int, _Segment]]:
        """Take the segments that start before a byte, or all, with their numbers."""
        while self._ahead and (end is None or self._ahead[0][0] < end):
            _, number, segment = heappop(self._ahead)
            yield number, segment


def _segment(members: Mapping[str, Any], quote: str | None, sources: Sequence[Mapping[str, Any]]) -> _Segment:
    return _Segment(count(members.get("startIndex")) or 0, count(members.get("endIndex")), quote, sources)


def _citations(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the citations of a ``citationMetadata``: a list ``citations`` on Vertex, ``citationSources``
    on the Gemini API (google-genai's types, Google's REST reference)."""
    return [*dicts(metadata.get("citations")), *dicts(metadata.get("citationSources"))]


def _supports(metadata: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Yield the supports of a ``groundingMetadata`` with the numbers of their sources."""
    for support in dicts(metadata.get("groundingSupports")):
        yield support, [i for i in as_list(support.get("groundingChunkIndices")) if count(i) is not None]


def _sources(metadata: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """Return the sources of a ``groundingMetadata``: the web page, map place or document of each chunk, None without address."""
    return [_source(chunk) for chunk in dicts(metadata.get("groundingChunks"))]


def _source(chunk: dict[str, Any]) -> dict[str, Any] | None:
    for kind in ("web", "maps", "retrievedContext", "image"):
        source = as_dict(chunk.get(kind))
        if opt_str(source.get("uri") or source.get("sourceUri")):
            return source
    return None


def _citation(source: Mapping[str, Any], span: Span) -> Annotation:
    return {
        "type": "url_citation",
        "url": source.get("uri") or source.get("sourceUri"),
        "title": opt_str(source.get("title")) or "",
        "start_index": span[0],
        "end_index": span[1],
    }


class _Places:
    """Places in the text of one block, which ``before`` bytes of other blocks precede."""

    def __init__(self, text: str, before: int) -> None:
        self.text = text
        self._before = before

    @property
    def size(self) -> int:
        """The bytes of the text."""
        return len(self._data)

    def at(self, segment: _Segment) -> Span | None:
        """Return the start and end of a segment in characters of the text, None if something else is there."""
        start = segment.start - self._before
        if segment.end is None or not 0 <= start < len(self._data) or segment.end - self._before <= start:
            return None
        first, last, quote = (
            self._characters(start),
            self._characters(segment.end - self._before),
            segment.quote,
        )
        right = quote is None or (len(quote) == last - first and self.text.startswith(quote, first))
        return (first, last) if right else None

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
