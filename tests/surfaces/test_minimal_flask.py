"""A whole answer is what Flask's own response would be; contexts and what hangs on them are Flask's."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response, current_app, g, request
from hypothesis import given
from hypothesis import strategies as st

from app.operations import Route
from app.surfaces.context import app_context, request_context
from app.surfaces.minimal_flask import SessionlessFlask, WholeResponse
from app.surfaces.mounts import KEYLESS

_FIELDS = st.dictionaries(
    st.sampled_from(["content-type", "x-request-id", "cache-control", "retry-after", "x-one"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
)


def wire_form(response: Response, method: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return what a response puts before a server: status line, headers in order of their names, body."""
    heads: list[Any] = []
    environ = {"REQUEST_METHOD": method, "wsgi.url_scheme": "http", "HTTP_HOST": "x"}
    body = b"".join(response(environ, lambda *head: heads.append(head)))
    status, headers = heads[0]
    return status, sorted((name.lower(), value) for name, value in headers), body


@given(
    st.sampled_from([200, 201, 202, 400, 404, 409, 429, 500, 502, 529]),
    _FIELDS,
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.booleans(),
    _FIELDS,
)
def test_a_whole_answer_is_what_flask_would_send(
    status: int, fields: dict[str, str], method: str, is_asked: bool, more: dict[str, str]
) -> None:
    fields = {"content-type": "application/json", "content-length": "2", **fields}
    ours, theirs = WholeResponse(b"{}", status, dict(fields)), Response(b"{}", status, fields)
    if is_asked:
        ours.headers["x-two"] = theirs.headers["x-two"] = "2"
    ours.add_headers(more, {"cache-control": "no-store", "x-three": "3"})
    for name, value in more.items():
        theirs.headers.set(name, value)
    for name, value in {"cache-control": "no-store", "x-three": "3"}.items():
        theirs.headers.setdefault(name, value)
    assert (ours.status_code, ours.get_data(), ours.mimetype) == (status, b"{}", theirs.mimetype)
    assert wire_form(ours, method) == wire_form(theirs, method)


def test_who_waits_for_the_end_of_a_whole_answer_hears_of_it() -> None:
    closed: list[str] = []
    response = WholeResponse(b"{}", 200, {"content-type": "application/json"})
    response.call_on_close(lambda: closed.append("closed"))
    environ = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "HTTP_HOST": "x"}
    pieces: Any = response(environ, lambda *head: None)
    assert (b"".join(pieces), pieces.close(), closed) == (b"{}", None, ["closed"])


@pytest.mark.parametrize("path", ["/plain", "/with/a"])
def test_a_view_has_flasks_contexts_and_leaves_none(path: str) -> None:
    app = SessionlessFlask("test")

    def view(name: str = "") -> str:
        g.name = name
        assert request_context().request is request._get_current_object()  # type: ignore[attr-defined]
        assert (app_context().app, app_context().g.name) == (app, name)
        assert isinstance(current_app, Flask)
        return request.path

    for rule in ("/plain", "/with/<name>"):
        app.add_url_rule(rule, rule, view, credentials=KEYLESS, route=Route("GET", rule, "", "View"))
    assert app.test_client().get(path).text == path
    assert app.test_client().get("/none").status_code == 404
    for context in (request_context, app_context):
        with pytest.raises(LookupError):
            context()
