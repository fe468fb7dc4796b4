"""Keys at rest: hashed under the operator's secrets, anew under the first, and changed one after another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import text

from app.errors import GatewayError
from app.state.audit import Actor
from app.state.key_format import CLIENT, is_sound, make_key
from app.state.keys import KeyEnding, StoredKey
from app.state.state import State, open_state

ACTOR = Actor("master", "admin", "127.0.0.1")
ASKED = StoredKey("", "team", "bob", "", True, None, {"models": ["a/*"]}, 0)


@pytest.mark.parametrize("number", range(8))
def test_a_key_made_is_sound_and_one_letter_off_is_not(number: int) -> None:
    key = make_key()
    assert is_sound(key)
    at = len(CLIENT) + number * 4
    other = "x" if key[at] != "x" else "y"
    assert not is_sound(key[:at] + other + key[at + 1 :])
    assert not is_sound(key + "\n")


def test_a_key_is_found_under_an_older_secret_and_hashed_anew(database_url: str) -> None:
    def opened(secrets: str) -> State:
        return open_state(database_url, {"SLUICE_SECRET_KEY": secrets})

    first = opened("one")
    made, secret = first.keys.create(ACTOR, ASKED)
    first.stop()
    other = opened("three")
    assert (other.keys.under_lost_secrets(), other.keys.under_older_secrets()) == (1, 0)
    other.stop()
    both = opened("two,one")
    assert both.keys.under_lost_secrets() == 0
    assert both.keys.under_older_secrets() == 1
    found = both.keys.find(secret)
    assert found is not None
    assert found.key == made
    assert both.keys.under_older_secrets() == 0
    both.stop()
    alone = opened("two")
    assert alone.keys.find(secret) == found
    alone.stop()
    stranger = opened("three")
    assert stranger.keys.find(secret) is None
    stranger.stop()


def test_each_change_advances_the_number_and_ends_what_it_says(state: State, second: State) -> None:
    made, secret = state.keys.create(ACTOR, ASKED)
    start = second.keys.revision()
    found = state.keys.find(secret)
    assert found is not None
    state.keys.rotate(ACTOR, made.id, 60, end_now=True)
    state.keys.change(ACTOR, made.id, {"enabled": False}, end_now=True)
    state.keys.delete(ACTOR, made.id)
    assert second.keys.revision() == start + 3
    assert second.keys.endings(start) == [
        KeyEnding(start + 1, made.id, found.digest),
        KeyEnding(start + 2, made.id, None),
    ]
    assert second.keys.find(secret) is None


def test_of_two_who_take_one_name_at_once_one_wins(state: State, second: State) -> None:
    def make(number: int) -> str:
        try:
            (state, second)[number % 2].keys.create(ACTOR, replace(ASKED, tenant="race"))
        except GatewayError as error:
            return error.kind.name
        return "made"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(8))) == ["conflict"] * 7 + ["made"]


def test_no_key_is_created_in_a_tenant_that_is_deleted_meanwhile(state: State, second: State) -> None:
    def change(number: int) -> None:
        if number == 4:
            state.tenants.delete(ACTOR, "leaves")
            return
        key = replace(ASKED, tenant="leaves", name=f"key-{number}")
        with suppress(GatewayError):
            (state, second)[number % 2].keys.create(ACTOR, key, is_tenant_stored=True)

    state.tenants.create(ACTOR, "leaves", {})
    with ThreadPoolExecutor(9) as pool:
        list(pool.map(change, range(9)))
    assert state.keys.page(9, None, "leaves").rows == []
    with pytest.raises(GatewayError, match="there is no tenant 'leaves'"):
        second.keys.create(ACTOR, replace(ASKED, tenant="leaves"), is_tenant_stored=True)


def test_keys_are_found_by_id_and_by_name_in_one_tenant_or_in_all(state: State) -> None:
    mine, other = (state.keys.create(ACTOR, replace(ASKED, tenant=tenant))[0] for tenant in ("team", "crew"))
    assert state.keys.find_by_name(mine.id) == [mine]
    assert {key.id for key in state.keys.find_by_name("bob")} == {mine.id, other.id}
    assert state.keys.find_by_name("bob", "crew") == [other]
    assert state.keys.find_by_name(mine.id, "crew") == state.keys.find_by_name("nobody") == []


def test_a_tenant_of_many_keys_is_deleted_by_few_statements(state: State) -> None:
    """More keys than a statement of PostgreSQL takes as parameters."""
    count = 66_000
    many = text(
        "INSERT INTO client_key (id, tenant, name, prefix, members, created_at) "
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
        "SELECT 'key_' || n, 'team', 'name ' || n, 'p', :members, 1 FROM numbers"
    )
    state.tenants.create(ACTOR, "team", {})
    _, secret = state.keys.create(ACTOR, ASKED)
    before = state.keys.revision()
    state.db.execute(many.bindparams(count=count, members=b"{}"))
    assert state.tenants.delete(ACTOR, "team")["keys"] == count + 1
    assert state.keys.find(secret) is None
    assert state.keys.page(1, None).rows == []
    assert len(state.keys.endings(before)) == count + 1


def test_what_a_deleted_tenant_stored_goes_with_the_sweep(state: State) -> None:
    state.tenants.create(ACTOR, "team", {})
    _, secret = state.keys.create(ACTOR, ASKED)
    kept = state.conversations.create("other", metadata={}, items=())
    state.conversations.create("team", metadata={}, items=())
    assert state.tenants.delete(ACTOR, "team") == {"keys": 1, "responses": 0, "conversations": 1}
    assert state.keys.find(secret) is None
    with pytest.raises(GatewayError, match="within ten minutes"):
        state.tenants.create(ACTOR, "team", {})
    assert state.purge(None) == 1
    assert state.tenants.create(ACTOR, "team", {}).name == "team"
    assert state.conversations.get("other", kept["id"])["id"] == kept["id"]
