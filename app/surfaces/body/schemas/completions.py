"""The body of ``POST completions`` (OpenAI's legacy text completions)."""

from __future__ import annotations

from app.surfaces.body.schemas.base import (
    Array,
    Boolean,
    Either,
    Integer,
    String,
)
from app.surfaces.body.schemas.chat import MOST_TOKENS, ChoicesBody, SampledBody


class CompletionBody(SampledBody, ChoicesBody):
    """``POST completions``: the dialect reads the prompt's arrays."""

    prompt = Either(String(), Array(longest=100_000), required=True)
    max_tokens = Integer(least=0, most=MOST_TOKENS)
    logprobs = Either(Boolean(), Integer(least=0, most=20))
    best_of = Integer(least=0, most=20)
    suffix = String()
    echo = Boolean()
