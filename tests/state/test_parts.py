"""The smaller parts: ids, items, blobs, partial output, vault, attempts, sealing, retention."""

import base64
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from app.responses_form.fold import fold
from app.responses_form.items import as_items
from app.state import blobs, retention
from app.state.crypto import Sealer, load_keys
from app.state.database import parse_url
from app.state.ids import new_id, new_item_id, storable
from app.state.items import storable_form
from app.state.records import NewAttempt, PageQuery
from app.state.state import State
from app.state.tables import attempt, blob, conversation, conversation_item, item, response, thread, vault
from app.wire.json import dumps
from tests.state.faults import refusal
from tests.state.turns import TENANT, begin, count, delta, enqueue, item_opened, message, take_turn, texts

PICTURE = "data:image/png;base64," + base64.b64encode(os.urandom(80_000)).decode()


def picture(url: str = PICTURE) -> list[dict]:
    content = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": url}]
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("prefix", ["resp", "conv", "msg"])
def test_ids_are_prefix_and_48_hexadecimal_digits(prefix: str) -> None:
    made = {new_id(prefix) for _ in range(50)}
    assert len(made) == 50
    for one in made:
        assert one.startswith(f"{prefix}_")
        assert len(one) == len(prefix) + 49 <= 64
        int(one.partition("_")[2], 16)


def test_item_ids_take_their_prefix_from_the_type() -> None:
    kinds = ("message", "reasoning", "function_call", "compaction", "something_new")
    assert [new_item_id(kind).split("_")[0] for kind in kinds] == ["msg", "rs", "fc", "cmp", "item"]


@pytest.mark.parametrize("value", [None, 5, "", "a b", "a\x00", "ä", "x" * 513, ["a"]])
def test_ids_that_cannot_be_stored_are_known(value: object) -> None:
    assert not storable(value)


@pytest.mark.parametrize(
    "given, expected",
    [
        (
            {"role": "user", "content": "hi"},
            {
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}],
            },
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "5"},
            {"type": "function_call_output", "status": "completed", "call_id": "c", "output": "5"},
        ),
        (
            {"type": "function_call", "id": "fc_1", "status": "incomplete", "call_id": "c"},
            {"id": "fc_1", "type": "function_call", "status": "incomplete", "call_id": "c"},
        ),
        ({"type": "reasoning", "id": "bad id", "summary": []}, {"type": "reasoning", "summary": []}),
        (
            {"type": "reasoning", "id": "rs_1", "summary": [], "status": "completed"},
            {"id": "rs_1", "type": "reasoning", "summary": [], "status": "completed"},
        ),
    ],
)
def test_items_get_their_normal_form(given: dict, expected: dict) -> None:
    assert storable_form(given) == expected


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, []),
        ("x", [{"type": "message", "role": "user", "content": "x"}]),
        ([{"id": "a"}], [{"id": "a"}]),
    ],
)
def test_input_is_a_list_of_items(given, expected) -> None:
    assert as_items(given) == expected


@pytest.mark.parametrize(
    "url",
    [
        PICTURE,
        "data:text/plain," + "ä" * 70_000,
        "data:image/png;base64," + "A" * 70_001,  # not what an encoder would write
        "data:;base64," + base64.b64encode(b"x" * 70_000).decode(),
        "data:no comma" + "x" * 70_000,
    ],
)
def test_large_data_urls_come_back_character_for_character(state: State, url: str) -> None:
    first = take_turn(state, picture(url))
    expansion = state.history.expand(TENANT, [], previous_response_id=first)
    assert expansion.input[0]["content"][1] == {"type": "input_image", "image_url": url}
    shown = state.responses.input_items(TENANT, first, PageQuery())["data"][0]
    assert shown["content"][1]["image_url"] == url


