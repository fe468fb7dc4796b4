"""The page of all operations: plain HTML made from the OpenAPI document, nothing fetched, no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h2{margin-top:2.5rem;border-bottom:1px solid #ccc}code{font:14px ui-monospace,monospace}"
    "table{border-collapse:collapse;width:100%}td{padding:.2rem .6rem;vertical-align:top}"
    "td:first-child{width:5rem;font-weight:600}details{margin:.2rem 0}summary{cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}a{color:#8ab4f8}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""What goes with the page: one style, by its hash, and nothing else may load."""


def render(document: Mapping[str, Any], root: str) -> str:
    """Return the page; ``root`` is the path that the server is mounted below."""
    title = f"{document['info']['title']} {document['info']['version']}"
    return "".join(
        (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
            f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
            f"<p>{escape(document['info']['description'])} The same, for machines: ",
            f'<a href="{escape(root)}/openapi.json">openapi.json</a>.</p>',
            *_sections(document, root),
            "</html>",
        )
    )


def _sections(document: Mapping[str, Any], root: str) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for path, members in document["paths"].items():
        for method, operation in members.items():
            if method != "parameters":
                rows.setdefault(operation["tags"][0], []).append(
                    _row(document, method, root + path, operation)
                )
    for tag, listed in rows.items():
        yield f"<h2>{escape(tag)}</h2><table>{''.join(listed)}</table>"


def _row(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    names = ", ".join(f"<code>{escape(name)}</code>" for name in _members(document, operation))
    shown = f"<details><summary>members</summary>{names}</details>" if names else ""
    return f"<tr><td>{method.upper()}<td><code>{escape(path)}</code><br>{escape(operation['summary'])}{shown}"


def _members(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[str]:
    """Return the names of the body's members."""
    content = operation.get("requestBody", {}).get("content", {})
    found: list[str] = []
    for media in content.values():
        name = media["schema"].get("$ref", "").rpartition("/")[2]
        shape = document["components"]["schemas"][name] if name else media["schema"]
        found += shape["properties"]
    return found
