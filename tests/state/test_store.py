"""Responses: written ahead, finished once, fetched, listed, deleted."""

import pytest
from sqlalchemy import select, update

from app.state.ids import new_id
from app.state.records import Fence, PageQuery
from app.state.retention import purge
from app.state.state import State
from app.state.tables import response
from tests.state.faults import refusal
from tests.state.turns import (
    TENANT,
    begin,
    call,
    claim_one,
    delta,
    ending,
    enqueue,
    in_progress,
    item_opened,
    message,
    snapshot,
    take_turn,
    texts,
)


def not_found(response_id: str) -> dict:
    message = f"Response with id '{response_id}' not found."
    return {"message": message, "type": "invalid_request_error", "param": None, "code": None}


def test_a_finished_response_comes_back_whole(state: State) -> None:
    output = [message("four"), call("call_1")]
    response_id = take_turn(state, "2+2?", output, key_id="k1", mount="/v1", realm="r", provider="p")
    stored = state.responses.get(TENANT, response_id)
    expected = snapshot(response_id, "completed", output=output, usage={"total_tokens": 3})
    assert stored.object == expected
    assert list(stored.object) == list(expected)
    row = state.db.fetch_first(select(response).where(response.c.id == response_id))
    assert (row.key_id, row.mount, row.realm, stored.provider) == ("k1", "/v1", "r", "p")


def test_a_running_synchronous_response_does_not_exist_yet(state: State) -> None:
    response_id, fence = begin(state)
    assert refusal(state.responses.get, TENANT, response_id).body() == not_found(response_id)
    state.responses.finish(TENANT, response_id, fence, ending(response_id, []))
    assert state.responses.get(TENANT, response_id).status == "completed"


def test_missing_foreign_deleted_and_malformed_are_the_same_404(state: State) -> None:
    mine = take_turn(state)
    gone = take_turn(state)
    state.responses.delete(TENANT, gone)
    for tenant, response_id in (
        ("other", mine),
        (TENANT, gone),
        (TENANT, new_id("resp")),
        (TENANT, "resp_\x00"),
        (TENANT, "x" * 20_000),
    ):
        for action in (state.responses.get, state.responses.delete, state.responses.cancel):
            error = refusal(action, tenant, response_id)
            assert (error.status, error.body()) == (404, not_found(response_id))
        listed = refusal(state.responses.input_items, tenant, response_id, PageQuery())
        assert listed.body() == not_found(response_id)
    assert state.responses.get(TENANT, mine).id == mine


def test_no_write_leaves_a_terminal_state(state: State) -> None:
    response_id, fence = begin(state)
    assert state.responses.finish(TENANT, response_id, fence, ending(response_id, [message("a", "msg_a")]))
    late = ending(response_id, [message("b", "msg_b")], "failed")
    assert not state.responses.finish(TENANT, response_id, fence, late)
    assert [item["id"] for item in state.responses.get(TENANT, response_id).object["output"]] == ["msg_a"]


def test_finishing_twice_stores_once(state: State) -> None:
    response_id, fence = begin(state)
    end = ending(response_id, [message("a", "msg_a")])
    assert state.responses.finish(TENANT, response_id, fence, end)
    assert state.responses.finish(TENANT, response_id, fence, end)
    assert len(state.responses.get(TENANT, response_id).object["output"]) == 1


def sweep_as_lost(state: State, second: State, response_id: str) -> None:
    """Let a second process end what this one has not kept alive, as after a stall or a jump of the clock."""
    lapse = update(response).where(response.c.id == response_id).values(lease_until=0.0)
    state.db.write(lambda connection: connection.execute(lapse).rowcount)
    second.lease_renewer.renew_and_sweep()
    assert state.responses.get(TENANT, response_id).object["error"]["code"] == "server_lost"


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "cancelled"])
def test_the_end_by_its_owner_replaces_server_lost(state: State, second: State, status: str) -> None:
    response_id, fence = begin(state)
    sweep_as_lost(state, second, response_id)
    end = ending(response_id, [message("paid for", "msg_a")], status, provider="p", extra={"warnings": []})
    assert state.responses.finish(TENANT, response_id, fence, end)
    assert state.responses.finish(TENANT, response_id, fence, end)
    stored = state.responses.get(TENANT, response_id)
    assert (stored.status, stored.object["error"], stored.provider) == (status, None, "p")
    assert [item["id"] for item in stored.object["output"]] == ["msg_a"]


