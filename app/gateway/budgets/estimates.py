"""What an attempt may cost at most: the estimate of its input, and as many tokens as it may answer with.

Tests: tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from app.canonical.response import Usage
from app.config import nano_of
from app.gateway.call import Target
from app.gateway.cost import PriceList
from app.gateway.estimates import tokens_of_body

_SILENT: Final = frozenset({"embedding", "count_tokens", "rerank", "moderation"})
"""Operations that answer with no tokens."""

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
    cap = None if target.members is None else target.members.max_tokens
    goes_out = 0 if operation in _SILENT else output_of_body(body, most, cap)
    usage = Usage(input_tokens=came_in, output_tokens=goes_out, estimated=True)
    return Estimate(came_in, goes_out, cost_of(prices.cost(target, usage)))


def output_of_body(body: Mapping[str, Any], most: int, cap: int | None = None) -> int:
    """Return the tokens that a client's body in any dialect lets a model answer with, ``cap`` of each answer."""
    tables = [body, *(table for name in _BELOW if isinstance(table := body.get(name), Mapping))]
    caps = list(_counts(tables, _CAPS))
    answers = max((1, *_counts(tables, _ANSWERS)))
    bound = max(caps) if caps else most
    return (bound if cap is None else min(bound, cap)) * answers


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
