"""Tool call ids that match a wire's pattern.

Another provider's id may not match. It is replaced by one derived from its hash: equal ids get equal
replacements, so a call and its result still match and no state is needed.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

ANTHROPIC_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""Pattern of Anthropic's Messages (docs/contract/tools.md)."""

CONVERSE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""Pattern of Bedrock's Converse (``ToolUseId`` in botocore's service model)."""


def fit_tool_id(call_id: str, pattern: re.Pattern[str]) -> str:
    """Return ``call_id`` if all of it matches ``pattern``, otherwise ``call_`` and 24 hex digits of its hash."""
    if pattern.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