def test_only_the_owner_replaces_server_lost_and_only_once(state: State, second: State) -> None:
    response_id, fence = begin(state)
    sweep_as_lost(state, second, response_id)
    end = ending(response_id, [])
    assert not second.responses.finish(TENANT, response_id, Fence("another", 1), end)
    assert not second.responses.finish(TENANT, response_id, Fence(fence.owner, 2), end)
    assert state.responses.finish(TENANT, response_id, fence, end)
    assert not state.responses.finish(TENANT, response_id, fence, ending(response_id, [], "failed"))
    assert state.responses.get(TENANT, response_id).status == "completed"


def test_the_turn_of_a_slow_owner_still_joins_its_conversation(state: State, second: State) -> None:
    conversation = state.conversations.create(TENANT)["id"]
    expansion = state.history.expand(TENANT, "slow", conversation=conversation)
    response_id, fence = begin(state, expansion)
    sweep_as_lost(state, second, response_id)
    take_turn(second, "quick", conversation=conversation)
    assert state.responses.finish(TENANT, response_id, fence, ending(response_id, [message("to slow")]))
    history = state.history.expand(TENANT, [], conversation=conversation).input
    assert texts(history) == ["quick", "to quick", "slow", "to slow"]


def test_background_work_that_was_lost_stays_lost(state: State, second: State) -> None:
    response_id = enqueue(state, stream=True)
    work = claim_one(state)
    assert state.events.append(response_id, work.fence, [in_progress(), *item_opened(), delta(5, "a")])
    sweep_as_lost(state, second, response_id)
    assert not state.responses.finish(TENANT, response_id, work.fence, ending(response_id, []))
    assert state.responses.get(TENANT, response_id).status == "failed"


def test_another_tenant_cannot_finish(state: State) -> None:
    response_id, fence = begin(state)
    assert not state.responses.finish("other", response_id, fence, ending(response_id, []))


def test_an_aborted_turn_is_stored_as_cancelled_with_its_text(state: State) -> None:
    response_id = take_turn(state, "hi", [message("so far")], status="cancelled")
    stored = state.responses.get(TENANT, response_id)
    assert (stored.status, stored.object["status"]) == ("cancelled", "cancelled")
    assert stored.object["output"][0]["content"][0]["text"] == "so far"


