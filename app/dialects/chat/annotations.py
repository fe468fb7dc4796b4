"""Annotations: chat completions nest ``url_citation``, the canonical form (Responses') is flat.

Perplexity's answers have ``citations`` (URLs) and ``search_results`` beside the choices, and marks
``[n]`` in the text (recorded answers of 2025); each mark becomes a ``url_citation``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts

_OFFSETS: Final = ("start_index", "end_index")
_MARK: Final = re.compile(r"\[(\d{1,3})\]")


def flat_annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chat annotation in flat form; types other than ``url_citation`` stay nested.

    The ``index`` beside a nested member, its position in the list of a stream, is removed.
    """
    nested = annotation.get("url_citation")
    if annotation.get("type") != "url_citation" or not isinstance(nested, dict):
        is_nested = isinstance(annotation.get(str(annotation.get("type"))), dict)
        return {name: value for name, value in annotation.items() if not (is_nested and name == "index")}
    return {"type": "url_citation", **nested}


def nested_annotation(annotation: Mapping[str, Any], before: int = 0) -> dict[str, Any] | None:
    """Return a flat annotation in chat's form; None for a type that chat does not have (file and container
    citations of hosted tools).

    ``before`` is the number of characters in front of the annotated part: chat joins the parts of
    a message, so the offsets move by that.
    """
    if annotation.get("type") != "url_citation":
        return dict(annotation) if isinstance(annotation.get(str(annotation.get("type"))), dict) else None
    if isinstance(annotation.get("url_citation"), dict):
        return dict(annotation)
    nested = {name: value for name, value in annotation.items() if name != "type"}
    if nested.get("end_index"):  # the empty span at 0 means "no position"
        nested |= {name: nested[name] + before for name in _OFFSETS if isinstance(nested.get(name), int)}
    return {"type": "url_citation", "url_citation": nested}


def citation_annotations(text: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the annotations of ``text`` for the ``citations`` of the answer ``body``.

    A source without a mark in the text gets the empty span at 0, as routers send it.
    """
    urls = [url for url in as_list(body.get("citations")) if isinstance(url, str)]
    if not urls:
        return ()
    titles = {as_str(row.get("url")): as_str(row.get("title")) for row in dicts(body.get("search_results"))}
    citations = [
        _citation(urls[index], titles, mark.start(), mark.end())
        for mark in _MARK.finditer(text)
        if 0 <= (index := int(mark[1]) - 1) < len(urls)
    ]
    urls_with_mark = {row["url"] for row in citations}
    others = (url for url in dict.fromkeys(urls) if url not in urls_with_mark)
    return (*citations, *(_citation(url, titles, 0, 0) for url in others))


def _citation(url: str, titles: Mapping[str, str], start: int, end: int) -> dict[str, Any]:
    span = {"start_index": start, "end_index": end}
    return {"type": "url_citation", **span, "url": url, "title": titles.get(url, "")}


def annotations_of(message: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the annotations of a chat message in flat form."""
    return tuple(flat_annotation(as_dict(item)) for item in dicts(message.get("annotations")))
