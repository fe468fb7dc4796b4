"""How the sandbox reads its language: directives and assignments."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.providers.sandbox.assignments import infer_values, parse_assignments
from app.providers.sandbox.directives import CallDirective, Directives, parse_directives
from app.providers.sandbox.limits import first_words, split_tokens

NONE = Directives()


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("say exactly: X", {"say": "X"}),
        ("say exactly:X", {"say": "X"}),
        ("say exactly:", {"say": ""}),
        ("say exactly:\n  indented\nlines\n", {"say": "  indented\nlines"}),
        ("say exactly: a\n\nb\ntake 1 second", {"say": "a\n\nb", "seconds": 1.0}),
        ("say exactly: please refuse. then hang", {"say": "please refuse. then hang"}),
        ("say exactly: a\nsay exactly: b", {"say": "a\nb"}),
        ("take 2 seconds and say exactly: hi", {"seconds": 2.0, "say": "hi"}),
        ("Take 1.5s, stop at length", {"seconds": 1.5, "at_length": True}),
        ("think: a, b.\nsay exactly: c", {"think": "a, b.", "say": "c"}),
        ("think: a, then say exactly: c", {"think": "a", "say": "c"}),
        ("think: one\ntwo", {"think": "one\ntwo"}),
        ("call tool f with a=b, c=5", {"calls": (CallDirective("f", "a=b, c=5"),)}),
        ("call tool f", {"calls": (CallDirective("f"),)}),
        ("call tool `f`.", {"calls": (CallDirective("f"),)}),
        (
            "Please call tool a.\nThen call tool b with x=1",
            {"calls": (CallDirective("a"), CallDirective("b", "x=1"))},
        ),
        ("1. call tool a\n2. call tool b", {"calls": (CallDirective("a"), CallDirective("b"))}),
        ("fill a=b, c=5", {"fill": "a=b, c=5"}),
        ("fill", {"fill": ""}),
        ('fill {"a": [1]}', {"fill": '{"a": [1]}'}),
        ("echo history", {"echo": True}),
        ("refuse.", {"refuse": True}),
        ("fail with 429", {"status": 429}),
        ("fail with status 503", {"status": 503}),
        ("fail with 503 for gpt-4o", {"status": 503, "only_for": "gpt-4o"}),
        ("fail midway", {"midway": "fail"}),
        ("cut", {"midway": "cut"}),
        ("cut midway", {"midway": "cut"}),
        ("hang midway", {"midway": "hang"}),
        ("hang", {"silence": float("inf")}),
        ("be silent for 2 seconds; fail with 500", {"silence": 2.0, "status": 500}),
        # prose that only sounds like it
        ("Why do people refuse to say exactly what they think?", {}),
        ("I cut the rope, and the boat drifted.", {}),
        ("fill the form", {}),
        ("fail with 200", {}),
        ("fail with 4290", {}),
        ("take a few seconds", {}),
        ("hang on", {}),
        ("refuse to answer", {}),
        ("", {}),
    ],
)
def test_a_message_is_read(text, members):
    assert parse_directives(text) == replace(NONE, **members)


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [
                "say exactly:",
                "think:",
                "call tool",
                "f",
                "with",
                "a=1",
                "take",
                "2",
                "seconds",
                "fail with",
                "500",
                "midway",
                "cut",
                "hang",
                "\n",
                ", ",
                ". ",
                "please",
                "then",
                "fill",
                "x",
                "{",
                '"',
                "be silent for",
            ]
        )
    ).map(" ".join)
)
def test_no_words_break_the_reader(text):
    parse_directives(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10**7,
        " " * 10**6,
        ", " * 10**6,
        "say exactly: " + "y\n" * 10**6,
        "think: a\n" * 20_000,
        "call tool f with a=1\n" * 12_000,
        "fail with " * 10**5,
        ("," + " " * 1000) * 1000,
    ],
)
def test_long_messages_are_read_fast(text):
    started = time.process_time()
    parse_directives(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("city=Paris, days=3", {"city": "Paris", "days": 3}),
        ("city=Paris, France, days=3.5", {"city": "Paris, France", "days": 3.5}),
        ("a=true, b=false, c=null, d=-2, e=1e2", {"a": True, "b": False, "c": None, "d": -2, "e": 100.0}),
        ('a="x, y=z", b=\'q r\', c="5"', {"a": "x, y=z", "b": "q r", "c": "5"}),
        ('a=[1, "b"], c={"d": null}, e=[red, blue]', {"a": [1, "b"], "c": {"d": None}, "e": ["red", "blue"]}),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("url=https://a.b/?c=1&d=2, z=1", {"url": "https://a.b/?c=1&d=2", "z": 1}),
        ("a=007, b=1e999, c=", {"a": "007", "b": "1e999", "c": ""}),
        ('"some name"=1', {"some name": 1}),
        ('a="x" y, b=1', {"a": '"x" y', "b": 1}),
        ("ls -l", {}),
        ("", {}),
    ],
)
def test_assignments_are_read(text, members):
    assert infer_values(parse_assignments(text)) == members


@pytest.mark.parametrize(
    "text",
    ["a=b," * 20_000, "a=1" + " " * 60_000 + "x", "a=[" * 20_000, 'a="x" ' * 10_000, "a=" + " ," * 20_000],
)
def test_long_assignments_are_read_fast(text):
    started = time.process_time()
    parse_assignments(text)
    assert time.process_time() - started < 2


LONG = 200_000  # characters: quadratic work on so many takes minutes


@pytest.mark.parametrize(
    "text",
    [
        "call tool " + "." * LONG,
        "please, " * (LONG // 8),
        "fill " + " " * LONG,
        "take 3" + " " * LONG,
        "say exactly: x\n" * (LONG // 15),
        "call tool a\n" * (LONG // 12),
        "think: a\n" * (LONG // 9),
        "refuse " + "., " * (LONG // 3),
        "then " * (LONG // 5),
        "- " * (LONG // 2),
    ],
    ids=lambda text: text[:12],
)
def test_reading_a_long_message_costs_little(text):
    started = time.process_time()
    parse_directives(text)
    assert time.process_time() - started < 5


@given(st.text(" \n\tab", max_size=30))
def test_the_tokens_of_a_text_are_its_words_and_join_to_it(text):
    assert "".join(split_tokens(text)) == text
    if text.split():
        assert len(split_tokens(text)) == len(text.split())
    assert first_words(text, 2).split() == text.split()[:2]
