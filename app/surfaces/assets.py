"""Files that pages load: scripts, styles and what came from npm, served unchanged and cached for a year.

An address names the file's version or the hash of its bytes, so that another file has another address.
Files of others lie in folders named ``vendor``, with their licences; ``vendor.sha256`` there holds their sums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.canonical.record import record

_YEAR: Final = 365 * 24 * 3600
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@record
class Asset:
    """One file, read once; ``mark`` is the beginning of its SHA-256."""

    body: bytes
    headers: Mapping[str, str]
    mark: str


def read_asset(file: Path) -> Asset:
    """Return a script, a style or a picture."""
    body = file.read_bytes()
    headers = {
        "content-type": _TYPES[file.suffix],
        "cache-control": f"public, max-age={_YEAR}, immutable",
        "x-content-type-options": "nosniff",
    }
    return Asset(body, headers, hashlib.sha256(body).hexdigest()[:16])


def read_assets(*folders: Path) -> dict[str, Asset]:
    """Return the assets of some folders by their names; licences and sums are none."""
    files = (file for folder in folders for file in sorted(folder.iterdir()))
    return {file.name: read_asset(file) for file in files if file.suffix in _TYPES}
