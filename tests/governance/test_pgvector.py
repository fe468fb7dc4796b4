"""Like questions that PostgreSQL finds by pgvector: as numpy finds them, and only where nothing is sealed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from app.gateway.cache.vectors import NEAREST, Vectors, pack, round_cosine
from app.state.cache_records import Label
from app.state.cipher import Cipher
from app.state.reencryption import reencrypt
from app.state.state import State, open_state
from tests.governance.city import CHAT, PROMPT, City, running_city
from tests.governance.test_cache import cached
from tests.governance.test_semantic_cache import ASKED, CONFIG, LIKE, OTHER
from tests.lifecycle.house import eventually
from tests.services import new_postgres, own_pgvector
from tests.state.conftest import ENVIRON


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_pgvector() as url:
        yield url


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """An empty database in which pgvector is installed."""
    with new_postgres(server) as url:
        yield url


@pytest.fixture
def state(database: str) -> Iterator[State]:
    opened = open_state(database, ENVIRON)
    yield opened
    opened.stop()


def ask(city: City, gateway: int, words: str) -> dict[str, object]:
    """Return what a call is told of the cache; what the second gateway is answered is not kept."""
    body = {**PROMPT, "messages": [{"role": "user", "content": words}]}
    headers = {"x-bf-cache-no-store": "true"} if gateway else {}
    answer = city.client(gateway=gateway).send("POST", CHAT, body, headers=headers)
    assert answer.status == 200, answer.body
    debug: dict[str, object] = answer.json["extra_fields"]["cache_debug"]
    return {"cache": cached(answer)[0], **debug}


def columns(database: str) -> set[tuple[bool, bool]]:
    """Return which of the two forms of a vector the rows have."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT vector IS NOT NULL, numbers IS NOT NULL FROM cached_answer WHERE meaning IS NOT NULL"
        )
        return {(row[0], row[1]) for row in found}


@pytest.mark.parametrize("kind", ["compared", "sealed", "out of sight"])
def test_a_like_question_is_answered_by_another_process(database: str, kind: str) -> None:
    """One that another process kept can only be known from what lies in the database."""
    variables = {"DATABASE_URL": database, "SLUICE_SECRET_KEY": "s"}
    if kind == "sealed":
        variables["SLUICE_ENCRYPT"] = "on"
    if kind == "out of sight":
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA elsewhere")
            connection.execute("ALTER EXTENSION vector SET SCHEMA elsewhere")
    with running_city(CONFIG, gateways=2, env=variables) as city:
        eventually(lambda: ask(city, 0, ASKED)["cache"] == "hit")
        eventually(lambda: ask(city, 1, LIKE).get("hit_type") == "semantic")
        assert ask(city, 1, OTHER)["cache"] == "miss"
    assert columns(database) == {(False, True) if kind == "compared" else (True, False)}


def keep(state: State, name: str, vector: Sequence[float], meaning: str = "m") -> None:
    label = Label(name, "red", "ann", meaning=meaning, vector=pack(vector))
    state.answers.put(label, b"x", 60)


def test_the_database_finds_what_numpy_finds(state: State) -> None:
    assert state.answers.compares()
    chance, here = random.Random(7), Vectors()
    for number in range(60):
        vector = [chance.uniform(-1, 1) for _ in range(24)]
        keep(state, str(number), vector)
        here.add("m", str(number), vector)
    for _ in range(20):
        asked = [chance.uniform(-1, 1) for _ in range(24)]
        there = state.answers.nearest("m", pack(asked) or b"", 2_000, NEAREST)
        expected = here.near("m", asked, -1)
        assert [name for name, _ in there] == [name for name, _ in expected]
        assert [cosine for _, cosine in there] == pytest.approx([one for _, one in expected], abs=1e-3)


def test_what_cannot_be_compared_is_passed_over(state: State) -> None:
    keep(state, "other length", [1, 0, 0])
    keep(state, "other meaning", [1, 0], "n")
    keep(state, "none", [0, 0])
    keep(state, "long", [1.0] * 16_001)
    state.answers.put(Label("no direction", "red", "ann", meaning="m", vector=b"\0" * 4), b"x", 60)
    keep(state, "over", [1, 0])
    state.db.write(
        lambda c: c.execute(text("UPDATE cached_answer SET expires_at = 0 WHERE id = 'over'")) and None
    )
    keep(state, "far", [0.1, 1])
    keep(state, "near", [1, 0.1])
    found = state.answers.nearest("m", pack([5, 0]) or b"", 2_000, NEAREST)
    assert [name for name, cosine in found if cosine >= 0] == ["near", "far"]
    assert state.answers.nearest("m", struct.pack("<16001e", *[1.0] * 16_001), 2_000, NEAREST) == []
    assert [name for name, _ in state.answers.nearest("m", pack([1, 0]) or b"", 1, NEAREST)] == ["near"]


def test_an_equal_vector_is_as_near_as_can_be(state: State) -> None:
    vector = [random.Random(3).random() for _ in range(1_536)]
    keep(state, "a", vector)
    ((name, cosine),) = state.answers.nearest("m", pack(vector) or b"", 2_000, NEAREST)
    assert (name, round_cosine(cosine)) == ("a", 1.0)


def test_where_contents_are_sealed_from_now_on_no_numbers_stay(state: State) -> None:
    keep(state, "a", [1, 0])
    state.answers.put(Label("b", "red", "ann"), b"x", 60)
    reencrypt(state.db, Cipher(["key"], seals=True), lambda *told: None)
    left = state.db.read(lambda c: c.execute(text("SELECT id FROM cached_answer")).scalars().all())
    assert left == ["b"]


def test_another_database_compares_nothing(tmp_path: Path) -> None:
    opened = open_state(f"sqlite:///{tmp_path}/s.db", ENVIRON)
    assert not opened.answers.compares()
    keep(opened, "a", [1, 0])
    assert [one.id for one in opened.answers.vectors("m", 0, 5)] == ["a"]
    opened.stop()
