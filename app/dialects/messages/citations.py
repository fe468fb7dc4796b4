"""Convert between Claude's citations and OpenAI's annotations.

A citation belongs to a whole text block, so its annotation spans the block. The native
citations are kept beside the annotations; only they are sent back to a Claude.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_str, count, dicts

Annotation = dict[str, Any]


def annotations_of(citations: Any, text: str) -> tuple[Annotation, ...]:
    """Return a flat OpenAI annotation for each citation of a block of ``text``.

    Web and search results become ``url_citation``, places in documents ``file_citation``;
    citations of unknown types have no annotation.
    """
    annotations = (_annotation(citation, text) for citation in dicts(citations))
    return tuple(annotation for annotation in annotations if annotation is not None)


def _annotation(citation: Mapping[str, Any], text: str) -> Annotation | None:
    kind = as_str(citation.get("type"))
    if kind in _DOCUMENTS:
        return {
            "type": "file_citation",
            "file_id": as_str(citation.get("file_id")),
            "filename": as_str(citation.get("document_title")),
            "index": count(citation.get("document_index")) or 0,
        }
    if kind not in _PAGES:
        return None
    return {
        "type": "url_citation",
        "url": as_str(citation.get(_PAGES[kind])),
        "title": as_str(citation.get("title")),
        "start_index": 0,
        "end_index": len(text),
    }


_DOCUMENTS: Final = frozenset({"char_location", "page_location", "content_block_location"})
_PAGES: Final = {"web_search_result_location": "url", "search_result_location": "source"}
"""Citations of pages, and the member that has the page's URL."""


def citations_of(annotations: Iterable[Mapping[str, Any]], text: str) -> list[dict[str, Any]]:
    """Return web citations for another API's ``url_citation`` annotations of ``text``."""
    return [
        {
            "type": "web_search_result_location",
            "url": as_str(note.get("url")),
            "title": as_str(note.get("title")),
            "cited_text": text[count(note.get("start_index")) or 0 : count(note.get("end_index")) or 0],
            "encrypted_index": "",
        }
        for note in annotations
        if note.get("type") == "url_citation"
    ]
