"""The name of the Cohere dialect, and what its models support."""

from __future__ import annotations

from typing import Final

NAME: Final = "cohere"

PLAN: Final = (NAME, {"plan": True})
"""Marks reasoning that Cohere sends as ``tool_plan``."""

_OUTPUT_LIMITS: Final = (
    # part of the model id, output limit in tokens
    ("reasoning", 32_768),
    ("command-a-plus", 32_768),
)


def output_limit(model: str) -> int | None:
    """Return the output limit, in tokens, of a model that can think; None for any other model."""
    return next((limit for text, limit in _OUTPUT_LIMITS if text in model.lower()), None)
