"""The table of Claude's families, held against what Anthropic's own model list says of each."""

from __future__ import annotations

from typing import Any

import pytest

from app.dialects.shared.claude import family_of, is_claude
from app.dialects.shared.effort import budget_of, effort_of, nearest_effort
from app.dialects.shared.tool_forms import ANTHROPIC_ID, CONVERSE_ID, fit_tool_id
from tests.traffic import load


def recorded() -> list[Any]:
    """The entries of the recorded lists that tell what a model can."""
    lists = [e for e in load.exchanges(("anthropic.models",)) if e.status == 200]
    models = [model for e in lists for model in e.json()["data"] if model.get("capabilities")]
    return [pytest.param(model, id=model["id"]) for model in models] or [load.absent()]


def can(model: dict[str, Any], *path: str) -> bool:
    at: Any = model["capabilities"]
    for step in path:
        at = (at or {}).get(step) or {}
    return bool(at.get("supported"))


@pytest.mark.parametrize("model", recorded())
def test_a_family_promises_what_the_model_can(model: dict[str, Any]) -> None:
    family = family_of(model["id"])
    assert family.max_tokens <= model["max_tokens"]
    assert family.budgets == can(model, "thinking", "types", "enabled")
    assert family.adaptive == can(model, "thinking", "types", "adaptive")
    assert family.schemas == can(model, "structured_outputs")
    if family.adaptive:
        names = ("low", "medium", "high", "xhigh", "max")
        assert family.efforts == tuple(name for name in names if can(model, "effort", name))


def test_an_unknown_model_is_asked_as_a_new_one_and_promised_little() -> None:
    family = family_of("our-deployment")
    assert (family.max_tokens, family.sampling, family.adaptive, family.budgets) == (4096, False, True, False)
    assert is_claude("us.anthropic.claude-x")
    assert not is_claude("amazon.nova-lite-v1:0")


@pytest.mark.parametrize(
    ("effort", "budget"),
    [
        ("none", 0),
        ("minimal", 25),
        ("low", 150),
        ("medium", 425),
        ("high", 800),
        ("xhigh", 920),
        ("max", 1000),
        ("?", 425),
    ],
)
def test_an_effort_is_a_share_of_the_output_limit(effort: str, budget: int) -> None:
    assert budget_of(effort, 1000) == budget


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(0, "none"), (-1, "medium"), (1, "low"), (250, "low"), (251, "medium"), (600, "medium"), (601, "high")],
)
def test_a_budget_is_an_effort_by_its_ratio(budget: int, effort: str) -> None:
    assert effort_of(budget, 1000) == effort


@pytest.mark.parametrize(
    ("wanted", "known", "got"),
    [
        ("high", ("low", "high"), "high"),
        ("medium", ("low", "high"), "low"),
        ("max", ("low", "high"), "high"),
        ("minimal", ("low", "high"), "low"),
        ("?", ("low", "high"), "low"),
    ],
)
def test_an_effort_that_is_not_known_is_the_next_lower(wanted: str, known: tuple[str, ...], got: str) -> None:
    assert nearest_effort(wanted, known) == got


def test_an_id_that_does_not_fit_is_replaced_the_same_way_each_time() -> None:
    assert fit_tool_id("toolu_1", ANTHROPIC_ID) == "toolu_1"
    assert fit_tool_id("functions.get:0", CONVERSE_ID) == "functions.get:0"
    made = fit_tool_id("functions.get:0", ANTHROPIC_ID)
    assert ANTHROPIC_ID.fullmatch(made)
    assert (
        made == fit_tool_id("functions.get:0", ANTHROPIC_ID) != fit_tool_id("functions.get:1", ANTHROPIC_ID)
    )
    assert len(fit_tool_id("x" * 65, CONVERSE_ID)) <= 64
    assert fit_tool_id("", ANTHROPIC_ID)