def test_the_same_file_is_stored_once_for_each_tenant_and_goes_with_its_last_user(state: State) -> None:
    first = take_turn(state, picture(), [])
    conversation_id = state.conversations.create(TENANT)["id"]
    second = take_turn(state, picture(), [], conversation=conversation_id)
    take_turn(state, picture(), [], tenant="other")
    assert count(state, blob) == 2
    stored = state.db.read(lambda c: c.execute(select(func.max(func.length(item.c.body)))).scalar_one())
    assert stored < 1_000
    state.responses.delete(TENANT, first)
    state.responses.delete(TENANT, second)
    assert count(state, blob) == 2
    state.conversations.delete(TENANT, conversation_id)
    assert count(state, blob) == 1


DIGEST = hashlib.sha256(base64.b64decode(PICTURE.partition(",")[2])).hexdigest()


@pytest.mark.parametrize(
    "forged",
    [
        {"sluice:blob": DIGEST, "prefix": "data:,", "encoding": "base64"},
        {"sluice:blob": DIGEST, "sluice:sluice:blob": DIGEST},
        {"sluice:sluice:blob": {"sluice:blob": DIGEST}},
        {"sluice:blob": DIGEST.upper()},
        {"sluice:blob": ["a", {"sluice:blob": None}]},
        {"sluice:blob": {}},
        {"sluice:blob": 5, "blob": 1, ":blob": 2, "sluice:": 3, "sluice:sluice:": 4},
        {"sluice:blob": PICTURE},
        {"sluice:blob": ""},
    ],
)
def test_a_mark_that_a_client_made_up_stays_what_it_is(state: State, forged: dict) -> None:
    content = [{"type": "input_image", "image_url": forged}, {"type": "input_image", "image_url": PICTURE}]
    mine = take_turn(state, [{"role": "user", "content": content, "sluice:blob": DIGEST}])
    shown = state.responses.input_items(TENANT, mine, PageQuery())["data"][0]
    assert (shown["content"], shown["sluice:blob"]) == (content, DIGEST)
    following = take_turn(state, "and now?", previous=mine)
    history = state.history.expand(TENANT, [], previous_response_id=following).input
    assert (history[0]["content"], history[0]["sluice:blob"]) == (content, DIGEST)
    conversation = state.conversations.create(TENANT, items=[{"role": "user", "content": content}])["id"]
    listed = state.conversations.list_items(TENANT, conversation, PageQuery())["data"]
    assert listed[0]["content"] == content


def test_a_mark_reaches_no_other_tenants_file(state: State) -> None:
    take_turn(state, picture(), tenant="other")
    forged = {"sluice:blob": DIGEST, "prefix": "data:,", "encoding": "base64"}
    mine = take_turn(state, [{"role": "user", "content": [{"type": "input_image", "image_url": forged}]}])
    shown = state.responses.input_items(TENANT, mine, PageQuery())["data"][0]
    assert shown["content"][0]["image_url"] == forged


@pytest.mark.parametrize(
    "mark", [{"sluice:blob": ["poison"]}, {"sluice:blob": "0" * 64}, {"sluice:blob": None}]
)
def test_a_mark_that_an_older_version_stored_poisons_no_thread(state: State, mark: dict) -> None:
    first = take_turn(state, picture(), [])
    body = dumps({"type": "message", "role": "user", "content": [mark]})
    state.db.write(lambda c: c.execute(update(item).values(body=body)).rowcount)
    assert state.history.expand(TENANT, [], previous_response_id=first).input[0]["content"] == [mark]


def test_small_and_ordinary_strings_stay_where_they_are() -> None:
    found: dict = {}
    value = {"a": ["data:image/png;base64,AAAA", "x" * 100_000], "b": 5}
    assert blobs.detach(value, found) == value
    assert found == {}


JSON_VALUES = st.recursive(
    st.sampled_from(["", "data:,x", "data:image/png;base64," + "A" * 100_000, "x" * 100_000, None, 1]),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "blob", "sluice:blob", "sluice:sluice:blob"]), values, max_size=3
        )
    ),
    max_leaves=6,
)