def test_input_comes_back_in_normal_form_with_ids(state: State) -> None:
    response_id = take_turn(
        state,
        [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"},
            {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "x"},
        ],
    )
    page = state.responses.input_items(TENANT, response_id, PageQuery(order="asc"))
    first, second, third = page["data"]
    assert first["id"].startswith("msg_")
    assert len(first["id"]) == 4 + 48
    del first["id"], second["id"]
    assert first == {
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "hi"}],
    }
    part = {"type": "output_text", "text": "yes?", "annotations": [], "logprobs": []}
    assert second == {"type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert third == {"id": "rs_9", "type": "reasoning", "summary": [], "encrypted_content": "x"}


@pytest.mark.parametrize(
    "query, expected, more",
    [
        (PageQuery(), list("gfedcba"), False),
        (PageQuery(order="asc"), list("abcdefg"), False),
        (PageQuery(limit=3), list("gfe"), True),
        (PageQuery(limit=3, order="asc"), list("abc"), True),
        (PageQuery(limit=3, after="e"), list("dcb"), True),
        (PageQuery(limit=3, order="asc", after="e"), list("fg"), False),
        (PageQuery(limit=2, order="asc", before="e"), list("cd"), True),
        (PageQuery(limit=2, before="e"), list("gf"), False),
        (PageQuery(order="asc", after="b", before="f"), list("cde"), False),
        (PageQuery(after="a"), [], False),
        (PageQuery(limit=7), list("gfedcba"), False),
        (PageQuery(limit=6), list("gfedcb"), True),
    ],
)
def test_input_items_are_paged(state: State, query: PageQuery, expected: list[str], more: bool) -> None:
    items = [{"type": "message", "id": name, "role": "user", "content": name} for name in "abcdefg"]
    page = state.responses.input_items(TENANT, take_turn(state, items), query)
    assert [item["id"] for item in page["data"]] == expected
    assert (page["object"], page["has_more"]) == ("list", more)
    ends = (expected[0], expected[-1]) if expected else (None, None)
    assert (page["first_id"], page["last_id"]) == ends


@pytest.mark.parametrize(
    "query, param, code",
    [
        ({"limit": 0}, "limit", "integer_below_min_value"),
        ({"limit": 101}, "limit", "integer_above_max_value"),
        ({"order": "up"}, "order", "invalid_value"),
    ],
)
def test_a_bad_page_query_is_a_400(query: dict, param: str, code: str) -> None:
    error = refusal(PageQuery, **query)
    assert (error.status, error.param, error.code) == (400, param, code)


def test_an_unknown_cursor_is_a_400(state: State) -> None:
    error = refusal(state.responses.input_items, TENANT, take_turn(state), PageQuery(after="msg_x"))
    assert (error.status, error.param, error.code) == (400, "after", "invalid_value")


def test_a_running_background_response_cannot_be_deleted(state: State) -> None:
    response_id = enqueue(state)
    for _ in ("queued", "running"):
        error = refusal(state.responses.delete, TENANT, response_id)
        assert (error.status, error.message) == (400, "Cannot delete an in-flight response.")
        state.queue.claim(1)
    state.responses.cancel(TENANT, response_id)
    state.responses.delete(TENANT, response_id)
    assert refusal(state.responses.get, TENANT, response_id).status == 404


def test_a_running_synchronous_response_cannot_be_deleted(state: State) -> None:
    response_id, fence = begin(state)
    assert refusal(state.responses.delete, TENANT, response_id).status == 404
    assert state.responses.finish(TENANT, response_id, fence, ending(response_id, []))


def test_cancel_speaks_as_the_contract_says(state: State) -> None:
    sync = take_turn(state)
    assert refusal(state.responses.cancel, TENANT, sync).body()["message"] == (
        "Cannot cancel a synchronous response."
    )
    words = {
        "completed": "Cannot cancel a completed response.",
        "failed": "Cannot cancel a failed response.",
        "incomplete": "Cannot cancel a response in terminal state.",
    }
    for status, expected in words.items():
        response_id = enqueue(state)
        work = claim_one(state)
        assert state.responses.finish(TENANT, response_id, work.fence, ending(response_id, [], status))
        error = refusal(state.responses.cancel, TENANT, response_id)
        assert (error.status, error.message, error.code) == (400, expected, None)


def test_cancelling_twice_gives_the_same_body(state: State) -> None:
    response_id = enqueue(state)
    first = state.responses.cancel(TENANT, response_id)
    assert first.object["status"] == "cancelled"
    assert state.responses.cancel(TENANT, response_id).object == first.object


def test_what_was_not_to_be_stored_goes_ten_minutes_after_its_end(state: State) -> None:
    stored = take_turn(state)
    response_id = enqueue(state, store=False)
    work = claim_one(state)
    assert state.responses.finish(TENANT, response_id, work.fence, ending(response_id, [message("two")]))
    assert texts(state.responses.get(TENANT, response_id).object["output"]) == ["two"]

    def age(seconds: float) -> None:
        earlier = {"expires_at": response.c.expires_at - seconds}
        state.db.write(
            lambda c: c.execute(update(response).where(response.c.id == response_id).values(earlier))
        )

    age(590)
    purge(state.db, older_than=None)
    assert state.responses.get(TENANT, response_id).status == "completed"
    age(20)
    assert refusal(state.responses.get, TENANT, response_id).body() == not_found(response_id)
    purge(state.db, older_than=None)
    left = state.db.read(lambda c: c.execute(select(response.c.id)).scalars().all())
    assert left == [stored]
