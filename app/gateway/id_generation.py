"""Ids that the gateway gives where an upstream gave none.

Tests: tests/dialects.
"""

from __future__ import annotations

import secrets
import string
from typing import Final

from app.state.ids import digits

_ALPHANUMERIC: Final = string.ascii_letters + string.digits


def mint(prefix: str) -> str:
    """Return a new id: ``call_`` with 24 alphanumerics as OpenAI's, else the prefix and 48
    hexadecimal digits. A prefix without separator gets an underscore."""
    if prefix[-1:] not in "_-":
        prefix += "_"
    if prefix == "call_":
        return prefix + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(24))
    return prefix + digits()
