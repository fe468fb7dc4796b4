"""Which words are compared by meaning, and which vectors are near."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from app.config import SemanticSettings, Settings
from app.errors import GatewayError
from app.gateway.cache.identity import Digests
from app.gateway.cache.semantics import Embedder, PromptText, prompt_text_of
from app.gateway.cache.vectors import Vectors, pack
from app.gateway.call import Abort, Principal
from app.state.cache_records import Vector

SEMANTIC = SemanticSettings("sandbox/e")


def call(body: dict[str, Any], dialect: str = "chat", tenant: str = "red") -> Any:
    return SimpleNamespace(
        principal=SimpleNamespace(tenant=tenant),
        dialect=dialect,
        operation="chat",
        model="m",
        candidates=("m",),
        default_provider=None,
        strict=False,
        may_leave_out=frozenset(),
        prefer=None,
        client_headers={},
        full_body=body,
    )


def words(body: dict[str, Any], dialect: str = "chat", tenant: str = "red", scope: str = "") -> Any:
    return prompt_text_of(call(body, dialect, tenant), Digests(Settings()), scope, SEMANTIC)


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("chat", user("hi you")),
        ("chat", user([{"type": "text", "text": "hi you"}])),
        ("messages", user([{"type": "text", "text": "hi you", "cache_control": {"type": "ephemeral"}}])),
        ("responses", {"input": "hi you"}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi you"}]}]}),
        ("gemini", {"contents": [{"parts": [{"text": "hi you"}]}]}),
        ("converse", user([{"text": "hi you"}])),
    ],
)
def test_the_last_users_text_is_compared(dialect: str, body: dict[str, Any]) -> None:
    assert words(body, dialect).text == "hi you"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "hi"},
        {"messages": [7]},
        user(""),
        user(7),
        user([]),
        user([{"type": "image_url", "image_url": {"url": "data:"}}]),
        user("x" * 40_000),
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]},
        {"messages": [{"role": "user", "content": "x"}] * 4},
    ],
    ids=str,
)
def test_what_does_not_end_in_a_users_words_or_is_long_is_not_looked_up(body: dict[str, Any]) -> None:
    assert words(body) is None


@pytest.mark.parametrize(
    "other",
    [
        words({**user("hi"), "temperature": 0}),
        words({"messages": [{"role": "system", "content": "be brief"}, *user("hi")["messages"]]}),
        words(user("hi"), tenant="blue"),
        words(user("hi"), scope="mine"),
        words(user([{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}])),
    ],
)
def test_all_else_must_be_equal(other: Any) -> None:
    assert other.text == "hi"
    assert other.group != words(user("hi")).group
    assert words(user("hello there")).group == words(user("hi")).group


def test_the_nearest_come_first_and_none_below_the_threshold() -> None:
    vectors = Vectors()
    for name, vector in (("a", [1, 0]), ("b", [1, 1]), ("c", [0, 1]), ("d", [-1, 0])):
        vectors.add("g", name, vector)
    assert [name for name, _ in vectors.near("g", [2, 0.1], 0.5)] == ["a", "b"]
    assert vectors.near("other", [1, 0], 0) == []
    vectors.drop("g", "a")
    assert [name for name, _ in vectors.near("g", [2, 0.1], 0.5)] == ["b"]


def test_an_equal_vector_is_as_near_as_can_be() -> None:
    vectors, vector = Vectors(), [random.random() for _ in range(1536)]
    vectors.add("g", "a", vector)
    ((name, cosine),) = vectors.near("g", vector, 0.99)
    assert name == "a"
    assert 0.999 < cosine <= 1


@pytest.mark.parametrize(
    "vector", [[], [0, 0], [float("nan"), 1], [float("inf"), 1], "AAAA", [[1]], [1, 2, 3], None]
)
def test_what_is_no_vector_of_that_length_is_near_nothing(vector: Any) -> None:
    vectors = Vectors()
    vectors.add("g", "a", [1, 0])
    assert vectors.near("g", vector, 0) == []


def test_a_group_keeps_its_newest_and_a_process_the_groups_used_last() -> None:
    vectors = Vectors()
    for number in range(2_100):
        vectors.add("g", str(number), [1, number / 2_100])
    names = {int(name) for name, _ in vectors.near("g", [1, 0], 0)}
    assert names <= set(range(100, 125))  # in half precision neighbours are alike
    small = Vectors(most=10_000)
    for number in range(50):
        small.add(f"g{number}", "a", [1, 0])
    assert small.near("g49", [1, 0], 0)
    assert not small.near("g0", [1, 0], 0)


def test_what_other_processes_kept_is_taken_in_once() -> None:
    mine, vector = Vectors(), pack([3, 4])
    assert vector is not None
    mine.add("g", "a", [1, 0])
    mine.learn("g", [Vector("c", 7.0, vector), Vector("b", 5.0, vector), Vector("a", 2.0, vector)])
    assert mine.newest("g") == 7
    assert {name for name, _ in mine.near("g", [3, 4], 0.99)} == {"b", "c"}
    mine.learn("none", [Vector("x", 1.0, pack([1, 0]) or b"")])
    assert mine.near("none", [1, 0], 0.9)


@pytest.mark.parametrize(
    ("vector", "is_one"),
    [([1.0] * 16_384, True), ([1.0] * 16_385, False), ([], False), ("AACAPw==", False), (None, False)],
)
def test_a_vector_of_an_impossible_length_is_none(vector: Any, is_one: bool) -> None:
    """It would be compared on the loop, and kept for the next ones."""
    outcome = SimpleNamespace(body={"data": [{"embedding": vector}]}, target=None, usage=None)
    embedder = Embedder(lambda embedding_call: SimpleNamespace(result=lambda: outcome))  # type: ignore[arg-type, return-value]
    asking: Any = SimpleNamespace(
        id="c",
        principal=Principal("ann", "red"),
        abort=Abort(),
        progress=SimpleNamespace(side_attempts=[]),
        sealing=None,
        deadline=1e12,
    )
    assert (embedder.meaning_of(asking, PromptText("g", "hi"), SEMANTIC) is not None) == is_one


def test_a_model_that_answers_too_late_is_left_alone_for_a_minute() -> None:
    now, asked = [0.0], []

    def run(embedding_call: Any) -> Any:
        asked.append(embedding_call.model)
        now[0] += 5
        raise GatewayError("upstream_timeout", "late")

    embedder = Embedder(run, lambda: now[0])
    asking: Any = SimpleNamespace(
        id="c",
        principal=Principal("ann", "red"),
        abort=Abort(),
        sealing=None,
        deadline=1e12,
        progress=SimpleNamespace(side_attempts=[]),
    )
    for _ in range(3):
        assert embedder.meaning_of(asking, PromptText("g", "hi"), SEMANTIC) is None
    other = SemanticSettings("sandbox/other")
    assert embedder.meaning_of(asking, PromptText("g", "hi"), other) is None
    assert asked == ["sandbox/e", "sandbox/other"]
    now[0] = 65.0
    assert embedder.meaning_of(asking, PromptText("g", "hi"), SEMANTIC) is None
    assert asked == ["sandbox/e", "sandbox/other", "sandbox/e"]
