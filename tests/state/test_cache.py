"""Shared answers in the database: how long they live, whose they are, and what takes them away."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from app.state.audit import Actor
from app.state.cache import purge
from app.state.cache_records import CacheFilter, Label
from app.state.state import State, open_state
from app.state.tables import cached_answer, db_now
from tests.state.conftest import ENVIRON
from tests.state.turns import TENANT, take_turn

ACTOR = Actor("boss", "admin", "127.0.0.1")


def left(state: State) -> list[str]:
    names = select(cached_answer.c.id).order_by(cached_answer.c.id)
    return state.db.read(lambda connection: list(connection.execute(names).scalars()))


def test_an_answer_lives_for_its_time_and_is_replaced(state: State, second: State) -> None:
    state.answers.put(Label("a", "red", "ann"), b"one", 60)
    state.answers.put(Label("a", "red", "bob"), b"two", 60)
    found = second.answers.get("a")
    assert found is not None
    assert (found.body, 55 < found.seconds <= 60) == (b"two", True)
    state.db.write(lambda c: c.execute(cached_answer.update().values(expires_at=db_now() - 1)) and None)
    assert second.answers.get("a") is None
    purge(state.db)
    assert left(state) == []


@pytest.mark.parametrize(
    ("choice", "rest"),
    [
        (CacheFilter(), ""),
        (CacheFilter(tenant="red"), "d"),
        (CacheFilter(key="ann"), "b"),
        (CacheFilter(key="mine"), "acd"),
        (CacheFilter(tenant="blue", key="ann"), "abc"),
        (CacheFilter(id="c"), "abd"),
        (CacheFilter(tenant="blue", id="c"), "abcd"),
        (CacheFilter(tenant="%"), "abcd"),
    ],
    ids=str,
)
def test_a_choice_takes_away_what_fits_all_of_it(state: State, choice: CacheFilter, rest: str) -> None:
    for label in (
        Label("a", "red", "ann"),
        Label("b", "red", "bob", "mine"),
        Label("c", "red", "ann"),
        Label("d", "blue", "ann"),
    ):
        state.answers.put(label, b"x", 60)
    before = state.answers.revision()
    count = state.answers.clear(choice)
    state.answers.note_cleared(ACTOR, choice, count)
    assert "".join(left(state)) == rest
    assert count == 4 - len(rest)
    assert state.answers.revision() == before + 1
    (row,) = state.audit.page(5, None).rows
    assert (row["action"], row["after"]) == ("cache.clear", {**choice.members(), "entries": count})


def test_keys_and_administrators_do_not_hear_of_it(state: State) -> None:
    before = state.keys.revision()
    state.answers.note_cleared(ACTOR, CacheFilter(), 0)
    assert state.keys.revision() == before


def test_an_answer_goes_with_its_response(state: State) -> None:
    taken = take_turn(state, "hi")
    response_id = taken if isinstance(taken, str) else taken.id
    state.answers.put(Label("a", TENANT, "ann", response_id=response_id), b"x", 60)
    state.answers.put(Label("b", TENANT, "ann"), b"x", 60)
    state.responses.delete(TENANT, response_id)
    assert left(state) == ["b"]


def test_the_sweep_leaves_no_more_than_so_many_bytes(state: State) -> None:
    for number in range(300):
        state.answers.put(Label(f"{number:03}", "red", "ann"), b"x" * 10, 60 + number)
    purge(state.db, most=2_500)
    assert left(state) == [f"{number:03}" for number in range(60, 300)]  # twenty go at a time


def test_a_deleted_tenants_answers_go_with_the_sweep(state: State) -> None:
    state.answers.put(Label("a", "red", "ann"), b"x", 60)
    state.answers.put(Label("b", "blue", "ann"), b"x", 60)
    state.db.write(
        lambda c: c.execute(text("INSERT INTO gone_tenant (name, gone_at) VALUES ('red', 0)")) and None
    )
    state.purge(None)
    assert left(state) == ["b"]


def test_where_the_operator_asks_for_it_answers_are_sealed(database_url: str) -> None:
    sealed = open_state(database_url, ENVIRON, encrypt=True)
    try:
        sealed.answers.put(Label("a", "red", "ann", "my scope"), b"secret words", 60)
        raw = sealed.db.read(lambda c: c.execute(text("SELECT body, scope FROM cached_answer")).one())
        assert b"secret" not in bytes(raw[0])
        assert "scope" not in raw[1]
        found = sealed.answers.get("a")
        assert found is not None
        assert found.body == b"secret words"
    finally:
        sealed.stop()
