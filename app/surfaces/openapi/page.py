"""The page of ``/docs``: a viewer from npm, served from here, that shows ``/docs/openapi.json``.

The page has no inline script and loads nothing from other hosts. The viewer writes styles into its elements, so this
page alone allows inline styles.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final

from app.surfaces.assets import Asset, read_asset

VERSION: Final = "9.3.8"
_VIEWER: Final = Path(__file__).parent / "vendor" / "rapidoc.js"

HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""Headers of the page."""
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "render-style": "view",
    "load-fonts": "false",
    "show-header": "false",
    "allow-server-selection": "false",
    "allow-spec-url-load": "false",
    "allow-spec-file-load": "false",
    "allow-search": "true",
    "show-method-in-nav-bar": "as-colored-text",
    "schema-style": "table",
    "default-schema-tab": "example",
    "persist-auth": "false",
    "sort-tags": "false",
    "primary-color": "#12959d",
    "regular-font": "system-ui, sans-serif",
    "mono-font": "ui-monospace, monospace",
}
_STYLE: Final = (
    ":root{color-scheme:light dark}body{margin:0;font:16px/1.5 system-ui,sans-serif;background:#fafbfc;color:#16202a}"
    "header{display:flex;gap:1.5rem;align-items:baseline;padding:.75rem 1rem;border-bottom:1px solid #8884}"
    "header a{color:inherit}header a:first-child{text-decoration:none;font-size:1.125rem}noscript p{padding:0 1rem}"
    "@media(prefers-color-scheme:dark){body{background:#333;color:#eee}}"
)


def render(root: str, title: str) -> str:
    """Return the page; ``root`` is the path below which the server is mounted."""
    below = escape(root, quote=True)
    attributes = " ".join(f'{name}="{value}"' for name, value in _ATTRIBUTES.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f'<script type="module" src="{below}/docs/rapidoc.js?v={VERSION}"></script>'
        f'<style>{_STYLE}</style></head><body><header><a href="{below}/"><strong>Sluice</strong></a>'
        f'<a href="{below}/openapi.json">openapi.json</a></header><rapi-doc spec-url="{below}/docs/openapi.json" {attributes}></rapi-doc>'
        f'<noscript><p>This page needs JavaScript. The same, for machines: <a href="{below}/openapi.json">'
        "openapi.json</a>.</p></noscript></body></html>"
    )


@lru_cache(maxsize=1)
def viewer() -> Asset:
    """Return the viewer's script; its URL contains its version."""
    return read_asset(_VIEWER)
