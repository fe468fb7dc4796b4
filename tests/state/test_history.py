"""History: chains, branches, references, deletion and its errors."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from app.state.history import History
from app.state.ids import new_id
from app.state.records import Expansion, PageQuery
from app.state.state import State
from app.state.tables import item, response
from tests.state.faults import refusal
from tests.state.turns import (
    TENANT,
    answer,
    begin,
    call,
    count,
    ending,
    enqueue,
    message,
    take_turn,
    texts,
    user,
)


def expand(state: State, previous: str, input="next", tenant: str = TENANT) -> Expansion:
    return state.history.expand(tenant, input, previous_response_id=previous)


def test_a_request_that_refers_to_nothing_passes_as_it_is(state: State) -> None:
    expected = [{"type": "message", "role": "user", "content": "hi"}]
    assert state.history.expand(TENANT, "hi") == Expansion(expected, [None], expected)


def test_history_is_every_turn_in_order_and_hides_ids_of_our_making(state: State) -> None:
    answered = message("one")
    first = take_turn(state, "1", [answered])
    second = take_turn(state, "2", [], previous=first)
    expansion = expand(state, second, "3")
    assert expansion.input == [
        user("1"),
        answered,
        user("2"),
        {"type": "message", "role": "user", "content": "3"},
    ]
    assert expansion.own == expansion.input[3:]
    assert expansion.parent_id == second


def test_sources_say_where_stored_items_came_from(state: State) -> None:
    first = take_turn(state, "1", realm="r1", provider="p1")
    given = [(s and (s.response_id, s.direction, s.realm, s.provider)) for s in expand(state, first).sources]
    assert given == [(first, "input", "r1", "p1"), (first, "output", "r1", "p1"), None]


def test_branches_see_only_their_own_branch(state: State) -> None:
    root = take_turn(state, "root")
    left = take_turn(state, "left", previous=root)
    right = take_turn(state, "right", previous=root)
    assert texts(expand(state, left, []).input) == ["root", "to root", "left", "to left"]
    assert texts(expand(state, right, []).input) == ["root", "to root", "right", "to right"]


def test_encrypted_reasoning_is_kept_with_its_item(state: State) -> None:
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "secret"}
    first = take_turn(state, "1", [thought, message("one")])
    assert expand(state, first).input[1] == thought


@pytest.mark.parametrize("kind", ["missing", "foreign", "deleted", "running"])
def test_an_unusable_parent_is_the_contracts_400(state: State, kind: str) -> None:
    previous = {
        "missing": lambda: new_id("resp"),
        "foreign": lambda: take_turn(state, tenant="other"),
        "deleted": lambda: take_turn(state),
        "running": lambda: begin(state)[0],
    }[kind]()
    if kind == "deleted":
        state.responses.delete(TENANT, previous)
    error = refusal(expand, state, previous)
    assert (error.status, error.body()) == (
        400,
        {
            "message": f"Previous response with id '{previous}' not found.",
            "type": "invalid_request_error",
            "param": "previous_response_id",
            "code": "previous_response_not_found",
        },
    )


def test_a_background_parent_must_have_ended(state: State) -> None:
    error = refusal(expand, state, enqueue(state))
    assert (error.status, error.param) == (400, "previous_response_id")
    assert "still in progress" in error.message


def test_a_malformed_parent_is_named_as_such(state: State) -> None:
    error = refusal(expand, state, "abc")
    assert error.body() == {
        "message": "Invalid 'previous_response_id': 'abc'. Expected an ID that begins with 'resp'.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "invalid_value",
    }


def test_parent_and_conversation_exclude_each_other(state: State) -> None:
    conversation = state.conversations.create(TENANT)["id"]
    error = refusal(
        state.history.expand,
        TENANT,
        "x",
        previous_response_id=take_turn(state),
        conversation=conversation,
    )
    assert (error.status, error.param, error.code) == (
        400,
        "previous_response_id",
        "mutually_exclusive_parameters",
    )


def test_a_parent_deleted_between_expansion_and_create_is_still_refused(state: State) -> None:
    parent = take_turn(state)
    expansion = expand(state, parent)
    state.responses.delete(TENANT, parent)
    assert refusal(begin, state, expansion).code == "previous_response_not_found"


@pytest.mark.parametrize(
    "made, words",
    [
        (call("call_9"), "function call"),
        (
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_9", "name": "x", "input": ""},
            "custom tool call",
        ),
    ],
)
def test_a_tool_call_without_output_is_the_contracts_400(state: State, made: dict, words: str) -> None:
    first = take_turn(state, "1", [made])
    error = refusal(expand, state, first, "and?")
    assert (error.status, error.param, error.code) == (400, "input", None)
    assert error.message == f"No tool output found for {words} call_9."


def test_a_tool_turn_goes_on_with_its_output(state: State) -> None:
    made = call("call_9")
    first = take_turn(state, "1", [made])
    expansion = expand(state, first, [answer("call_9")])
    assert expansion.input[1:] == [made, answer("call_9")]
    second = take_turn(state, [answer("call_9")], previous=first)
    assert len(expand(state, second, []).input) == 4


def test_a_call_cut_off_by_length_needs_no_output(state: State) -> None:
    cut = {**call("call_9"), "status": "incomplete"}
    first = take_turn(state, "1", [message("so"), cut], status="incomplete")
    assert texts(expand(state, first).input[:2]) == ["1", "so"]
    assert len(expand(state, first).input) == 3


def test_an_item_reference_is_replaced_by_the_item(state: State) -> None:
    made = message("one", "msg_one")
    take_turn(state, "1", [made], realm="r1")
    expansion = state.history.expand(TENANT, [{"id": "msg_one"}, {"role": "user", "content": "go"}])
    assert expansion.input[0] == made
    assert expansion.sources[0].realm == "r1"
    assert expansion.own[0] == made


def test_a_reference_to_an_id_of_our_making_keeps_it_for_the_owner_only(state: State) -> None:
    first = take_turn(state, "1")
    listed = state.responses.input_items(TENANT, first, PageQuery())["data"][0]
    expansion = state.history.expand(TENANT, [{"type": "item_reference", "id": listed["id"]}])
    assert "id" not in expansion.input[0]
    assert expansion.own == [listed]


def test_references_find_items_of_conversations(state: State) -> None:
    made = {"type": "message", "id": "msg_c", "role": "user", "content": "hi"}
    conversation = state.conversations.create(TENANT, items=[made])["id"]
    reference = [{"type": "item_reference", "id": "msg_c"}]
    assert texts(state.history.expand(TENANT, reference).input) == ["hi"]
    state.conversations.delete(TENANT, conversation)
    assert refusal(state.history.expand, TENANT, reference).status == 404


@pytest.mark.parametrize("kind", ["missing", "foreign", "deleted", "malformed"])
def test_an_unknown_reference_is_the_contracts_404(state: State, kind: str) -> None:
    owner = "other" if kind == "foreign" else TENANT
    made = take_turn(state, "1", [message("x", "rs_x")], tenant=owner)
    if kind == "deleted":
        state.responses.delete(TENANT, made)
    item_id = {"missing": "rs_none", "malformed": "rs_\x00"}.get(kind, "rs_x")
    error = refusal(state.history.expand, TENANT, [{"type": "item_reference", "id": item_id}])
    assert (error.status, error.param, error.code) == (404, "input", None)
    assert error.message == (
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )


def test_what_the_history_holds_already_is_not_doubled(state: State) -> None:
    made = message("one", "msg_one")
    first = take_turn(state, "1", [made])
    again = [{"type": "item_reference", "id": "msg_one"}, made, {"role": "user", "content": "2"}]
    assert texts(expand(state, first, again).input[:2]) == ["1", "one"]
    assert len(expand(state, first, again).input) == 3


def test_an_item_with_a_known_id_but_other_words_is_kept(state: State) -> None:
    first = take_turn(state, "1", [message("one", "msg_one")])
    other = message("two", "msg_one")
    assert texts(expand(state, first, [other]).input) == ["1", "one", "two"]


def test_living_descendants_keep_a_deleted_ancestors_content(state: State) -> None:
    first = take_turn(state, "1")
    second = take_turn(state, "2", previous=first)
    third = take_turn(state, "3", previous=second)
    state.responses.delete(TENANT, first)
    state.responses.delete(TENANT, second)
    assert texts(expand(state, third, []).input) == ["1", "to 1", "2", "to 2", "3", "to 3"]
    assert refusal(expand, state, second).code == "previous_response_not_found"
    state.responses.delete(TENANT, third)
    assert count(state, response) == count(state, item) == 0


def test_deleting_a_leaf_keeps_what_the_other_branch_needs(state: State) -> None:
    root = take_turn(state, "root")
    left = take_turn(state, "left", previous=root)
    right = take_turn(state, "right", previous=root)
    state.responses.delete(TENANT, root)
    state.responses.delete(TENANT, left)
    assert count(state, response) == 2
    assert texts(expand(state, right, []).input) == ["root", "to root", "right", "to right"]


def test_two_hundred_turns_are_stored_once_each_and_read_in_order(state: State) -> None:
    previous, took = None, {}
    for number in range(200):
        if number in (1, 199):
            started = time.perf_counter()
            assert len(expand(state, previous, "next").input) == 2 * number + 1
            took[number] = time.perf_counter() - started
        turn = Expansion([], [], [{"role": "user", "content": f"{number}"}], parent_id=previous)
        response_id, fence = begin(state, turn)
        assert state.responses.finish(
            TENANT, response_id, fence, ending(response_id, [message(f"a{number}")])
        )
        previous = response_id
    assert count(state, item) == 400
    stored = texts(expand(state, previous, []).input)
    assert stored == [word for number in range(200) for word in (f"{number}", f"a{number}")]
    assert took[199] < took[1] + 0.5


@pytest.mark.parametrize(
    "input, refers", [("x", False), ([{"type": "item_reference", "id": "msg_one"}], True)]
)
def test_an_expansion_says_whether_it_refers_to_anything(state: State, input, refers: bool) -> None:
    first = take_turn(state, "1", [message("one", "msg_one")])
    assert state.history.expand(TENANT, input).refers is refers
    assert expand(state, first, input).refers
    assert state.history.expand(TENANT, input, conversation=state.conversations.create(TENANT)["id"]).refers


@contextmanager
def statements(state: State) -> Iterator[list[str]]:
    """What is asked of the database inside the block."""
    seen: list[str] = []

    def note(connection, cursor, statement, parameters, context, many) -> None:
        seen.append(statement)

    state.db.read(lambda connection: None)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def reference(item_id: str) -> dict:
    return {"type": "item_reference", "id": item_id}


def test_a_repeated_reference_brings_its_item_once(state: State) -> None:
    take_turn(state, "x", [message("one", "msg_one"), message("two", "msg_two")])
    named = ["msg_one", "msg_two", "msg_one"] * 100
    expansion = state.history.expand(TENANT, [reference(one) for one in named])
    assert [one["id"] for one in expansion.own] == ["msg_one", "msg_two"]
    assert expansion.input == expansion.own


def test_many_references_are_looked_up_by_few_statements(state: State) -> None:
    conversation = state.conversations.create(TENANT)["id"]
    for first in range(0, 60, 20):
        items = [{**user("x"), "id": f"msg_{number}"} for number in range(first, first + 20)]
        state.conversations.add_items(TENANT, conversation, items)
    take_turn(state, "x", [message("y", f"msg_{number}") for number in range(60, 200)])
    with statements(state) as asked:
        expansion = state.history.expand(TENANT, [reference(f"msg_{number}") for number in range(200)])
    assert [one["id"] for one in expansion.own] == [f"msg_{number}" for number in range(200)]
    assert len(asked) < 10
    with statements(state) as asked:
        unknown = [reference(f"msg_none_{number}") for number in range(5_000)]
        assert refusal(state.history.expand, TENANT, unknown).status == 404
    assert len(asked) < 10


LIMIT = 200_000
LARGE = "data:image/png;base64," + "A" * 120_000


@pytest.fixture
def narrow(state: State) -> History:
    """History that puts at most 200,000 bytes before an input."""
    return History(state.db, limit=LIMIT)


def test_what_references_stand_for_is_bounded_before_it_is_read(state: State, narrow: History) -> None:
    take_turn(state, "x", [message("x" * 50_000, f"msg_{number}") for number in range(5)])
    some = [reference(f"msg_{number}") for number in range(3)]
    assert len(narrow.expand(TENANT, some).own) == 3
    with statements(state) as asked:
        error = refusal(narrow.expand, TENANT, [*some, reference("msg_3"), reference("msg_4")])
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "input")
    assert "at most 200,000" in error.message
    assert not [one for one in asked if "item.body, " in one or one.endswith("item.body")]


def test_a_chain_is_bounded(state: State, narrow: History) -> None:
    last = None
    for _ in range(3):
        last = take_turn(state, "x", [message("x" * 60_000)], previous=last)
    assert len(narrow.expand(TENANT, "y", previous_response_id=last).input) == 7
    last = take_turn(state, "x", [message("x" * 60_000)], previous=last)
    assert refusal(narrow.expand, TENANT, "y", previous_response_id=last).code == "context_length_exceeded"


def test_a_conversation_is_bounded(state: State, narrow: History) -> None:
    conversation = state.conversations.create(TENANT)["id"]
    items = [user("x" * 60_000)]
    for _ in range(3):
        state.conversations.add_items(TENANT, conversation, items)
    assert len(narrow.expand(TENANT, "y", conversation=conversation).input) == 4
    state.conversations.add_items(TENANT, conversation, items)
    assert refusal(narrow.expand, TENANT, "y", conversation=conversation).code == "context_length_exceeded"


def test_a_file_counts_as_often_as_it_is_put_back(state: State, narrow: History) -> None:
    picture = {"role": "user", "content": [{"type": "input_image", "image_url": LARGE}]}
    first = take_turn(state, [picture], [])
    assert len(narrow.expand(TENANT, "y", previous_response_id=first).input) == 2
    second = take_turn(state, [picture], [], previous=first)
    assert refusal(narrow.expand, TENANT, "y", previous_response_id=second).code == "context_length_exceeded"


def test_a_turn_that_must_wait_for_its_conversation_reads_none_of_it(state: State) -> None:
    conversation = state.conversations.create(TENANT, items=[user("x")] * 20)["id"]
    expansion = state.history.expand(TENANT, "slow", conversation=conversation, begins=True)
    running, fence = begin(state, expansion)
    with statements(state) as asked:
        error = refusal(state.history.expand, TENANT, "x", conversation=conversation, begins=True)
    assert (error.status, error.code) == (409, "conversation_locked")
    assert not [one for one in asked if "conversation_item" in one]
    only_read = state.history.expand(TENANT, "x", conversation=conversation)
    assert len(only_read.input) == 21
    assert state.responses.finish(TENANT, running, fence, ending(running, []))
    assert len(state.history.expand(TENANT, "x", conversation=conversation, begins=True).input) == 22