@given(value=JSON_VALUES)
@settings(max_examples=60)
def test_what_may_be_detached_shows_in_the_json(value: Any) -> None:
    detached = blobs.detach(value, {})
    assert blobs.may_detach(dumps(value)) or detached == value


def test_partial_output_is_what_the_events_amount_to() -> None:
    call = {
        "id": "fc_1",
        "type": "function_call",
        "status": "in_progress",
        "arguments": "",
        "call_id": "c",
        "name": "f",
    }
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    done = message("finished", "msg_2")
    events = [
        {"type": "response.created", "sequence_number": 0},
        *item_opened(),
        delta(5, "Hel"),
        delta(6, "lo"),
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
        {"type": "response.output_item.added", "output_index": 2, "item": thought},
        {
            "type": "response.reasoning_summary_part.added",
            "output_index": 2,
            "summary_index": 0,
            "part": {"type": "summary_text", "text": ""},
        },
        {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 2,
            "summary_index": 0,
            "delta": "hm",
        },
        {"type": "response.output_item.added", "output_index": 3, "item": {**done, "content": []}},
        {"type": "response.output_item.done", "output_index": 3, "item": done},
        {"type": "response.output_text.delta", "output_index": 9, "content_index": 0, "delta": "of no item"},
        {"type": "response.something.new", "output_index": 0},
    ]
    text, cut, thinking, finished = fold(events)
    assert (text["status"], text["content"][0]["text"]) == ("incomplete", "Hello")
    assert cut == {**call, "status": "incomplete", "arguments": '{"a"'}
    assert thinking["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert finished == done


def test_the_vault_keeps_one_value_for_each_call_and_tenant(state: State) -> None:
    state.vault.put(TENANT, {"call_1": {"signature": "a"}, "call_2": {"signature": "b"}, "bad id": {}})
    state.vault.put(TENANT, {"call_1": {"signature": "c"}})
    found = state.vault.get(TENANT, ["call_1", "call_2", "call_3", "\x00"])
    assert found == {"call_1": {"signature": "c"}, "call_2": {"signature": "b"}}
    assert state.vault.get("other", ["call_1"]) == {}
    assert state.vault.get(TENANT, []) == {}


def test_attempts_are_written_ahead_and_ended_once(state: State) -> None:
    response_id = take_turn(state)
    for name in ("att_1", "att_2"):
        new = NewAttempt(name, TENANT, "call", "p/m", realm="r", response_id=response_id)
        state.attempts.begin(new)
        state.attempts.begin(new)
    state.attempts.end(TENANT, "att_1", "failed", error_kind="upstream_error")
    state.attempts.end(TENANT, "att_1", "ok")
    state.attempts.end("other", "att_2", "ok")
    state.attempts.end(TENANT, "att_2", "ok", usage={"input_tokens": 3})
    shown = state.attempts.of_response(TENANT, response_id)
    assert [(one["id"], one["status"], one["error_kind"], one["usage"]) for one in shown] == [
        ("att_1", "failed", "upstream_error", None),
        ("att_2", "ok", None, {"input_tokens": 3}),
    ]
    assert state.attempts.of_response("other", response_id) == []


def age(state: State, seconds: float) -> None:
    """Let everything stored so far be older."""
    for table, column in ((thread, "last_used_at"), (vault, "created_at"), (response, "created_at")):
        work = update(table).values({column: table.c[column] - seconds})
        state.db.write(lambda connection, work=work: connection.execute(work).rowcount)


def test_retention_counts_from_a_threads_newest_turn(state: State) -> None:
    alone = take_turn(state, "old and alone")
    root = take_turn(state, "old but continued")
    conversation_id = state.conversations.create(TENANT, items=[{"role": "user", "content": "x"}])["id"]
    used = state.conversations.create(TENANT)["id"]
    running = begin(state)[0]
    queued = enqueue(state)
    state.vault.put(TENANT, {"call_1": 1})
    age(state, 100)
    leaf = take_turn(state, "new", previous=root)
    take_turn(state, "new", conversation=used)
    assert state.purge(older_than=50) == 2
    assert refusal(state.responses.get, TENANT, alone).status == 404
    assert refusal(state.conversations.get, TENANT, conversation_id).status == 404
    assert len(state.history.expand(TENANT, [], previous_response_id=leaf).input) == 4
    assert texts(state.history.expand(TENANT, [], conversation=used).input) == ["new", "to new"]
    assert state.responses.get(TENANT, queued).status == "queued"
    assert state.vault.get(TENANT, ["call_1"]) == {}
    state.lease_renewer.remove(running)


def test_tries_go_with_what_they_were_made_for(state: State) -> None:
    old, living = take_turn(state, "old"), take_turn(state, "living")
    for name, owner in [("att_old", old), ("att_alone", None), ("att_living", living)]:
        state.attempts.begin(NewAttempt(name, TENANT, "call", "p/m", response_id=owner))
    age(state, 100)
    state.db.write(
        lambda c: c.execute(update(attempt).values(started_at=attempt.c.started_at - 100)).rowcount
    )
    take_turn(state, "more", previous=living)
    state.attempts.begin(NewAttempt("att_new", TENANT, "call", "p/m"))
    assert state.purge(older_than=50) == 1
    left = state.db.read(lambda c: sorted(c.execute(select(attempt.c.id)).scalars()))
    assert left == ["att_living", "att_new"]
    assert state.purge(older_than=None) == 0
    assert count(state, attempt) == 2


def test_retention_without_a_limit_keeps_everything(state: State) -> None:
    take_turn(state)
    age(state, 1e9)
    assert state.purge(older_than=None) == 0
    assert count(state, response) == 1


def test_a_purge_of_everything_leaves_nothing(state: State) -> None:
    conversation_id = state.conversations.create(TENANT, items=picture())["id"]
    previous = None
    for _ in range(5):
        previous = take_turn(state, picture(), previous=previous)
    take_turn(state, "x", conversation=conversation_id)
    state.responses.delete(TENANT, previous)
    age(state, 100)
    assert state.purge(older_than=50) == 2
    for table in (thread, response, item, conversation, conversation_item, blob):
        assert count(state, table) == 0
    assert retention.purge(state.db, older_than=50) == 0


def test_a_sealed_token_opens_with_its_own_binding_only() -> None:
    sealer = Sealer(["one"])
    token = sealer.seal(b"secret", b"acme")
    assert token.isascii()
    assert b"secret" not in base64.urlsafe_b64decode(token)
    assert sealer.unseal(token, b"acme") == b"secret"
    assert sealer.unseal(token, b"other") is None
    assert sealer.unseal(token) is None
    assert sealer.unseal(token[:-4] + "AAA=", b"acme") is None
    for garbage in ("", "x", "gAAAA", "\udcff", "ä"):
        assert sealer.unseal(garbage, b"acme") is None


def test_keys_rotate_the_first_seals_and_all_unseal() -> None:
    old, new = Sealer(["old"]), Sealer(["new", "old"])
    assert new.unseal(old.seal(b"x")) == b"x"
    assert old.unseal(new.seal(b"x")) is None


def test_the_secret_comes_from_the_environment_or_a_private_file(tmp_path: Path) -> None:
    url = parse_url(f"sqlite:///{tmp_path}/sluice.db")
    assert load_keys({"SLUICE_SECRET_KEY": " a , b ,"}, url) == ["a", "b"]
    made = load_keys({}, url)
    assert load_keys({"SLUICE_SECRET_KEY": ""}, url) == made
    path = tmp_path / "sluice.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["sluice.key"]
    assert len(made[0]) > 40


def test_postgresql_needs_the_secret_from_the_environment() -> None:
    with pytest.raises(ValueError, match="SLUICE_SECRET_KEY must be set"):
        load_keys({}, parse_url("postgresql://h/d"))
