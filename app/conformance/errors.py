"""Checks of refusals: their status, and the form of their errors."""

from __future__ import annotations

from typing import Final

from app.conformance.client import Skip, expect, expect_error
from app.conformance.subject import UNKNOWN_MODEL, Subject, expect_member, expect_unknown_model

_CHAT: Final = "/chat/completions"


def an_unknown_path(subject: Subject) -> None:
    """404, as JSON."""
    expect_error(subject.client.send("GET", "/no-such-thing"), 404)


def a_wrong_method(subject: Subject) -> None:
    """405 (or 404), as JSON."""
    expect_error(subject.client.send("PUT", _CHAT, {}), 404, 405)


def a_body_that_is_no_json(subject: Subject) -> None:
    """400, also for a body that is cut off."""
    for body in (b"{", b"", b'{"model": '):
        expect_error(subject.client.send("POST", _CHAT, body), 400, 415, 422)


def a_body_that_is_no_object(subject: Subject) -> None:
    """400 for a list."""
    expect_error(subject.client.send("POST", _CHAT, []), 400, 422)


def messages_of_a_wrong_type(subject: Subject) -> None:
    """400 that names the member."""
    reply = subject.client.send("POST", _CHAT, {"model": subject.model, "messages": "hi"})
    expect_member(expect_error(reply, 400, 422), "messages")


def no_messages(subject: Subject) -> None:
    """400 that names the member."""
    reply = subject.client.send("POST", _CHAT, {"model": subject.model})
    expect_member(expect_error(reply, 400, 422), "messages")


def a_number_out_of_range(subject: Subject) -> None:
    """A temperature of 99 is refused before anything is streamed."""
    for stream in (False, True):
        body = subject.chat("Hello", temperature=99, stream=stream)
        expect_error(subject.client.send("POST", _CHAT, body), 400, 422)


def a_model_that_nobody_has(subject: Subject) -> None:
    """404 or 400 with ``model_not_found``, streamed or not."""
    for stream in (False, True):
        body = {**subject.chat("x", stream=stream), "model": UNKNOWN_MODEL}
        expect_unknown_model(expect_error(subject.client.send("POST", _CHAT, body), 400, 404))


def a_wrong_key(subject: Subject) -> None:
    """401 at a server that requires a key."""
    if not subject.client.key:
        raise Skip("no key was given")
    reply = subject.client.send("GET", "/models", key="sk-wrong-0000000000000000")
    if reply.status == 200:
        raise Skip("the server asks for no key here")
    error = expect_error(reply, 401, 403)
    expect(subject.client.key not in error["message"], "the error shows a key")


CHECKS: Final = (
    an_unknown_path,
    a_wrong_method,
    a_body_that_is_no_json,
    a_body_that_is_no_object,
    messages_of_a_wrong_type,
    no_messages,
    a_number_out_of_range,
    a_model_that_nobody_has,
    a_wrong_key,
)
