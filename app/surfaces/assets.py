"""Static files of pages: scripts, styles and packages from npm, served unchanged and cached for a year.

A URL contains the file's version or hash, so a changed file has a new URL. Third-party files are in folders named
``vendor`` with their licences; ``vendor.sha256`` has their checksums.
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
    """A file in memory; ``mark`` is the beginning of its SHA-256, in hexadecimal."""

    body: bytes
    headers: Mapping[str, str]
    mark: str


def read_asset(file: Path) -> Asset:
    """Read a script, a style or an image."""
    body = file.read_bytes()
    headers = {
        "content-type": _TYPES[file.suffix],
        "cache-control": f"public, max-age={_YEAR}, immutable",
        "x-content-type-options": "nosniff",
    }
    return Asset(body, headers, hashlib.sha256(body).hexdigest()[:16])


def read_assets(*folders: Path) -> dict[str, Asset]:
    """Return the assets of some folders by name, without licences and checksums."""
    files = (file for folder in folders for file in sorted(folder.iterdir()))
    return {file.name: read_asset(file) for file in files if file.suffix in _TYPES}
