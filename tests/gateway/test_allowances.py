"""Patterns of models: a star for anything, nothing else special, and no work beyond one reading."""

from __future__ import annotations

import pytest

from app.gateway.allowances import Allowance, fits


@pytest.mark.parametrize(
    ("pattern", "name", "fit"),
    [
        ("openai/gpt-5", "openai/gpt-5", True),
        ("openai/gpt-5", "openai/gpt-5-mini", False),
        ("openai/*", "openai/", True),
        ("*", "openai/gpt-5", True),
        ("*/gpt-*", "azure/gpt-5", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*a", "a", False),
        ("*ab*ab*", "xab", False),
        ("**", "", True),
        ("openai/gpt-[5]", "openai/gpt-5", False),
        ("openai/gpt-?", "openai/gpt-5", False),
        ("*a" * 128, "a" * 100_000 + "b", False),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_does(pattern: str, name: str, fit: bool) -> None:
    assert fits(pattern, name) is fit


def test_a_level_allows_what_one_of_its_patterns_fits_by_target_or_by_the_operators_name() -> None:
    level = Allowance(("sandbox/*", "fast"), frozenset({"embedding"}))
    assert level.allows_model("groq/x", "fast")
    assert not level.allows_model("groq/x", "slow")
    assert not level.allows_model("groq/fast", None)
    assert level.allows_operation("embedding")
    assert not level.allows_operation("speech")
