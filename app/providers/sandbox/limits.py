"""Limits of an answer: its size, stop sequences and the word limit; and its tokens with log probabilities.

A token is a word, with the space before it where a text is split into tokens.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from app.errors import GatewayError

MAX_CHARACTERS: Final = 1024 * 1024
"""Characters of one answer, over all its choices."""

MAX_LOGPROBS: Final = 20_000
"""Log probabilities in one answer, alternatives and choices counted."""


def check_size(what: str, size: int, most: int, param: str | None = None) -> None:
    """Raise ``bad_request`` for an answer with more than ``most`` of ``what``."""
    if size > most:
        raise GatewayError(
            "bad_request",
            f"The sandbox makes at most {most:,} {what} in one answer; this request asks for {size:,}.",
            param=param,
            code="invalid_value",
        )


def part_text(part: Part) -> str:
    """Return the words of a part: its text or arguments; empty for others."""
    return part.arguments if isinstance(part, ToolCallPart) else getattr(part, "text", None) or ""


def size_of(parts: list[Part]) -> int:
    """Count the characters that ``parts`` say."""
    return sum(len(part_text(part)) for part in parts)


def count_words(text: str) -> int:
    """Count the tokens of ``text``: a token is a whitespace-separated word."""
    return len(text.split())


_PIECE: Final = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")


def split_tokens(text: str) -> list[str]:
    """Split ``text`` into tokens: words with the space before them. Joined, they are the text."""
    return _PIECE.findall(text)


def first_words(text: str, count: int) -> str:
    """Return the first ``count`` words of ``text`` as they stand in it."""
    for index, match in enumerate(re.finditer(r"\S+", text)):
        if index == count:
            return text[: match.start()].rstrip()
    return text


def cut_at_stop(parts: list[Part], stops: tuple[str, ...]) -> tuple[list[Part], str | None]:
    """Return the parts up to the first stop sequence, and that sequence (None: there is none)."""
    result: list[Part] = []
    for part in parts:
        if isinstance(part, TextPart):
            hits = [(at, stop) for stop in stops if stop and (at := part.text.find(stop)) >= 0]
            if hits:
                at, stop = min(hits)
                return [*result, replace(part, text=part.text[:at])], stop
        result.append(part)
    return result, None


def cut_at_words(parts: list[Part], most: int | None) -> tuple[list[Part], bool]:
    """Return the first ``most`` words of the parts, and whether something was cut off.

    A tool call that does not fit is left out: with half of its arguments it would be none.
    """
    if most is None:
        return parts, False
    result: list[Part] = []
    budget = max(most, 0)
    for part in parts:
        words = count_words(part_text(part))
        if words > budget:
            if budget and isinstance(part, TextPart | ReasoningPart | RefusalPart):
                result.append(replace(part, text=first_words(part.text, budget)))
            return result, True
        result.append(part)
        budget -= words
    return result, False


def with_logprobs(part: Part, alternatives: int) -> Part:
    """Return a text with a made-up log probability for each of its tokens."""
    if not isinstance(part, TextPart):
        return part
    return replace(part, logprobs=tuple(_logprob(token, alternatives) for token in split_tokens(part.text)))


def _logprob(token: str, alternatives: int) -> dict[str, Any]:
    weight = hashlib.sha256(token.encode("utf-8", "replace")).digest()[0]
    first = -round(0.001 + weight / 1000, 6)
    rows = [
        _row(token if rank == 0 else f"{token}{'~' * rank}", first * (rank + 1))
        for rank in range(min(alternatives, 20))
    ]
    return {**_row(token, first), "top_logprobs": rows}


def _row(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
