"""Checks of stored responses: retrieved, continued, deleted, in the background, and in conversations."""

from __future__ import annotations

import time
from typing import Any, Final

from app.conformance.client import Skip, expect, expect_error, expect_ok, expect_shape
from app.conformance.responses import PATH, check_response, events_of, post_stream, text_of
from app.conformance.subject import HELLO, Subject

_ENDS: Final = ("completed", "failed", "incomplete", "cancelled")
_PAUSE: Final = 0.2  # seconds between two looks at a background response
_LONGEST: Final = 120.0  # seconds that it may take
_SLOW: Final = "take 20 seconds, then say exactly: this is a long story about a river, a lock and a sluice"


def a_response_is_kept(subject: Subject) -> None:
    """A response can be retrieved by its id, unchanged."""
    response = _store(subject)
    copy = subject.client.get(f"{PATH}/{response['id']}")
    check_response(copy)
    expect(copy["id"] == response["id"], "another id is shown")
    expect(copy["output"] == response["output"], "another output is shown")


def a_streamed_response_is_kept(subject: Subject) -> None:
    """The stored response is the one that the last event of its stream holds."""
    response = post_stream(subject, subject.response(HELLO, store=True))[-1]["response"]
    copy = subject.client.get(f"{PATH}/{response['id']}")
    same = (copy["status"], copy["output"]) == (response["status"], response["output"])
    expect(same, "the end of the stream is not kept")


def its_input_is_listed(subject: Subject) -> None:
    """``input_items`` is a list in pages."""
    path = f"{PATH}/{_store(subject)['id']}/input_items"
    page = subject.client.get(path)
    expect_shape(
        page, {"object": "list", "data": list, "has_more": bool, "first_id": str, "last_id": str}, "list"
    )
    expect_shape(page["data"][0], {"id": str, "type": "message", "role": "user"}, "data[0]")
    expect_error(subject.client.send("GET", f"{path}?limit=0"), 400, 422)


def a_response_is_continued(subject: Subject) -> None:
    """``previous_response_id`` continues a response."""
    first = _store(subject)
    again = subject.client.post(PATH, subject.response("And again.", previous_response_id=first["id"]))
    check_response(again)
    expect(again.get("previous_response_id") == first["id"], "previous_response_id is not shown")
    expect(again["id"] != first["id"], "the next response has the same id")


def a_response_is_deleted(subject: Subject) -> None:
    """A deleted response is not found."""
    response_id = _store(subject)["id"]
    deletion = expect_ok(subject.client.send("DELETE", f"{PATH}/{response_id}")).json
    expect_shape(deletion, {"id": response_id, "deleted": True}, "answer")
    expect_error(subject.client.send("GET", f"{PATH}/{response_id}"), 404)


def a_response_that_is_not_to_be_kept(subject: Subject) -> None:
    """A response with ``store: false`` is not found."""
    response = subject.client.post(PATH, subject.response(HELLO, store=False))
    expect_error(subject.client.send("GET", f"{PATH}/{response['id']}"), 404)


def unknown_responses(subject: Subject) -> None:
    """Unknown ids are not found and cannot be continued."""
    unknown = "resp_00000000000000000000000000000000000000000000000000"
    for method in ("GET", "DELETE"):
        expect_error(subject.client.send(method, f"{PATH}/{unknown}"), 404)
    reply = subject.client.send("POST", PATH, subject.response("x", previous_response_id=unknown))
    error = expect_error(reply, 400, 404)
    expect("previous_response" in f"{error['code']} {error['param']}", "the error does not name the member")


def a_response_in_the_background(subject: Subject) -> None:
    """Its id is returned at once, and it ends without a client that waits."""
    check_response(_wait_for_end(subject, _start_in_background(subject, HELLO)))


