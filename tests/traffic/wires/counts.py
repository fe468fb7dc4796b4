"""Counted prompts: every wire has one number, under its own name."""

from tests.traffic.answers import Count, failure
from tests.traffic.load import Exchange

NAMES = ("input_tokens", "totalTokens", "inputTokens")


def read(exchange: Exchange) -> Count:
    """Cohere's tokenizer lists the tokens instead."""
    if error := failure(exchange):
        return Count(error=error)
    body = exchange.json()
    if "tokens" in body:
        return Count(tokens=len(body["tokens"]))
    return Count(tokens=next(body[name] for name in NAMES if name in body))
