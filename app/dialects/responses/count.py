"""The answer of a token count, ``POST /responses/input_tokens``."""

from __future__ import annotations

from typing import Any


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the answer; an estimate is marked by the gateway's own member ``estimated``."""
    counted: dict[str, Any] = {"object": "response.input_tokens", "input_tokens": tokens}
    return {**counted, "estimated": True} if estimated else counted
