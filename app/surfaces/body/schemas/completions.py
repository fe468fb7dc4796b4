"""The body of ``POST completions`` (OpenAI's legacy text completions)."""

from __future__ import annotations

from app.surfaces.body.schemas.base import (
    Array,
    Either,
    Flag,
    Text,
    Whole,
)
from app.surfaces.body.schemas.chat import MOST_TOKENS, ChoicesBody, SampledBody


class CompletionBody(SampledBody, ChoicesBody):
    """``POST completions``: the dialect reads the prompt's arrays."""

    prompt = Either(Text(), Array(longest=100_000), required=True)
    max_tokens = Whole(least=0, most=MOST_TOKENS)
    logprobs = Either(Flag(), Whole(least=0, most=20))
    best_of = Whole(least=0, most=20)
    suffix = Text()
    echo = Flag()
