"""Tool call ids that fit a wire's rule.

An id made elsewhere is replaced by one made from its hash: the same id gives the same
replacement, so a call and its result still agree and nothing needs to be remembered.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

ANTHROPIC_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""What Anthropic's Messages take."""

CONVERSE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""What Bedrock's Converse takes (botocore's service model, ToolUseId)."""


def fit_tool_id(call_id: str, pattern: re.Pattern[str]) -> str:
    """Return ``call_id`` if the whole of it fits ``pattern``, else ``call_`` and 24 hex digits."""
    if pattern.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
