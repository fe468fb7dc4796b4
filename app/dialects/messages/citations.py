"""Citations of Claude's text and OpenAI's annotations, both ways.

A citation belongs to its whole text block, so its annotation spans the block. The native
citations stay beside the annotations; only they go back to a Claude.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_str, count, dicts

Annotation = dict[str, Any]


def annotations_of(citations: Any, text: str) -> tuple[Annotation, ...]:
    """Return a flat OpenAI annotation for each citation of a block of ``text``.

    Web and search results become ``url_citation``, places in documents ``file_citation``;
    kinds we do not know stay native only.
    """
    made = []
    for citation in dicts(citations):
        reader = _READERS.get(as_str(citation.get("type")))
        if reader is not None:
            made.append(reader(citation, text))
    return tuple(made)


def _url(url: str, citation: Mapping[str, Any], text: str) -> Annotation:
    return {
        "type": "url_citation",
        "url": url,
        "title": as_str(citation.get("title")),
        "start_index": 0,
        "end_index": len(text),
    }


def _web(citation: Mapping[str, Any], text: str) -> Annotation:
    return _url(as_str(citation.get("url")), citation, text)


def _search_result(citation: Mapping[str, Any], text: str) -> Annotation:
    return _url(as_str(citation.get("source")), citation, text)


def _document(citation: Mapping[str, Any], text: str) -> Annotation:
    return {
        "type": "file_citation",
        "file_id": as_str(citation.get("file_id")),
        "filename": as_str(citation.get("document_title")),
        "index": count(citation.get("document_index")) or 0,
    }


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Annotation]]] = {
    "web_search_result_location": _web,
    "search_result_location": _search_result,
    "char_location": _document,
    "page_location": _document,
    "content_block_location": _document,
}


def citations_of(annotations: tuple[Mapping[str, Any], ...], text: str) -> list[dict[str, Any]]:
    """Return the web citations that another dialect's ``url_citation`` annotations stand for."""
    found = []
    for note in annotations:
        if note.get("type") != "url_citation":
            continue
        start, end = count(note.get("start_index")) or 0, count(note.get("end_index")) or 0
        found.append(
            {
                "type": "web_search_result_location",
                "url": as_str(note.get("url")),
                "title": as_str(note.get("title")),
                "cited_text": text[start:end],
                "encrypted_index": "",
            }
        )
    return found