def a_background_stream_is_replayed(subject: Subject) -> None:
    """Its events can be read again, from any number on."""
    events = post_stream(subject, subject.response(HELLO, background=True))
    path = f"{PATH}/{events[-1]['response']['id']}?stream=true"
    for after, query in ((-1, ""), (1, "&starting_after=1")):
        replay = events_of(expect_ok(subject.client.send("GET", path + query)), first=after + 1)
        numbers = [event["sequence_number"] for event in replay]
        expected = [event["sequence_number"] for event in events if event["sequence_number"] > after]
        expect(numbers == expected, f"starting_after={None if after < 0 else after} gives other events")


def a_response_is_cancelled(subject: Subject) -> None:
    """A background response stops; cancelling any other response is refused."""
    response_id = _start_in_background(subject, _SLOW)
    reply = subject.client.send("POST", f"{PATH}/{response_id}/cancel")
    if reply.status == 400:
        raise Skip(f"the response had ended already: {reply.error['message']}")
    expect(expect_ok(reply).json["status"] == "cancelled", "the status is not 'cancelled'")
    expect(_wait_for_end(subject, response_id)["status"] == "cancelled", "it goes on all the same")
    expect_error(subject.client.send("POST", f"{PATH}/{_store(subject)['id']}/cancel"), 400)


def a_conversation(subject: Subject) -> None:
    """Items are added, listed and part of the prompt; a response is appended; a deleted conversation is not found."""
    item = {"type": "message", "role": "user", "content": "My name is Ann."}
    conversation = subject.client.post("/conversations", {"items": [item], "metadata": {"a": "b"}})
    shape = {"id": str, "object": "conversation", "metadata": {"a": "b"}, "created_at": (int, float)}
    expect_shape(conversation, shape, "conversation")
    path = f"/conversations/{conversation['id']}"
    response = subject.client.post(PATH, subject.response(HELLO, conversation=conversation["id"]))
    check_response(response)
    page = subject.client.get(f"{path}/items?order=asc")
    expect_shape(page, {"object": "list", "data": list, "has_more": False}, "list")
    items = page["data"]
    roles = [item.get("role") for item in items if item["type"] == "message"]
    expect(roles == ["user", "user", "assistant"], f"the conversation has messages of {roles}")
    expect(text_of({"output": items[-1:]}) == text_of(response), "the answer is not in the conversation")
    expect_shape(subject.client.get(f"{path}/items/{items[0]['id']}"), {"id": items[0]["id"]}, "item")
    expect_ok(subject.client.send("DELETE", path))
    expect_error(subject.client.send("GET", path), 404)


def two_pasts_at_once(subject: Subject) -> None:
    """A conversation and a previous response exclude each other."""
    previous, conversation = _store(subject)["id"], subject.client.post("/conversations", {})["id"]
    body = subject.response("x", previous_response_id=previous, conversation=conversation)
    expect_error(subject.client.send("POST", PATH, body), 400)


def _store(subject: Subject) -> Any:
    """Return a new stored response."""
    return subject.client.post(PATH, subject.response(HELLO, store=True))


def _start_in_background(subject: Subject, text: str) -> Any:
    """Return the id of a new background response."""
    response = subject.client.post(PATH, subject.response(text, background=True))
    expect_shape(response, {"id": str, "object": "response", "background": True, "status": str}, "response")
    expect(response["status"] in ("queued", "in_progress"), f"the status is {response['status']!r} at first")
    return response["id"]


def _wait_for_end(subject: Subject, response_id: str) -> Any:
    limit = time.monotonic() + _LONGEST
    while (response := subject.client.get(f"{PATH}/{response_id}"))["status"] not in _ENDS:
        expect(time.monotonic() < limit, f"the response has not ended after {_LONGEST:g} s")
        time.sleep(_PAUSE)
    return response


CHECKS: Final = (
    a_response_is_kept,
    a_streamed_response_is_kept,
    its_input_is_listed,
    a_response_is_continued,
    a_response_is_deleted,
    a_response_that_is_not_to_be_kept,
    unknown_responses,
    a_response_in_the_background,
    a_background_stream_is_replayed,
    a_response_is_cancelled,
    a_conversation,
    two_pasts_at_once,
)
