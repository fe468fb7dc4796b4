"""count_tokens as a server speaks it: a prompt to count, and how many tokens it has."""

from __future__ import annotations

from typing import Any, Final

from app.dialects.messages.request_in import decode_request

decode_count_request: Final = decode_request
"""The body is a Messages body without what the answer is to be like."""


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count, and beside it that it is only an estimate."""
    return {"input_tokens": tokens, **({"estimated": True} if estimated else {})}
