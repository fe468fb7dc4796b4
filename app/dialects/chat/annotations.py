"""Citations: the chat form nests ``url_citation``, the canonical form (Responses') is flat.

Perplexity-like answers carry ``citations`` (URLs) and ``search_results`` beside the choices
and ``[n]`` marks in the text; each mark becomes a url_citation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts

_OFFSETS: Final = ("start_index", "end_index")
_MARK: Final = re.compile(r"\[(\d{1,3})\]")


def flat_annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chat annotation in the flat form; types other than url_citation stay.

    ``index`` beside a nested member is the entry's place in a stream's list, and is left out."""
    nested = annotation.get("url_citation")
    if annotation.get("type") != "url_citation" or not isinstance(nested, dict):
        placed = isinstance(annotation.get(str(annotation.get("type"))), dict)
        return {name: value for name, value in annotation.items() if not (placed and name == "index")}
    return {"type": "url_citation", **nested}


def nested_annotation(annotation: Mapping[str, Any], before: int = 0) -> dict[str, Any] | None:
    """Return a flat annotation in chat form; None for a kind that chat does not have
    (file and container citations of hosted tools). ``before`` counts the characters of the
    message before the annotated part: chat joins the parts, so its places move by them."""
    if annotation.get("type") != "url_citation":
        return dict(annotation) if isinstance(annotation.get(str(annotation.get("type"))), dict) else None
    if isinstance(annotation.get("url_citation"), dict):
        return dict(annotation)
    nested = {name: value for name, value in annotation.items() if name != "type"}
    if nested.get("end_index"):  # the empty span at 0 says "no place"
        nested |= {name: nested[name] + before for name in _OFFSETS if isinstance(nested.get(name), int)}
    return {"type": "url_citation", "url_citation": nested}


def cited(text: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the url_citations of ``text`` from the answer's ``citations``.

    A source that the text never marks gets the empty span at 0, as routers send it.
    """
    urls = [url for url in as_list(body.get("citations")) if isinstance(url, str)]
    if not urls:
        return ()
    titles = {as_str(row.get("url")): as_str(row.get("title")) for row in dicts(body.get("search_results"))}
    found = [
        _citation(urls[index], titles, mark.start(), mark.end())
        for mark in _MARK.finditer(text)
        if 0 <= (index := int(mark[1]) - 1) < len(urls)
    ]
    marked = {row["url"] for row in found}
    return (*found, *(_citation(url, titles, 0, 0) for url in dict.fromkeys(urls) if url not in marked))


def _citation(url: str, titles: Mapping[str, str], start: int, end: int) -> dict[str, Any]:
    return {
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "url": url,
        "title": titles.get(url, ""),
    }


def annotations_of(message: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return a message's annotations in flat form."""
    return tuple(flat_annotation(as_dict(item)) for item in dicts(message.get("annotations")))
