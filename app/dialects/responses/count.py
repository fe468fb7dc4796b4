"""Token counts as ``POST responses/input_tokens`` answers them."""

from __future__ import annotations

from typing import Any


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count, and beside it that it is only an estimate."""
    counted: dict[str, Any] = {"object": "response.input_tokens", "input_tokens": tokens}
    return {**counted, "estimated": True} if estimated else counted
