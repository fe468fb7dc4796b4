"""Base64 text of bytes or of other text, as JSON holds it."""

from __future__ import annotations

import base64
import binascii


def encode_base64(data: bytes | str) -> str:
    """Return bytes, or the UTF-8 bytes of a text, as standard base64 text."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode("ascii")


def decode_base64(value: str, encoding: str = "utf-8") -> str | None:
    """Return the text that standard base64 holds, None for anything else."""
    try:
        return base64.b64decode(value, validate=True).decode(encoding)
    except (binascii.Error, ValueError):
        return None
