"""``sluice conformance``: our own gateway passes, and a server that spoils its answers is found out by name."""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import pytest

from app import cli
from app.conformance.checks import GROUPS, name_of
from tests.docs.blocks import blocks
from tests.running import Gateway, running_gateway

KEY = "sk-conformance-0123456789"
MODELS = ("--model", "sandbox/echo", "--embedding-model", "sandbox/embedding")
EVERY = {f"{group}: {name_of(check)}" for group, checks in GROUPS for check in checks}


class Answer(NamedTuple):
    """An answer on its way through a spoiler."""

    status: int
    content_type: str
    body: bytes


Spoil = Callable[[str, str, bytes, Answer], Answer]
"""Changes an answer, given its method, path and request body."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway({"SLUICE_KEYS": f"ann:{KEY}"}) as running:
        yield running


@contextmanager
def spoiling(gateway: Gateway, spoil: Spoil) -> Iterator[str]:
    """Run a server that passes everything to the gateway and spoils what it answers; gives its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            got = connection.getresponse()
            whole = Answer(got.status, got.headers["content-type"], got.read())
            connection.close()
            told = spoil(self.command, self.path, body, whole)
            self.send_response(told.status)
            self.send_header("content-type", told.content_type)
            self.send_header("content-length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = do_DELETE = do_PUT = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def examined(capsys: pytest.CaptureFixture[str], url: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what a script is told."""
    code = cli.main(["conformance", url, "--key", KEY, *MODELS, "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def those(told: dict[str, Any], result: str) -> dict[str, str]:
    """Return the checks that ended so, with their reasons."""
    return {
        f"{one['group']}: {one['check']}": one["reason"] for one in told["checks"] if one["result"] == result
    }


def test_our_own_gateway_passes_every_check(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = examined(capsys, gateway.url)
    assert (those(told, "fail"), those(told, "skip")) == ({}, {})
    assert (code, told["ok"], told["url"]) == (0, True, f"{gateway.url}/v1")
    assert set(those(told, "pass")) == EVERY


def test_the_line_of_the_page_works(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (one for one in blocks() if one.run_by == "tests/terminal/test_conformance.py")
    with running_gateway({}) as own:
        words = shlex.split(block.text.replace("http://127.0.0.1:8080", own.url))
        assert words[0] == "sluice"
        assert cli.main(words[1:]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[2:] == ["0", "1"]


def test_people_are_shown_a_line_each_and_the_sums(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["conformance", f"{gateway.url}/v1", "--key", KEY, *MODELS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.removeprefix("pass  ") for line in lines if line.startswith("pass  ")} == EVERY
    assert lines[-1].split() == ["all", str(len(EVERY)), "0", "0"]


# --- what is spoilt, and which check must say so ----------------------------------------------------


def _members(answer: Answer, **members: Any) -> Answer:
    return answer._replace(body=json.dumps({**json.loads(answer.body), **members}).encode())


def _without(answer: Answer, name: str) -> Answer:
    whole = json.loads(answer.body)
    whole.pop(name)
    return answer._replace(body=json.dumps(whole).encode())


SPOILS: dict[str, tuple[Callable[[str, str, bytes], bool], Callable[[Answer], Answer], str]] = {
    # the check: which requests, what becomes of their answers, and the reason that is told
    "models: an unknown model of the list": (
        lambda method, path, body: path.endswith("/models/no-such-model-at-all"),
        lambda answer: answer._replace(status=200),
        "status is 200, not 404",
    ),
    "chat: a whole answer": (
        lambda method, path, body: (
            path.endswith("/chat/completions") and b"how are you" in body and b"stream" not in body
        ),
        lambda answer: _without(answer, "id"),
        "answer lacks id",
    ),
    "chat: usage at the end of a stream": (
        lambda method, path, body: b"include_usage" in body,
        lambda answer: answer._replace(
            body=re.sub(rb'"total_tokens":\s*\d+', b'"total_tokens":1', answer.body)
        ),
        "the total of usage is less than its parts",
    ),
    "chat: a tool call in a stream": (
        lambda method, path, body: (
            path.endswith("/chat/completions") and b'"stream": true' in body and b"tools" in body
        ),
        lambda answer: answer._replace(body=answer.body.replace(b"data: [DONE]\n\n", b"")),
        "[DONE] is not last",
    ),
    "embeddings: vectors in base64": (
        lambda method, path, body: b"base64" in body,
        lambda answer: answer._replace(body=re.sub(rb'"embedding":\s*"....', b'"embedding":"', answer.body)),
        "bytes for",
    ),
    "responses: a whole response": (
        lambda method, path, body: b"made" in body and path.endswith("/responses"),
        lambda answer: _members(answer, metadata={}),
        "the metadata is not shown as it was sent",
    ),
    "responses: a stream": (
        lambda method, path, body: body.endswith(
            b'"input": "say exactly: Hello there, how are you today?", "stream": true}'
        ),
        lambda answer: answer._replace(
            body=answer.body.replace(b'"sequence_number":2', b'"sequence_number":7', 1)
        ),
        "sequence_number is 7, not 2",
    ),
    "responses: a tool call in a stream": (
        lambda method, path, body: (
            path.endswith("/responses") and b'"stream": true' in body and b"get_weather" in body
        ),
        lambda answer: answer._replace(body=answer.body.replace(b"event: response.created\n", b"")),
        "event line '' is not the type 'response.created'",
    ),
    "responses: a count of input tokens": (
        lambda method, path, body: path.endswith("/input_tokens"),
        lambda answer: _members(answer, input_tokens="many"),
        "count.input_tokens is a str",
    ),
    "responses: refusals": (
        lambda method, path, body: path.endswith("/responses") and b'"temperature": 9' in body,
        lambda answer: answer._replace(status=500),
        "status is 500, not 400 or 422",
    ),
    "lifecycle: its input is listed": (
        lambda method, path, body: path.endswith("/input_items"),
        lambda answer: _without(answer, "has_more"),
        "list lacks has_more",
    ),
    "lifecycle: a response is deleted": (
        lambda method, path, body: method == "DELETE" and "resp_0000" not in path and "/responses/" in path,
        lambda answer: _members(answer, deleted=False),
        "answer.deleted is False, not True",
    ),
    "lifecycle: a background stream is replayed": (
        lambda method, path, body: "starting_after=1" in path,
        lambda answer: answer._replace(
            body=re.sub(rb"event: response.output_item.added\n.*?\n\n", b"", answer.body)
        ),
        "starting_after=1 gives other events",
    ),
    "lifecycle: a conversation": (
        lambda method, path, body: path.endswith("/items?order=asc"),
        lambda answer: _members(answer, data=json.loads(answer.body)["data"][:2]),
        "the conversation has messages of ['user', 'user']",
    ),
    "errors: an unknown path": (
        lambda method, path, body: path.endswith("/no-such-thing"),
        lambda answer: Answer(404, "text/html", b"<h1>Not Found</h1>"),
        "content-type is 'text/html'",
    ),
    "errors: a body that is no json": (
        lambda method, path, body: body == b"{",
        lambda answer: answer._replace(status=500),
        "status is 500",
    ),
    "errors: no messages": (
        lambda method, path, body: body == b'{"model": "sandbox/echo"}',
        lambda answer: _members(answer, error={"message": "no", "type": "x", "param": None}),
        "the error lacks code",
    ),
    "errors: a model that nobody has": (
        lambda method, path, body: path.endswith("/chat/completions") and b"no-such-model" in body,
        lambda answer: answer._replace(body=answer.body.replace(b"model_not_found", b"oops")),
        "the code is 'oops'",
    ),
    "errors: a wrong key": (
        lambda method, path, body: False,
        lambda answer: answer,
        "the error shows a key",
    ),
}


def test_each_fault_of_a_server_is_named(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(method: str, path: str, body: bytes, answer: Answer) -> Answer:
        if answer.status == 401:
            return _members(answer, error={**json.loads(answer.body)["error"], "message": f"not {KEY}"})
        for fits, change, _ in SPOILS.values():
            if fits(method, path, body):
                answer = change(answer)
        return answer

    with spoiling(gateway, spoil) as url:
        code, told = examined(capsys, url)
    failed = those(told, "fail")
    assert set(failed) == set(SPOILS)
    assert {name: reason for name, reason in failed.items() if SPOILS[name][2] not in reason} == {}
    assert (code, told["ok"]) == (1, False)
    assert told["fail"] == len(SPOILS)


def test_what_a_server_has_not_is_skipped(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"message": "Not here.", "type": "invalid_request_error", "param": None, "code": None}
    missing = Answer(404, "application/json", json.dumps({"error": error}).encode())

    def spoil(method: str, path: str, body: bytes, answer: Answer) -> Answer:
        gone = any(word in path for word in ("/responses", "/conversations", "/embeddings"))
        return missing if gone else answer

    with spoiling(gateway, spoil) as url:
        code, told = examined(capsys, url)
    assert those(told, "fail") == {}
    groups = {one["group"] for one in told["checks"] if one["result"] == "skip"}
    assert groups == {"embeddings", "responses", "lifecycle"}
    assert those(told, "skip")["responses: a stream"] == "POST /responses is answered with 404"
    assert code == 0


def test_models_are_taken_from_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with running_gateway({}) as own:
        assert cli.main(["conformance", own.url, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert set(those(value, "skip")) == {"errors: a wrong key"}
    assert those(value, "fail") == {}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8080", "must begin with http:// or https://"),
        ("http://127.0.0.1:1/v1", "GET /models: The server could not be reached."),
    ],
)
def test_who_cannot_be_asked_is_told_so(url: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conformance", url]) == 2
    output = capsys.readouterr()
    assert words in output.err
    assert output.out == ""
