"""Names and model facts of the Cohere wire."""

from __future__ import annotations

from typing import Final

NAME: Final = "cohere"

PLAN: Final = (NAME, {"plan": True})
"""Marks reasoning that this wire calls a tool plan."""

_THINKERS: Final = (
    # a piece of the model id and the tokens it may write
    ("reasoning", 32_768),
    ("command-a-plus", 32_768),
)


def max_thinking(model: str) -> int | None:
    """Return the output limit that shares of thinking are taken from, None for a model that
    does not think."""
    return next((limit for text, limit in _THINKERS if text in model.lower()), None)
