"""Patterns of a client's schema: Python's own engine is the judge of what matches."""

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.providers.sandbox.patterns import UnsupportedPattern, make_example, matches, parse_pattern
from app.providers.sandbox.schemas import UnsupportedSchema, WorkLimit

PATTERNS = [
    r"^\d{5}$",
    r"^[A-Z]{3}-\d{2,4}$",
    r"^(foo|bar)?baz*$",
    r"a.c",
    r"^(?:\+\d{1,3} )?\(\d{3}\) \d{3}-\d{4}$",
    r"^[]a-]b$",
    r"A\x42\u0043\.",
    r"^#(?:[0-9a-fA-F]{3}){1,2}$",
    r"^(?P<word>ab)+?$",
    r"\A[^@\s]+@[^@\s]+\.[a-z]{2,}\Z",
    r"^(?=.{1,9}\.?$)[a-z](?:[a-z-]{0,6}[a-z])?(?:\.[a-z]+)*\.?$",  # zod's z.hostname(), shortened
    r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",  # pydantic's Decimal
    r"(?<=a)b(?!o)|(?<!a)z",
    r"^(?:(?=a)\w|b)*$",
    r"",
]


def is_match(pattern, text):
    return matches(parse_pattern(pattern, WorkLimit().count), text, WorkLimit().count)


@settings(max_examples=150)
@given(st.sampled_from(PATTERNS), st.text("ab@foz019-.#() +ABC_", max_size=12))
def test_a_text_matches_where_pythons_own_engine_says_so(pattern, text):
    assert is_match(pattern, text) == bool(re.search(pattern, text, re.ASCII))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_example_matches_its_pattern_and_the_next_ones_differ(pattern):
    node = parse_pattern(pattern, WorkLimit().count)
    texts = [make_example(node, extra) for extra in range(4)]
    assert any(re.search(pattern, text) for text in texts)
    if "?" not in pattern:  # look-around is not what an example is made of
        assert all(re.search(pattern, text) for text in texts)
    if "[A-Z]" in pattern or r"\d" in pattern:
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [  # what Python writes otherwise
        (r"^[\w-.]+@[\w-]+\.com$", "a-b.c@d-e.com"),
        (r"^(?<year>\d{4})\z", "2026"),
        (r"^[[(&&~]+$", "[(&~"),
        (r"^[\u4e00-\u9fa5]{2}$", "中文"),
        (r"^\/a\/$", "/a/"),
    ],
)
def test_a_pattern_of_another_language_is_read(pattern, text):
    assert is_match(pattern, text)
    assert not is_match(pattern, "!")
    assert is_match(pattern, make_example(parse_pattern(pattern, WorkLimit().count)))


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "(?i)a",
        r"\bfoo",
        r"(a)\1",
        r"\p{L}",
        "*a",
        "a)",
        "[a",
        "a{9999}",
        f"[{'ab' * 300}]",
        r"[\ud800]",
    ],
)
def test_a_pattern_that_is_not_supported_says_so(pattern):
    with pytest.raises(UnsupportedPattern):
        parse_pattern(pattern, WorkLimit().count)


class Positions(WorkLimit):
    """A limit that also tells how much was counted."""

    total = 0

    def count(self, work=20):
        super().count(work)
        self.total += work


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a*)*b$", "^(a|aa)+$", "^((a{0,9}){0,9}){0,9}b$", "(?=(a*)*b)a"]
)
def test_a_hostile_pattern_gives_up_early(pattern):
    work = Positions()
    try:
        assert not matches(parse_pattern(pattern, work.count), "a" * 3000 + "!", work.count)
    except UnsupportedSchema:
        assert work.total < 500_000


@pytest.mark.parametrize(
    "pattern", ["(((a{900}){900}){900}){900}", "((((){900}){900}){900}){900}", "(" * 400 + "a" + ")*" * 400]
)
def test_an_example_stays_short(pattern):
    work = Positions()
    try:
        text = make_example(parse_pattern(pattern, work.count), 900)
        assert len(text) <= 4000
        matches(parse_pattern(pattern, work.count), text, work.count)
    except (UnsupportedPattern, UnsupportedSchema, RecursionError):
        assert work.total < 500_000


@pytest.mark.parametrize("pattern", ["a{3,}", "(ab){3,}", "((a{9,}){9,}){9,}"])
def test_an_example_that_would_be_too_long_is_not_made_first(pattern):
    """The length that a schema asks for is the client's word: ``minLength`` may be 2^63."""
    node = parse_pattern(pattern, WorkLimit().count)
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedPattern):
            make_example(node, 10**8)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
