"""countTokens as a server speaks it: a prompt to count, and how many tokens it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.canonical.request import Request
from app.dialects.base import ServerContext
from app.dialects.gemini.members import Members
from app.dialects.gemini.request_in import decode_request


def decode_count_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the prompt to count: the body's own members, or a whole request inside it."""
    members = Members(body)
    inner = members.mapping("generateContentRequest")
    if inner is None:
        return decode_request(body, context)
    model = members.text("model") or inner.get("model")
    return decode_request({**inner, **({"model": model} if model else {})}, context)


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count; this wire has no word for an estimate."""
    return {"totalTokens": tokens}
