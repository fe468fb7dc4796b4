"""Contents at rest: sealed when asked for, read whatever sealed them, rewritten by one command."""

import base64
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, select, type_coerce, update

from app.state.cipher import Cipher
from app.state.encryption import SealedBytes
from app.state.records import NewAttempt, PageQuery
from app.state.reencryption import reencrypt
from app.state.state import State, open_state
from app.state.tables import blob, item, metadata
from tests.state.faults import refusal
from tests.state.turns import TENANT, claim_one, enqueue, in_progress, message, take_turn, texts

CANARY = "c4n4ry-at-rest"
FILE = "data:text/plain;base64," + base64.b64encode(CANARY.encode() * 6_000).decode()
COLUMNS = [
    column
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, SealedBytes)
]


@contextmanager
def opened(url: str, keys: str, *, encrypt: bool) -> Iterator[State]:
    state = open_state(url, {"SLUICE_SECRET_KEY": keys}, encrypt=encrypt)
    yield state
    state.stop()


def fill(state: State) -> str:
    """Store something in every sealed column; return the response to read it by."""
    content = [{"type": "input_text", "text": CANARY}, {"type": "input_file", "file_data": FILE}]
    first = take_turn(state, [{"role": "user", "content": content}], [message(CANARY)], extra={"x": CANARY})
    conversation = state.conversations.create(TENANT, metadata={"x": CANARY})["id"]
    take_turn(state, CANARY, conversation=conversation)
    enqueue(state, stream=True, input=[{"role": "user", "content": CANARY}], headers={"x": CANARY})
    work = claim_one(state)
    assert state.events.append(work.id, work.fence, [in_progress() | {"response": {"x": CANARY}}])
    state.vault.put(TENANT, {"call": CANARY})
    state.attempts.begin(NewAttempt("att", TENANT, "call", "p/m"))
    state.attempts.end(TENANT, "att", "ok", usage={"x": CANARY})
    return first


def raw(state: State) -> list[bytes]:
    """Every value of every sealed column, as it lies in the database."""

    def work(connection) -> list[bytes]:
        return [
            bytes(value)
            for column in COLUMNS
            for value in connection.execute(select(type_coerce(column, LargeBinary))).scalars()
            if value is not None
        ]

    return state.db.read(work)


def check_readable(state: State, response_id: str) -> None:
    stored = state.responses.get(TENANT, response_id)
    assert (texts(stored.object["output"]), stored.extra["x"]) == ([CANARY], CANARY)
    (shown,) = state.responses.input_items(TENANT, response_id, PageQuery())["data"]
    assert shown["content"][1]["file_data"] == FILE
    assert state.vault.get(TENANT, ["call"]) == {"call": CANARY}


def rewritten(state: State, keys: list[str], *, encrypt: bool) -> int:
    seen: list[tuple[str, int, int]] = []
    changed = reencrypt(state.db, Cipher(keys, seals=encrypt), lambda *told: seen.append(told))
    assert {name for name, done, total in seen if done == total} >= {"item", "blob", "event", "response"}
    return changed


def test_nothing_of_a_content_can_be_read_in_the_database(database_url: str) -> None:
    with opened(database_url, "first", encrypt=True) as state:
        response_id = fill(state)
        check_readable(state, response_id)
        values = raw(state)
        assert len(values) > 20
        assert [value for value in values if CANARY.encode() in value or value[:1] == b"{"] == []


def test_what_was_stored_before_is_read_and_then_sealed_and_opened_again(database_url: str) -> None:
    with opened(database_url, "first", encrypt=False) as state:
        response_id = fill(state)
        assert CANARY.encode() in b"".join(raw(state))
    with opened(database_url, "first", encrypt=True) as state:
        check_readable(state, response_id)
        assert rewritten(state, ["first"], encrypt=True) > 5
        assert CANARY.encode() not in b"".join(raw(state))
        assert rewritten(state, ["first"], encrypt=True) == 0
        check_readable(state, response_id)
        assert rewritten(state, ["first"], encrypt=False) > 5
    with opened(database_url, "another", encrypt=False) as state:
        check_readable(state, response_id)


def test_a_key_is_changed_while_the_old_one_still_reads(database_url: str) -> None:
    with opened(database_url, "old", encrypt=True) as state:
        response_id = fill(state)
    with opened(database_url, "new,old", encrypt=True) as state:
        check_readable(state, response_id)
        rewritten(state, ["new", "old"], encrypt=True)
    with opened(database_url, "new", encrypt=True) as state:
        check_readable(state, response_id)
    with opened(database_url, "old", encrypt=True) as state:
        error = refusal(state.responses.get, TENANT, response_id)
        assert (error.status, error.code) == (503, "store_unavailable")
        assert "SLUICE_SECRET_KEY does not hold" in error.raw


def test_a_sealed_value_that_was_changed_is_not_believed(database_url: str) -> None:
    with opened(database_url, "first", encrypt=True) as state:
        response_id = fill(state)

        def spoil(connection) -> None:
            old = type_coerce(item.c.body, LargeBinary)
            stored = (
                connection.execute(select(old).where(item.c.response_id == response_id)).scalars().first()
            )
            spoilt = type_coerce(bytes(stored[:-1]) + bytes([stored[-1] ^ 1]), LargeBinary)
            connection.execute(update(item).where(item.c.response_id == response_id).values(body=spoilt))

        state.db.write(spoil)
        assert "was changed" in refusal(state.responses.get, TENANT, response_id).raw


@pytest.mark.parametrize("encrypt", [False, True])
def test_bytes_that_look_sealed_come_back_as_they_are(database_url: str, encrypt: bool) -> None:
    forged = b"\x00sluice\x01" + b"12345678" * 10_000
    url = "data:application/octet-stream;base64," + base64.b64encode(forged).decode()
    content: list[Any] = [{"type": "input_file", "file_data": url}]
    with opened(database_url, "first", encrypt=encrypt) as state:
        made = take_turn(state, [{"role": "user", "content": content}])
        assert state.db.read(lambda c: c.execute(select(blob.c.bytes)).scalar_one()) == forged
        shown = state.responses.input_items(TENANT, made, PageQuery())["data"][0]
        assert shown["content"] == content
        rewritten_twice = [
            reencrypt(state.db, Cipher(["first"], seals=encrypt), lambda *told: None) for _ in "ab"
        ]
        assert rewritten_twice == [0, 0]


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/own.db", "first", encrypt=False) as state:
        take_turn(state)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes) >= {"own.db", "own.db-wal", "own.db-shm"}
    assert set(modes.values()) == {0o600}


def test_an_older_file_is_taken_from_all_others(tmp_path: Path) -> None:
    (tmp_path / "own.db").touch(0o644)
    (tmp_path / "own.db").chmod(0o644)
    with opened(f"sqlite:///{tmp_path}/own.db", "first", encrypt=False):
        assert stat.S_IMODE((tmp_path / "own.db").stat().st_mode) == 0o640
