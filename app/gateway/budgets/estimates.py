"""What an attempt may cost at most: the estimate of its input, and as many tokens as it may answer with.

Tests: tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from app.canonical.response import Billing, Usage
from app.config import nano_of
from app.dialects.media.images import pixels_of
from app.gateway.call import Target
from app.gateway.cost import UNITS, PriceList
from app.gateway.estimates import tokens_of_body

_WITHOUT_OUTPUT: Final = frozenset({"embedding", "count_tokens", "rerank", "moderation"})
"""Operations that answer with no tokens."""

_PICTURED: Final = frozenset({"image_generation", "image_edit", "image_variation"})
"""Operations that answer with pictures."""

_RATES: Final[Mapping[str, int]] = {"low": 272, "medium": 1_056, "high": 4_160}
"""Tokens of a picture of 1024 x 1024 pixels by its quality; a quality that is not listed may be the highest."""
_PART: Final = 100
"""Tokens of a picture on the way. All of these are OpenAI's figures for gpt-image-1."""
_DOCUMENTS_OF_A_UNIT: Final = 100
"""Documents of one search unit at Cohere."""
_LARGEST: Final = (1536, 1024)
"""The largest size that a model chooses by itself there."""
_MEBI: Final = 1024 * 1024

_CAPS: Final = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "max_gen_len"),
    *("maxTokens", "maxOutputTokens", "maxTokenCount", "max_new_tokens"),
)
_BELOW: Final = (
    *("generationConfig", "generation_config", "inferenceConfig", "textGenerationConfig"),
    *("additionalModelRequestFields",),
)
"""Members in which the dialects bound an answer, and the tables that some keep them in."""

_MOST_TOKENS: Final = 10**9
_MOST_DOLLARS: Final = 1_000_000_001
"""More than any budget may be, and what a database holds in nano-dollars."""

_ANSWERS: Final = ("n", "best_of", "candidateCount", "candidate_count")


class Estimate(NamedTuple):
    """Tokens in and out, and what they cost at most in nano-dollars, None where the price is unknown."""

    input_tokens: int
    output_tokens: int
    cost: int | None


def worst_case(
    prices: PriceList, target: Target, operation: str, body: Mapping[str, Any], most: int
) -> Estimate:
    """Return what ``body`` may cost at ``target``; without a bound of its own it answers with ``most`` tokens."""
    came_in = tokens_of_body(body)
    details = {}
    if operation in _PICTURED:
        goes_out = pictures_of_body(body)
        details["output.image_tokens"] = goes_out
    else:
        cap = None if target.members is None else target.members.max_tokens
        goes_out = 0 if operation in _WITHOUT_OUTPUT else output_of_body(body, most, cap)
    units = units_of(operation, body, target.provider.settings.prices.get(target.model) or {})
    usage = Usage(came_in, goes_out, details=details, estimated=True, billing=Billing(units=units))
    return Estimate(came_in, goes_out, cost_of(prices.cost(target, usage)))


def units_of(operation: str, body: Mapping[str, Any], prices: Mapping[str, float]) -> dict[str, int]:
    """Return the things that an answer may be charged by, where the operator has a price for them."""
    units: dict[str, int] = {}
    if operation in _PICTURED and "image" in prices:
        units[UNITS["image"]] = max((1, *_counts([body], ("n",))))
    documents = body.get("documents")
    if operation == "rerank" and "search_unit" in prices and isinstance(documents, list):
        units[UNITS["search_unit"]] = -(-len(documents) // _DOCUMENTS_OF_A_UNIT)
    return units


def output_of_body(body: Mapping[str, Any], most: int, cap: int | None = None) -> int:
    """Return the tokens that a client's body in any dialect lets a model answer with, ``cap`` of each answer."""
    below = [body[name] for name in _BELOW if name in body]
    tables = [body, *(table for table in below if isinstance(table, Mapping))]
    caps = list(_counts(tables, _CAPS))
    answers = max((1, *_counts(tables, _ANSWERS)))
    bound = max(caps) if caps else most
    return (bound if cap is None else min(bound, cap)) * answers


def pictures_of_body(body: Mapping[str, Any]) -> int:
    """Return the most tokens that the pictures of a client's body may take, each with its parts on the way."""
    pixels = pixels_of(str(body.get("size"))) or _LARGEST
    rate = _RATES.get(str(body.get("quality")), max(_RATES.values()))
    parts = max((0, *_counts([body], ("partial_images",)))) if body.get("stream") is True else 0
    one = -(-pixels[0] * pixels[1] * rate // _MEBI) + parts * _PART
    return min(one * max((1, *_counts([body], ("n",)))), _MOST_TOKENS)


def _counts(tables: list[Mapping[str, Any]], names: tuple[str, ...]) -> Iterator[int]:
    for table in tables:
        for name in names:
            value = table.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                yield int(min(value, _MOST_TOKENS))


def cost_of(cost: Mapping[str, Any] | None) -> int | None:
    """Return a cost object's total in nano-dollars."""
    total = None if cost is None else cost.get("total_cost")
    return None if total is None else nano_of(min(max(0.0, total), _MOST_DOLLARS))
