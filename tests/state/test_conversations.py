"""Conversations: their own life, and turns that read and append."""

import gevent
import pytest
from sqlalchemy import func, select

from app.errors import GatewayError
from app.state.ids import new_id
from app.state.records import PageQuery
from app.state.state import State
from app.state.tables import conversation_item
from tests.state.faults import refusal
from tests.state.turns import TENANT, answer, begin, call, ending, message, take_turn, texts

ALL = PageQuery(limit=100, order="asc")


def new(state: State, *words: str, tenant: str = TENANT) -> str:
    items = [{"role": "user", "content": word} for word in words]
    return state.conversations.create(tenant, items=items)["id"]


def listed(state: State, conversation: str) -> list[dict]:
    return state.conversations.list_items(TENANT, conversation, ALL)["data"]


def test_a_conversation_is_made_fetched_changed_and_deleted(state: State) -> None:
    made = state.conversations.create(TENANT, metadata={"a": "b"})
    assert set(made) == {"id", "object", "created_at", "metadata"}
    assert (made["object"], made["metadata"]) == ("conversation", {"a": "b"})
    assert made["id"].startswith("conv_")
    assert state.conversations.get(TENANT, made["id"]) == made
    changed = state.conversations.update(TENANT, made["id"], {"c": "d"})
    assert changed == {**made, "metadata": {"c": "d"}}
    gone = {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    assert state.conversations.delete(TENANT, made["id"]) == gone
    assert refusal(state.conversations.get, TENANT, made["id"]).status == 404


@pytest.mark.parametrize("kind", ["missing", "foreign", "deleted", "malformed"])
def test_what_is_not_yours_is_missing_everywhere(state: State, kind: str) -> None:
    conversation = new(state, "x", tenant="other" if kind == "foreign" else TENANT)
    if kind == "deleted":
        state.conversations.delete(TENANT, conversation)
    if kind in ("missing", "malformed"):
        conversation = {"missing": new_id("conv"), "malformed": "conv_\x00"}[kind]
    expected = {
        "message": f"Conversation with id '{conversation}' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    conversations = state.conversations
    for action, more in (
        (conversations.get, ()),
        (conversations.update, ({},)),
        (conversations.delete, ()),
        (conversations.add_items, ([{"role": "user", "content": "x"}],)),
        (conversations.list_items, (ALL,)),
        (conversations.get_item, ("msg_1",)),
        (conversations.delete_item, ("msg_1",)),
    ):
        error = refusal(action, TENANT, conversation, *more)
        assert (error.status, error.body()) == (404, expected)
    error = refusal(state.history.expand, TENANT, "x", conversation=conversation)
    assert (error.status, error.body()) == (404, {**expected, "param": "conversation"})


def test_items_are_added_listed_fetched_and_deleted(state: State) -> None:
    conversation = new(state, "a")
    added = state.conversations.add_items(
        TENANT, conversation, [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    )
    assert texts(listed(state, conversation)) == ["a", "b", "c"]
    assert added["data"] == listed(state, conversation)[1:]
    one = added["data"][0]
    assert state.conversations.get_item(TENANT, conversation, one["id"]) == one
    shown = state.conversations.delete_item(TENANT, conversation, one["id"])
    assert shown["object"] == "conversation"
    assert texts(listed(state, conversation)) == ["a", "c"]
    error = refusal(state.conversations.get_item, TENANT, conversation, one["id"])
    assert (error.status, error.message) == (404, f"Item with id '{one['id']}' not found.")


def test_more_than_twenty_items_at_once_are_refused(state: State) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(21)]
    for action in (
        lambda: state.conversations.create(TENANT, items=items),
        lambda: state.conversations.add_items(TENANT, new(state), items),
    ):
        error = refusal(action)
        assert (error.status, error.param, error.code) == (400, "items", "array_above_max_length")
    assert len(state.conversations.add_items(TENANT, new(state), items[:20])["data"]) == 20


def test_items_are_paged_in_both_directions(state: State) -> None:
    conversation = new(state, *"abcde")
    by_word = {texts([item])[0]: item["id"] for item in listed(state, conversation)}
    page = state.conversations.list_items(TENANT, conversation, PageQuery(limit=2, after=by_word["d"]))
    assert (texts(page["data"]), page["has_more"]) == (["c", "b"], True)
    back = state.conversations.list_items(TENANT, conversation, PageQuery(limit=2, before=by_word["b"]))
    assert (texts(back["data"]), back["has_more"]) == (["d", "c"], True)


def test_a_turn_reads_and_appends_with_the_same_ids(state: State) -> None:
    conversation = new(state, "a")
    said = message("c", "msg_c")
    first = take_turn(state, "b", [said], conversation={"id": conversation})
    kept = listed(state, conversation)
    assert texts(kept) == ["a", "b", "c"]
    own = state.responses.input_items(TENANT, first, ALL)["data"]
    assert [item["id"] for item in kept[1:]] == [own[0]["id"], "msg_c"]
    expansion = state.history.expand(TENANT, "d", conversation=conversation)
    assert texts(expansion.input[:3]) == ["a", "b", "c"]


@pytest.mark.parametrize("status, appended", [("incomplete", True), ("failed", False), ("cancelled", False)])
def test_only_what_completed_or_was_cut_by_length_is_appended(
    state: State, status: str, appended: bool
) -> None:
    conversation = new(state, "a")
    take_turn(state, "b", [message("c")], conversation=conversation, status=status)
    assert texts(listed(state, conversation)) == (["a", "b", "c"] if appended else ["a"])


def test_a_turn_that_ends_after_its_conversation_was_deleted_ends_all_the_same(state: State) -> None:
    conversation = new(state, "a")
    expansion = state.history.expand(TENANT, "b", conversation=conversation)
    response_id, fence = begin(state, expansion)
    state.conversations.delete(TENANT, conversation)
    assert state.responses.finish(TENANT, response_id, fence, ending(response_id, [message("c")]))
    assert refusal(state.history.expand, TENANT, "d", conversation=conversation).status == 404


def test_concurrent_turns_follow_one_another_whole(state: State, second: State) -> None:
    conversation = new(state)

    def turn(number: int) -> None:
        store = (state, second)[number % 2]
        while True:
            try:
                take_turn(store, f"q{number}", [message(f"a{number}")], conversation=conversation)
            except GatewayError as error:
                assert (error.status, error.code) == (409, "conversation_locked")  # noqa: PT017
                gevent.sleep(0.01)
            else:
                return

    gevent.joinall([gevent.spawn(turn, number) for number in range(20)], raise_error=True)
    words = texts(listed(state, conversation))
    pairs = [(words[at], words[at + 1]) for at in range(0, len(words), 2)]
    assert sorted(pairs) == sorted((f"q{number}", f"a{number}") for number in range(20))


def test_going_on_by_response_id_sees_what_the_conversation_held_then(state: State) -> None:
    conversation = new(state, "a")
    first = take_turn(state, "b", [message("c")], conversation=conversation)
    take_turn(state, "later", [message("later still")], conversation=conversation)
    expansion = state.history.expand(TENANT, [], previous_response_id=first)
    assert texts(expansion.input) == ["a", "b", "c"]


def test_a_deleted_conversation_stays_as_history_of_its_living_responses(state: State) -> None:
    conversation = new(state, "a")
    first = take_turn(state, "b", [message("c")], conversation=conversation)
    state.conversations.delete(TENANT, conversation)
    expansion = state.history.expand(TENANT, [], previous_response_id=first)
    assert texts(expansion.input) == ["a", "b", "c"]


def test_a_deleted_conversation_without_responses_leaves_nothing(state: State) -> None:
    state.conversations.delete(TENANT, new(state, "a"))
    left = select(func.count()).select_from(conversation_item)
    assert state.db.read(lambda connection: connection.execute(left).scalar_one()) == 0


def test_a_tool_call_in_a_conversation_needs_its_output(state: State) -> None:
    conversation = new(state)
    take_turn(state, "a", [call("call_7")], conversation=conversation)
    error = refusal(state.history.expand, TENANT, "b", conversation=conversation)
    assert error.message == "No tool output found for function call call_7."
    state.history.expand(TENANT, [answer("call_7")], conversation=conversation)


@pytest.mark.parametrize("value", [5, {}, {"id": 5}, ["conv_1"]])
def test_a_conversation_of_another_type_is_a_400(state: State, value) -> None:
    error = refusal(state.history.expand, TENANT, "x", conversation=value)
    assert (error.status, error.param, error.code) == (400, "conversation", "invalid_type")
