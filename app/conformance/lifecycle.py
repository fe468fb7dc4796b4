"""Checks of what becomes of a response: kept, shown, continued, taken away; in the background; in conversations."""

from __future__ import annotations

import time
from typing import Any, Final

from app.conformance.client import Skipped, expect, expect_error, ok, shaped
from app.conformance.responses import HELLO, PATH, check_response, events_of, streamed, text_of
from app.conformance.subject import Subject

_ENDS: Final = ("completed", "failed", "incomplete", "cancelled")
_PAUSE: Final = 0.2
_LONGEST: Final = 120.0
_SLOW: Final = "take 20 seconds, then say exactly: this is a long story about a river, a lock and a sluice"


def a_response_is_kept(subject: Subject) -> None:
    """What was made can be asked for by its id, as it was told."""
    made = subject.client.post(PATH, subject.response(HELLO, store=True))
    shown = subject.client.get(f"{PATH}/{made['id']}")
    check_response(shown)
    expect(shown["id"] == made["id"], "another id is shown")
    expect(shown["output"] == made["output"], "another output is shown")


def a_streamed_response_is_kept(subject: Subject) -> None:
    """The end of a stream is what is kept."""
    end = streamed(subject, subject.response(HELLO, store=True))[-1]["response"]
    shown = subject.client.get(f"{PATH}/{end['id']}")
    expect(
        (shown["status"], shown["output"]) == (end["status"], end["output"]),
        "the end of the stream is not kept",
    )


def its_input_is_listed(subject: Subject) -> None:
    """``input_items`` is a list with pages."""
    made = subject.client.post(PATH, subject.response(HELLO, store=True))
    page = subject.client.get(f"{PATH}/{made['id']}/input_items")
    shaped(page, {"object": "list", "data": list, "has_more": bool, "first_id": str, "last_id": str}, "list")
    shaped(page["data"][0], {"id": str, "type": "message", "role": "user"}, "data[0]")
    reply = subject.client.send("GET", f"{PATH}/{made['id']}/input_items?limit=0")
    expect_error(reply, 400, 422)


def a_response_is_continued(subject: Subject) -> None:
    """``previous_response_id`` goes on from what was said."""
    first = subject.client.post(PATH, subject.response(HELLO, store=True))
    again = subject.client.post(PATH, subject.response("And again.", previous_response_id=first["id"]))
    check_response(again)
    expect(again.get("previous_response_id") == first["id"], "previous_response_id is not shown")
    expect(again["id"] != first["id"], "the next response has the same id")


def a_response_is_deleted(subject: Subject) -> None:
    """What was deleted is not found."""
    made = subject.client.post(PATH, subject.response(HELLO, store=True))
    deletion = ok(subject.client.send("DELETE", f"{PATH}/{made['id']}")).json
    shaped(deletion, {"id": made["id"], "deleted": True}, "answer")
    expect_error(subject.client.send("GET", f"{PATH}/{made['id']}"), 404)


def a_response_that_is_not_to_be_kept(subject: Subject) -> None:
    """``store: false`` leaves nothing behind."""
    made = subject.client.post(PATH, subject.response(HELLO, store=False))
    expect_error(subject.client.send("GET", f"{PATH}/{made['id']}"), 404)


def unknown_responses(subject: Subject) -> None:
    """Ids of nobody are not found, and cannot be continued."""
    unknown = "resp_00000000000000000000000000000000000000000000000000"
    for method in ("GET", "DELETE"):
        expect_error(subject.client.send(method, f"{PATH}/{unknown}"), 404)
    error = expect_error(
        subject.client.send("POST", PATH, subject.response("x", previous_response_id=unknown)), 400, 404
    )
    expect("previous_response" in f"{error['code']} {error['param']}", "the error does not name the member")


def a_response_in_the_background(subject: Subject) -> None:
    """It is told at once, and comes to its end while nobody waits."""
    made = _in_background(subject, HELLO)
    check_response(_wait_for_end(subject, made["id"]))


def a_background_stream_is_replayed(subject: Subject) -> None:
    """Its events can be had again, from any number on."""
    made = ok(subject.client.send("POST", PATH, subject.response(HELLO, background=True, stream=True)))
    events = events_of(made)
    name = events[-1]["response"]["id"]
    for after in (None, 1):
        path = f"{PATH}/{name}?stream=true" + ("" if after is None else f"&starting_after={after}")
        again = events_of(ok(subject.client.send("GET", path)), first=0 if after is None else after + 1)
        numbers = [event["sequence_number"] for event in again]
        expected = [
            event["sequence_number"] for event in events if after is None or event["sequence_number"] > after
        ]
        expect(numbers == expected, f"starting_after={after} gives other events")


def a_response_is_cancelled(subject: Subject) -> None:
    """One that runs in the background stops; one that was not made so is refused."""
    made = _in_background(subject, _SLOW)
    reply = subject.client.send("POST", f"{PATH}/{made['id']}/cancel")
    if reply.status == 400:
        raise Skipped(f"the response had ended already: {reply.error['message']}")
    expect(ok(reply).json["status"] == "cancelled", "the status is not 'cancelled'")
    expect(_wait_for_end(subject, made["id"])["status"] == "cancelled", "it goes on all the same")
    whole = subject.client.post(PATH, subject.response(HELLO, store=True))
    expect_error(subject.client.send("POST", f"{PATH}/{whole['id']}/cancel"), 400)


def a_conversation(subject: Subject) -> None:
    """Items are added, listed and used; a turn is appended; what is deleted is gone."""
    item = {"type": "message", "role": "user", "content": "My name is Ann."}
    made = subject.client.post("/conversations", {"items": [item], "metadata": {"a": "b"}})
    shaped(
        made,
        {"id": str, "object": "conversation", "metadata": {"a": "b"}, "created_at": (int, float)},
        "made",
    )
    path = f"/conversations/{made['id']}"
    turn = subject.client.post(PATH, subject.response(HELLO, conversation=made["id"]))
    check_response(turn)
    listed = subject.client.get(f"{path}/items?order=asc")
    shaped(listed, {"object": "list", "data": list, "has_more": False}, "list")
    roles = [one.get("role") for one in listed["data"] if one["type"] == "message"]
    expect(roles == ["user", "user", "assistant"], f"the conversation has messages of {roles}")
    expect(text_of({"output": listed["data"][-1:]}) == text_of(turn), "the answer is not in the conversation")
    one = subject.client.get(f"{path}/items/{listed['data'][0]['id']}")
    expect(one["id"] == listed["data"][0]["id"], "another item is shown")
    ok(subject.client.send("DELETE", path))
    expect_error(subject.client.send("GET", path), 404)


def two_pasts_at_once(subject: Subject) -> None:
    """A conversation and a previous response exclude each other."""
    first = subject.client.post(PATH, subject.response(HELLO, store=True))
    made = subject.client.post("/conversations", {})
    body = subject.response("x", previous_response_id=first["id"], conversation=made["id"])
    expect_error(subject.client.send("POST", PATH, body), 400)


def _in_background(subject: Subject, text: str) -> Any:
    made = subject.client.post(PATH, subject.response(text, background=True))
    shaped(made, {"id": str, "object": "response", "background": True, "status": str}, "response")
    expect(made["status"] in ("queued", "in_progress"), f"the status is {made['status']!r} at first")
    return made


def _wait_for_end(subject: Subject, name: str) -> Any:
    limit = time.monotonic() + _LONGEST
    while (response := subject.client.get(f"{PATH}/{name}"))["status"] not in _ENDS:
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
