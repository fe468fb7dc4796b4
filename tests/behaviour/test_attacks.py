"""Attacks on the surfaces (SECURITY.md): values, bodies, framing and keys that mean harm.

Each is refused in JSON with the right status, or made harmless; what reaches the provider is looked at.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from tests.behaviour.surfaces import CHAT, EVERY, RESPONSES, SURFACES, Surface
from tests.behaviour.world import (
    PATHS,
    PROMPTS,
    ROLE,
    World,
    chat_body,
    chat_chunk,
    good,
    raw_request,
    received,
    running_world,
)
from tests.lifecycle.house import cpu_seconds
from tests.traffic.replay import Reply

MAX_BODY = 2_000_000
CONFIG = """
[keys.ann]
key = "ann-secret-key-0001"
tenant = "north"

[keys.ben]
key = "ben-secret-key-0002"
tenant = "south"

[keys.cat]
key = "cat-secret-key-0003"
tenant = "north"
models = ["groq/*", "openai/gpt-4o*"]

[models."quick"]
targets = [{ target = "openai/o3" }]

[models."mixed"]
target = "groq/x"
fallbacks = ["openai/o3", "openai/gpt-4o-mini"]
"""
ANN, BEN, CAT = "ann-secret-key-0001", "ben-secret-key-0002", "cat-secret-key-0003"


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "SLUICE_MAX_BODY_BYTES": str(MAX_BODY),
        "SLUICE_BODY_DEADLINE": "2",
        "SLUICE_TIMEOUT_FIRST_BYTE": "5",
        "AZURE_OPENAI_API_KEY": "azure-key",
        "AZURE_OPENAI_ENDPOINT": "{upstream}/azure",
        "GEMINI_API_KEY": "gemini-key",
        "GEMINI_BASE_URL": "{upstream}/gemini/v1beta",
    }
    with running_world(env, config=CONFIG, key=ANN) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


EACH = pytest.mark.parametrize("surface", EVERY, ids=lambda surface: surface.name)
OURS = (CHAT, RESPONSES)


def any_good(world: World) -> None:
    world.upstream.script = lambda request: good("chat", "groq/x", stream=False)


# --- A1, A2, A3: values that would leave their place ---------------------------------------------

CONTROLS = ["a\r\nx-evil: 1", "a\nb", "a\0b", "a\x7fb", "\x1b[31m", "a\u2028b", "naïve-模型", "a b\tc"]
TRAVERSALS = [
    "..",
    ".",
    "../x",
    "a/../b",
    "a/..",
    "..%2f..",
    "%2e%2e",
    "%252e%252e",
    "..\\x",
    "a\\b",
    "x?y=1",
    "x#y",
    "@evil.example",
    "//evil.example/x",
    "x:cancel",
    "x:streamGenerateContent",
    "．．／x",
    "a" * 20_000,
]


@pytest.mark.parametrize("value", CONTROLS, ids=repr)
@EACH
def test_a_model_with_controls_is_refused_or_travels_only_in_the_body(
    surface: Surface, value: str, world: World
) -> None:
    any_good(world)

    answer = surface.ask(world, f"groq/{value}")

    if answer.status in (400, 404):
        assert (bool(surface.word(answer.json)), world.upstream.requests) == (True, [])
        assert surface not in OURS or answer.error["param"] == "model"
        return
    (request,) = world.upstream.requests
    assert (answer.status, request.path, request.json()["model"]) == (200, "/groq/chat/completions", value)
    assert "x-evil" not in request.headers


@pytest.mark.parametrize("value", TRAVERSALS, ids=lambda value: repr(value[:30]))
@pytest.mark.parametrize("provider", ["groq", "openai", "azure", "gemini", "anthropic"])
@EACH
def test_a_model_never_leaves_its_segment_of_the_path(
    surface: Surface, provider: str, value: str, world: World
) -> None:
    any_good(world)

    answer = surface.ask(world, f"{provider}/{value}")

    assert answer.status in (200, 400, 404, 414, 502), answer.body
    assert answer.status in (200, 414) or surface.word(answer.json)
    for request in world.upstream.requests:
        assert UPSTREAM_PATHS[provider].fullmatch(request.path), request.path


@pytest.mark.parametrize(
    "deployment",
    [
        "..",
        ".",
        "%2e%2e",
        "%2E%2E",
        "..%2f..",
        "%252e%252e",
        "a%2f..%2fb",
        "a%5cb",
        "a%3fb",
        "a%23b",
        "a%00b",
        "a%0d%0ab",
        "%40evil",
        "%2f%2fevil",
        "a" * 20_000,
        "%EF%BC%8E%EF%BC%8E",
        "%C0%AE",
        "x%3Acancel",
    ],
    ids=lambda value: value[:20],
)
@pytest.mark.parametrize(
    "root", ["/openai/deployments", "/openai/openai/deployments", "/openai/v1/deployments"]
)
def test_a_deployment_never_leaves_its_segment_of_the_path(root: str, deployment: str, world: World) -> None:
    any_good(world)

    body = {"messages": [{"role": "user", "content": "hi"}]}
    answer = world.send("POST", f"{root}/{deployment}/chat/completions?api-version=2024-10-21", body)

    assert answer.status in (200, 400, 404, 414, 431), answer.body
    assert answer.status in (414, 431) or "error" in answer.json or "choices" in answer.json
    for request in world.upstream.requests:
        assert UPSTREAM_PATHS["azure"].fullmatch(request.path), request.path


_SEGMENT = r"(?!\.\.?/|%2[eE]%2[eE]/)[A-Za-z0-9._~%@:+-]+"
UPSTREAM_PATHS = {
    "groq": re.compile(r"/groq/chat/completions"),
    "openai": re.compile(r"/openai/(chat/completions|responses)"),
    "anthropic": re.compile(r"/anthropic/v1/messages"),
    "azure": re.compile(
        rf"/azure/openai/(v1/chat/completions|v1/responses|deployments/{_SEGMENT}/chat/completions)"
    ),
    "gemini": re.compile(r"/gemini/v1beta/models/(?!\.\.?:)[A-Za-z0-9._~%@+-]+:generateContent"),
}


@pytest.mark.parametrize("value", TRAVERSALS, ids=lambda value: repr(value[:30]))
@pytest.mark.parametrize("kind", ["responses", "conversations"])
def test_a_stored_id_never_leaves_its_place(kind: str, value: str, world: World) -> None:
    for method, tail in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/input_items" if kind == "responses" else "/items"),
    ]:
        spelled = value.replace("?", "%3F").replace("#", "%23").replace("\\", "%5C").replace(" ", "%20")
        spelled = "".join(c if c.isascii() else "%EF" for c in spelled)

        answer = world.send(method, f"/v1/{kind}/{spelled}{tail}")

        assert answer.status in (400, 404, 405, 414, 431)
        assert answer.status in (414, 431) or answer.error
    assert world.upstream.requests == []


MARK = "evil-7f3a"


@pytest.mark.parametrize(
    "members",
    [
        {"base_url": f"http://{MARK}.example"},
        {"api_base": f"http://{MARK}.example"},
        {"api_key": MARK},
        {"extra_headers": {"x-evil": MARK}},
        {"extra_body": {"x": MARK}},
        {"extra_query": {"x": MARK}},
        {"proxy": f"http://{MARK}.example"},
        {"timeout": 1e9},
        {"organization": MARK},
        {"api_key": "os.environ/GROQ_API_KEY"},
        {"headers": {"authorization": MARK}},
        {"api_version": MARK},
        {"custom_llm_provider": MARK},
    ],
    ids=lambda members: next(iter(members)),
)
@pytest.mark.parametrize("model", ["groq/x", "openai/x"])
@EACH
def test_members_that_would_redirect_a_call_do_nothing(
    surface: Surface, model: str, members: dict[str, Any], world: World
) -> None:
    world.upstream.script = lambda request: good(surface.name, model, stream=False)

    query = "?base_url=http://evil.example&api_key=" + MARK
    named = {} if "{model}" in surface.path else {"model": model}
    answer = world.send("POST", surface.place(model) + query, {**named, **surface.prompt, **members})

    assert answer.status == 200, answer.body
    assert MARK not in json.dumps(answer.headers)
    assert MARK.encode() not in answer.body
    for request in world.upstream.requests:
        assert request.query == ""
        assert MARK not in json.dumps(request.headers)
        assert request.headers["authorization"] == f"Bearer {model.partition('/')[0]}-key"
        assert not set(members) & set(request.json())


@pytest.mark.parametrize(
    "header",
    [
        ("authorization-x", "Bearer x"),
        ("x-forwarded-host", MARK),
        ("openai-organization", MARK),
        ("openai-project", MARK),
        ("x-stainless-os", MARK),
        ("idempotency-key", MARK),
        ("cookie", MARK),
        ("x-api-key", MARK),
        ("x-goog-api-key", MARK),
        ("api-key", MARK),
        ("proxy-authorization", MARK),
        ("host", f"{MARK}.example"),
        ("x-amz-target", MARK),
        ("user-agent", MARK),
    ],
    ids=lambda header: header[0],
)
@EACH
def test_a_clients_headers_do_not_reach_the_provider(
    surface: Surface, header: tuple[str, str], world: World
) -> None:
    any_good(world)

    name, value = header  # of its own for each surface: an idempotency key that was seen is not sent again
    answer = surface.ask(
        world, "groq/x", headers={name: value.replace(MARK, f"{MARK}-{EVERY.index(surface)}")}
    )

    if answer.status == 401:  # it is the credential that this surface asks for first
        assert (surface in SURFACES, header[0].endswith("key"), world.upstream.requests) == (True, True, [])
        return
    assert answer.status == 200
    (request,) = world.upstream.requests
    assert MARK not in json.dumps(request.headers)


# --- A6: sizes -----------------------------------------------------------------------------------


def filled(operation: str, **members: Any) -> bytes:
    return json.dumps({"model": "groq/x", **PROMPTS[operation], **members}).encode()


HUGE = {
    "a big body": lambda: filled("chat", user="x" * (MAX_BODY + 1)),
    "deep arrays": lambda: b'{"model": "groq/x", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open brackets": lambda: b"[" * 1_000_000,
    "open braces": lambda: b'{"a":' * 300_000,
    "many keys": lambda: b"{" + b",".join(b'"%d":1' % n for n in range(150_000)) + b"}",
    "a million elements": lambda: b'{"model": "groq/x", "messages": [' + b"0," * 900_000 + b"0]}",
    "a huge integer": lambda: b'{"model": "groq/x", "seed": ' + b"9" * 1_000_000 + b"}",
    "a huge fraction": lambda: b'{"model": "groq/x", "temperature": 0.' + b"9" * 1_000_000 + b"}",
    "many tools": lambda: filled("chat", tools=[{"type": "function", "function": {"name": "f"}}] * 30_000),
    "many messages": lambda: filled("chat", messages=[{"role": "user", "content": ""}] * 60_000),
    "many wrong messages": lambda: filled("chat", messages=[{"role": "nobody"}] * 60_000),
    "many fallbacks": lambda: filled("chat", fallbacks=["groq/x"] * 100_000),
    "much metadata": lambda: filled("chat", metadata={str(n): "x" for n in range(100_000)}),
}


@pytest.mark.parametrize("name", HUGE)
@EACH
def test_a_huge_body_costs_less_than_a_second(surface: Surface, name: str, world: World) -> None:
    any_good(world)
    body = HUGE[name]()

    began = cpu_seconds(world.gateway.process)
    answer = world.send("POST", surface.place(), body)
    seconds = cpu_seconds(world.gateway.process) - began

    unknown = surface in SURFACES and name == "much metadata"  # of no meaning there, and left out
    assert answer.status in (400, 413) or unknown
    assert answer.status == 200 or surface.word(answer.json)
    assert seconds < (1.0 if surface is CHAT else 2.0)
    assert answer.status == (413 if len(body) > MAX_BODY else answer.status)


def test_a_body_past_the_cap_is_refused_before_it_is_sent(world: World) -> None:
    connection = world.connect()
    head = raw_request("POST", PATHS["chat"], b"x" * 10, ANN).partition(b"Content-Length")[0]
    connection.sendall(head + b"Content-Length: 99999999999\r\n\r\n")

    assert received(connection, b"}}", 1).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_past_the_cap_is_refused(world: World) -> None:
    connection = world.connect()
    head = raw_request("POST", PATHS["chat"], b"", ANN).partition(b"Content-Length")[0]
    connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_BODY // 100_000 + 1):
        connection.sendall(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")

    assert received(connection, b"}}", 3).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_read(world: World) -> None:
    any_good(world)
    connection = world.connect()
    head = raw_request("POST", PATHS["chat"], b"", ANN).partition(b"Content-Length")[0]
    body = filled("chat")
    half = len(body) // 2
    for piece in (head + b"Transfer-Encoding: chunked\r\n\r\n", body[:half], body[half:]):
        connection.sendall(piece if piece.startswith(b"POST") else b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.sendall(b"0\r\n\r\n")

    assert received(connection, b"}}").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, identity", "gzip, gzip"])
def test_a_body_of_another_coding_is_415(coding: str, world: World) -> None:
    answer = world.send("POST", "/v1/chat/completions", b"\x1f\x8b", {"content-encoding": coding})

    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


ASKS = ["Expect: 100-continue"]
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("key", [None, "sk-of-nobody"])
def test_a_strangers_body_is_not_asked_for(key: str | None, world: World) -> None:
    connection = world.connect()
    connection.sendall(raw_request("POST", PATHS["chat"], b"{}", key, ASKS)[:-2])

    answer = received(connection, b"never", 5)  # it is closed, so that no body is taken for a request
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"100 Continue" not in answer


def test_a_callers_body_is_asked_for_and_the_connection_goes_on(world: World) -> None:
    any_good(world)
    connection, body = world.connect(), filled("chat")
    for _ in range(2):
        connection.sendall(raw_request("POST", PATHS["chat"], body, ANN, ASKS)[: -len(body)])
        assert received(connection, GO_ON, 5) == GO_ON
        connection.sendall(body)
        assert received(connection, b"}}").startswith(b"HTTP/1.1 200 ")


def test_no_answer_lets_a_browser_guess_its_type(world: World) -> None:
    any_good(world)
    asked = [
        world.ask("chat"),
        world.ask("chat", stream=True),
        world.ask("chat", model="nobody/x"),
        *(
            world.send("GET", path)
            for path in ("/v1/models", "/v1/none", "/admin/keys", "/admin/none", "/health")
        ),
        world.send("POST", "/v1/chat/completions", b"{"),
    ]
    assert {answer.headers.get("x-content-type-options") for answer in asked} == {"nosniff"}
    connection = world.connect()
    connection.sendall(b"no request\r\n\r\n")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in received(connection, b"never", 5)


@pytest.mark.parametrize("count", [1, 200])
def test_a_huge_head_is_refused(count: int, world: World) -> None:
    connection = world.connect()
    lines = [f"x-h{n}: {'h' * (1_000_000 // count)}" for n in range(count)]
    try:
        connection.sendall(raw_request("POST", PATHS["chat"], filled("chat"), ANN, lines))
        answer = received(connection, b"\r\n\r\n")
    except ConnectionError:
        answer = b""
    assert answer == b"" or re.match(rb"HTTP/1.1 (400|431) ", answer)
    assert world.upstream.requests == []


# --- A8: framing ------------------------------------------------------------------------------------

SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + ANN.encode() + b"\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding:\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5_0\r\n",
        b"Content-Length: \xb2\r\n",
        b"X-Fold: a\r\n b\r\nContent-Length: 0\r\n",
        b"X-Bad\x00: a\r\nContent-Length: 0\r\n",
        b"X Space: a\r\nContent-Length: 0\r\n",
        b"X-Bare: a\nContent-Length: 5\r\n",
        b"Content-Length: 5\n",
        b"X-Bare: a\nTransfer-Encoding: chunked\r\n",
        b"\nX-Bare: a\r\n",
    ],
    ids=repr,
)
def test_an_ambiguous_frame_gets_one_answer_at_most(lines: bytes, world: World) -> None:
    connection = world.connect()
    data = b""
    with suppress(TimeoutError, ConnectionError):
        connection.sendall(HEAD + lines + b"\r\n" + b"0\r\n\r\n" + SMUGGLED)
        connection.settimeout(1)
        while piece := connection.recv(65536):
            data += piece
    assert b"smuggled" not in data
    assert data.count(b"HTTP/1.1 ") <= 1
    assert not data or re.match(rb"HTTP/1.1 (4\d\d|501) ", data)
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"5\r\n{}\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"2\r\n{}XX0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}",
    ],
    ids=repr,
)
def test_a_broken_chunk_is_a_bad_request(body: bytes, world: World) -> None:
    connection = world.connect()
    connection.sendall(HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + body)

    data = received(connection, b"}}", 4)

    assert re.match(rb"HTTP/1.1 4\d\d ", data), data
    assert b"Traceback" not in data
    assert b"<html" not in data.lower()


def test_spoofed_proxy_headers_change_nothing(world: World) -> None:
    any_good(world)
    spoofed = {
        "x-forwarded-for": "1.2.3.4",
        "x-real-ip": "1.2.3.4",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/evil",
        "x-forwarded-host": "evil.example",
        "x-script-name": "/evil",
        "script-name": "/evil",
        "host": "evil.example",
        "forwarded": "for=1.2.3.4;host=evil.example",
    }
    answer = world.ask(headers=spoofed)

    assert answer.status == 200
    assert "evil" not in json.dumps(answer.headers)


# --- A11, A12, A13: keys and tenants --------------------------------------------------------------------


def test_another_tenants_objects_are_missing_ones(world: World) -> None:
    world.upstream.script = lambda request: good("chat", "groq/x", stream=False)
    mine = world.ask("responses").json["id"]
    conversation = world.send(
        "POST", "/v1/conversations", {"items": [{"role": "user", "content": "hi"}]}
    ).json["id"]
    item = world.send("GET", f"/v1/conversations/{conversation}/items").json["data"][0]["id"]
    missing = {"resp": f"resp_{'0' * 48}", "conv": f"conv_{'0' * 48}", "msg": f"msg_{'0' * 48}"}
    theirs = {"resp": mine, "conv": conversation, "msg": item}

    def tried(ids: dict[str, str]) -> list[tuple[int, str]]:
        resp, conv, msg = ids["resp"], ids["conv"], ids["msg"]
        calls: list[tuple[str, str, Any]] = [
            ("GET", f"/v1/responses/{resp}", None),
            ("GET", f"/openai/v1/responses/{resp}", None),
            ("GET", f"/api/llm/responses/{resp}", None),
            ("GET", f"/v1/responses/{resp}?stream=true", None),
            ("GET", f"/v1/responses/{resp}/input_items", None),
            ("POST", f"/v1/responses/{resp}/cancel", None),
            ("DELETE", f"/v1/responses/{resp}", None),
            ("GET", f"/v1/conversations/{conv}", None),
            ("POST", f"/v1/conversations/{conv}", {"metadata": {}}),
            ("DELETE", f"/v1/conversations/{conv}", None),
            ("GET", f"/v1/conversations/{conv}/items", None),
            ("POST", f"/v1/conversations/{conv}/items", {"items": [{"role": "user", "content": "x"}]}),
            ("GET", f"/v1/conversations/{conv}/items/{msg}", None),
            ("DELETE", f"/v1/conversations/{conv}/items/{msg}", None),
            ("POST", "/v1/responses", {"model": "groq/x", "input": "x", "previous_response_id": resp}),
            ("POST", "/v1/responses", {"model": "groq/x", "input": "x", "conversation": conv}),
            ("POST", "/v1/responses", {"model": "groq/x", "input": [{"type": "item_reference", "id": msg}]}),
            ("POST", "/v1/responses/input_tokens", {"previous_response_id": resp}),
            ("POST", "/v1/responses/compact", {"model": "groq/x", "previous_response_id": resp}),
        ]
        answers = [world.send(m, p, b, {"authorization": f"Bearer {BEN}"}) for m, p, b in calls]
        shown = [(a.status, a.error["message"]) for a in answers]
        return [
            (status, words.replace(resp, "R").replace(conv, "C").replace(msg, "M")) for status, words in shown
        ]

    count = len(world.upstream.requests)
    foreign, absent = tried(theirs), tried(missing)

    assert foreign == absent
    assert all(status in (400, 404) for status, _ in foreign)
    assert len(world.upstream.requests) == count
    assert world.send("GET", f"/v1/responses/{mine}").status == 200
    assert (
        world.send("GET", f"/v1/responses/{mine}", headers={"authorization": f"Bearer {CAT}"}).status == 200
    )


def test_ids_hold_at_least_128_random_bits_and_none_is_predictable(world: World) -> None:
    any_good(world)
    ids = [world.ask("responses").json["id"] for _ in range(5)]

    assert all(re.fullmatch(r"resp_[0-9a-f]{48}", one) for one in ids)
    assert len({one[19:27] for one in ids}) == 5  # behind the 14 digits of the time, 136 random bits follow


@pytest.mark.parametrize(
    ("model", "fallbacks", "status", "asked"),
    [
        ("groq/x", [], 200, ["x"]),
        ("openai/gpt-4o-mini", [], 200, ["gpt-4o-mini"]),
        ("openai/o3", [], 403, []),
        ("quick", [], 403, []),
        ("openai/o3", ["groq/x"], 403, []),
        ("groq/down", ["openai/o3"], 502, ["down"]),
        ("groq/down", ["openai/o3", "groq/x"], 200, ["down", "x"]),
        ("groq/down", ["quick", "openai/gpt-4o"], 200, ["down", "gpt-4o"]),
        ("mixed", [], 200, ["x"]),
        ("OPENAI/o3", [], 400, []),
        ("openai//o3", [], 403, []),
        ("openai/GPT-4o", [], 403, []),
        ("sandbox/echo", [], 403, []),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@EACH
def test_each_candidate_must_be_allowed(
    surface: Surface,
    stream: bool,
    model: str,
    fallbacks: list[str],
    status: int,
    asked: list[str],
    world: World,
) -> None:
    def answer(request: Any) -> Reply:
        if request.json()["model"] == "down":
            return Reply.json({"error": {"message": "bad key"}}, 401)
        native = request.path.endswith("/responses")
        return good("responses" if native else "chat", "openai/x" if native else "groq/x", stream)

    world.upstream.script = answer
    made = surface.ask(
        world, model, stream=stream, headers={"authorization": f"Bearer {CAT}"}, fallbacks=fallbacks
    )

    # elsewhere a name of no provider is one of the surface's own provider, or 404
    unknown = (403, 404) if surface in SURFACES else (400,)
    assert made.status in (unknown if status == 400 else (status,)), made.body
    assert [request.json()["model"] for request in world.upstream.requests] == asked
    if made.status == 403 and surface in OURS:
        assert (made.error["code"], made.error["param"]) == ("permission_denied", "model")
    elif made.status == 403:
        assert surface.word(made.json) in FORBIDDEN


FORBIDDEN = ("permission_error", "PERMISSION_DENIED", ["id", "message"], ["message"])


def test_a_key_sees_only_its_models(world: World) -> None:
    models = {
        "object": "list",
        "data": [{"id": n, "object": "model", "created": 1, "owned_by": "x"} for n in ("gpt-4o", "o3")],
    }
    world.upstream.script = lambda request: Reply.json(models)

    listed = world.send("GET", "/v1/models?provider=openai", headers={"authorization": f"Bearer {CAT}"}).json
    hidden = world.send("GET", "/v1/models/openai/o3", headers={"authorization": f"Bearer {CAT}"})

    assert [row["id"] for row in listed["data"]] == ["openai/gpt-4o"]
    assert hidden.status == 404


WRONG_KEYS = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    f"Bearer {ANN}x",
    f"Bearer {ANN[:-1]}",
    f"Bearer {ANN.upper()}",
    f"Basic {ANN}",
    ANN,
    f"Bearer {ANN}, Bearer {ANN}",
    f"Bearer {ANN} {ANN}",
    "Bearer ' OR 1=1 --",
    "Bearer \xe9\xff",
    "Bearer " + "x" * 7000,
    "Bearer groq-key",
]


@pytest.mark.parametrize("given", WRONG_KEYS, ids=lambda given: repr(given)[:30])
@EACH
def test_a_wrong_key_is_401_in_the_surfaces_words(surface: Surface, given: str | None, world: World) -> None:
    lines = ["Connection: close", *([] if given is None else [f"Authorization: {given}"])]
    connection = world.connect()
    connection.sendall(raw_request("POST", surface.place(), filled("chat"), None, lines))

    answer = received(connection, b"never", 3)

    assert answer.startswith(b"HTTP/1.1 401 "), answer
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert surface.word(body) in NO_KEY
    assert surface in SURFACES or body["error"]["code"] in (None, "invalid_api_key")
    assert given is None or len(given) < 12 or given[7:].encode("latin-1") not in answer


NO_KEY = ("invalid_request_error", "authentication_error", "UNAUTHENTICATED", ["id", "message"], ["message"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"bearer {ANN}"}, 200),
        ({"authorization": f"BEARER   {ANN} "}, 200),
        ({"x-bf-vk": ANN}, 200),
        ({"x-api-key": ANN}, 200),
        ({"api-key": ANN}, 200),
        ({"x-goog-api-key": ANN}, 200),
        ({"authorization": "Bearer wrong", "x-api-key": ANN}, 401),
        ({"authorization": f"Bearer {ANN}", "x-api-key": "wrong"}, 200),
        ({"authorization": "Bearer", "x-api-key": ANN}, 401),
        ({"authorization": "Basic x", "x-api-key": ANN}, 200),  # some proxy's own; no Bearer is present
        ({"authorization": "Basic x"}, 401),
        ({"x-bf-vk": "wrong", "x-api-key": ANN}, 401),
        ({"cookie": f"key={ANN}"}, 401),
    ],
    ids=str,
)
def test_the_first_credential_of_the_surface_decides(
    headers: dict[str, str], status: int, world: World
) -> None:
    any_good(world)
    keyless = World(world.gateway, world.upstream)

    assert keyless.ask(headers=headers).status == status


@pytest.mark.parametrize("query", ["key", "api_key", "api-key", "access_token"])
@EACH
def test_a_key_in_the_query_does_not_count(surface: Surface, query: str, world: World) -> None:
    any_good(world)
    keyless = World(world.gateway, world.upstream)

    answer = keyless.send("POST", f"{surface.place()}?{query}={ANN}", {"model": "groq/x", **surface.prompt})

    old_google = query == "key" and surface.name.startswith("gemini")  # Google's SDKs of old write it there
    assert answer.status == (200 if old_google else 401)
    assert ANN not in world.gateway.log


def test_a_nearly_right_key_takes_as_long_as_a_wrong_one(world: World) -> None:
    keyless = World(world.gateway, world.upstream)
    near, far = ANN[:-1] + "x", "z" * len(ANN)
    times: dict[str, list[float]] = {near: [], far: []}
    for _ in range(150):
        for key in (near, far):
            began = time.perf_counter()
            keyless.send("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
            times[key].append(time.perf_counter() - began)
    quick = [sorted(times[key])[15] for key in (near, far)]  # a busy machine makes most slow, by chance

    assert 0.7 < quick[0] / quick[1] < 1.4


# --- A21, A22, A23, A27, A29, A30 --------------------------------------------------------------------

NASTY = [
    "\n\nevent: response.completed\ndata: {}\n\n",
    "\r\rdata: [DONE]\r\r",
    "a\u2028b\u2029c\u0085d",
    "\ufeffdata: x",
    "nul\0 and \x1b[31m and \x7f",
    "[DONE]",
    "data: [DONE]\n\n",
    "😀 \ud83d\ude00 ünïcode",
    "x" * 300_000,
]


@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:24]))
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("model", ["groq/x", "openai/x"])
@EACH
def test_text_never_becomes_framing(
    surface: Surface, model: str, stream: bool, text: str, world: World
) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    world.upstream.add(good(surface.name, model, stream, text))

    answer = surface.ask(world, model, stream=stream)

    assert surface.text_of(answer) == text
    if stream and surface in OURS:
        assert answer.broken(surface.name) == []
    if answer.headers["content-type"].startswith("text/event-stream"):
        lines = re.split(r"\r\n|\n|\r|\u2028|\u2029|\x85", answer.body.decode())
        assert all(re.match(r"(event: [a-z_.-]+|data: (\{|\[DONE\]$)|: |$)", line) for line in lines)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "groq/x", "messages": [], "temperature": NaN}',
        b'{"model": "groq/x", "messages": [], "temperature": Infinity}',
        b'{"model": "groq/x", "messages": [], "temperature": 1e999}',
        b'{"model": "groq/x", "messages": [], "seed": 9223372036854775808}',
        b'{"model": "groq/x", "messages": [], "user": "\\ud800"}',
        b'{"model": "groq/x", "model": "openai/x", "messages": []}',
        b'{"model": "groq/x", "mod\\u0065l": "openai/x", "messages": []}',
        b'{"model": "groq/x", "messages": [], "stream": false, "stream": true}',
        b'{"model": "groq/x", "messages": [], "messages": []}',
        '{"model": "groq/x", "messages": []}'.encode("utf-16"),
        '{"model": "groq/x", "messages": []}'.encode("utf-16-le"),
        '{"model": "groq/x", "messages": []}'.encode("utf-32"),
        b'\xef\xbb\xbf{"model": "groq/x", "messages": []}',
        b'{"model": "groq/\xff", "messages": []}',
        b"[]",
        b"null",
        b'"x"',
        b"5",
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{'model': 'groq/x'}",
        b'{"model": "groq/x", "messages": [],}',
        b'{"model": "groq/x" /* no */, "messages": []}',
    ],
    ids=lambda body: repr(body[:60]),
)
def test_a_body_that_is_not_strict_json_is_400(body: bytes, world: World) -> None:
    answer = world.send("POST", "/v1/chat/completions", body)

    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert world.upstream.requests == []


def test_a_member_with_a_confusable_name_is_no_governing_one(world: World) -> None:
    any_good(world)
    answer = world.ask(**{"Model": "openai/o3", "ｍodel": "openai/o3", "STREAM": True, "ѕtream": True})

    assert answer.status == 200
    (request,) = world.upstream.requests
    assert (request.path, request.json()["model"]) == ("/groq/chat/completions", "x")
    assert request.json().get("stream") in (None, False)


@pytest.mark.parametrize(
    ("operation", "member", "value", "code"),
    [
        ("chat", "n", 10**6, "integer_above_max_value"),
        ("chat", "n", 0, "integer_below_min_value"),
        ("chat", "max_tokens", 0, "integer_below_min_value"),
        ("chat", "max_tokens", -5, "integer_below_min_value"),
        ("chat", "max_completion_tokens", 0, "integer_below_min_value"),
        ("chat", "max_tokens", 10**12, "integer_above_max_value"),
        ("chat", "max_completion_tokens", 10**12, "integer_above_max_value"),
        ("chat", "max_tokens", "5", "invalid_type"),
        ("chat", "max_tokens", 5.5, "invalid_type"),
        ("chat", "max_tokens", True, "invalid_type"),
        ("chat", "top_logprobs", 10**6, "integer_above_max_value"),
        ("chat", "temperature", 3, "decimal_above_max_value"),
        ("chat", "temperature", -1, "decimal_below_min_value"),
        ("chat", "top_p", 2, "decimal_above_max_value"),
        ("chat", "stream", 1, "invalid_type"),
        ("chat", "stream", "true", "invalid_type"),
        ("chat", "stop", ["x"] * 1000, "array_above_max_length"),
        ("chat", "messages", "hi", "invalid_type"),
        ("chat", "messages", [5], "invalid_type"),
        ("chat", "fallbacks", ["groq/x"] * 1000, "array_above_max_length"),
        ("chat", "fallbacks", "groq/x", "invalid_type"),
        ("chat", "fallbacks", [5], "invalid_type"),
        ("chat", "tools", 5, "invalid_type"),
        ("responses", "max_output_tokens", 15, "integer_below_min_value"),
        ("responses", "max_output_tokens", 10**12, "integer_above_max_value"),
        ("responses", "max_tool_calls", 0, "integer_below_min_value"),
        ("responses", "top_logprobs", 21, "integer_above_max_value"),
        ("responses", "input", 5, "invalid_type"),
        ("responses", "input", [5], "invalid_type"),
        ("responses", "metadata", {str(n): "x" for n in range(17)}, "object_above_max_properties"),
        ("responses", "metadata", {"k" * 65: "x"}, "string_above_max_length"),
        ("responses", "metadata", {"k": "x" * 513}, "string_above_max_length"),
        ("responses", "safety_identifier", "x" * 65, "string_above_max_length"),
        ("responses", "truncation", "some", "invalid_value"),
        ("responses", "include", 5, "invalid_type"),
        ("responses", "model", "x" * 600, "string_above_max_length"),
    ],
)
def test_each_field_has_its_bounds(operation: str, member: str, value: Any, code: str, world: World) -> None:
    body = {"model": "groq/x", **PROMPTS[operation], member: value}
    answer = world.send("POST", PATHS[operation], body)

    error = answer.error
    assert (answer.status, error["code"]) == (400, code)
    assert error["param"].startswith(member)
    assert error["details"][0]["param"] == error["param"]
    assert world.upstream.requests == []


def test_every_fault_of_a_body_is_listed(world: World) -> None:
    messages = [{"role": "user"}, {"role": "x"}, 7]
    body = {"model": "groq/x", "temperature": "hot", "n": 0, "stream": 5, "messages": messages}
    answer = world.send("POST", "/v1/chat/completions", body)

    assert {detail["param"] for detail in answer.error["details"]} == {
        "temperature",
        "n",
        "stream",
        "messages[1].role",
        "messages[2]",
    }


def test_deltas_are_padded_unless_the_caller_says_no(world: World) -> None:
    for options, padded in (({}, True), ({"stream_options": {"include_obfuscation": False}}, False)):
        world.fresh().upstream.add(good("responses", "groq/x", stream=True, text="abc"))
        answer = world.ask("responses", stream=True, **options)
        deltas = [event for event in answer.events if event["type"] == "response.output_text.delta"]
        assert [("obfuscation" in delta) for delta in deltas] == [padded] * len(deltas)
        if padded:
            assert all(len(delta["delta"] + delta["obfuscation"]) % 16 == 0 for delta in deltas)


@pytest.mark.parametrize("status", [200, 429, 500])
@EACH
def test_only_known_headers_of_the_provider_come_through(surface: Surface, status: int, world: World) -> None:
    headers = {
        "set-cookie": "session=evil",
        "x-request-id": "req_evil",
        "location": "http://evil.example",
        "www-authenticate": "Basic",
        "server": "evil",
        "access-control-allow-origin": "*",
        "x-ratelimit-remaining-requests": "77",
        "content-security-policy": "none",
        "strict-transport-security": "max-age=1",
        "retry-after": "so\xe9on",
        "openai-organization": "our-org",
        "cf-ray": "evil",
        "link": "<http://evil.example>",
    }
    world.upstream.add(
        Reply.json(chat_body() if status == 200 else {"error": {"message": "no"}}, status, headers=headers),
        times=9,
    )

    answer = surface.ask(world, "groq/x")

    assert answer.status == status
    shown = json.dumps(answer.headers).lower()
    assert not any(word in shown for word in ("evil", "our-org", "basic", "\\u00e9"))
    assert not set(answer.headers) & {
        "set-cookie",
        "location",
        "www-authenticate",
        "x-ratelimit-remaining-requests",
        "link",
        "access-control-allow-origin",
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("with space", False),
        ("<script>", False),
        ("é", False),
        ("", False),
    ],
)
@EACH
def test_a_request_id_is_kept_only_if_it_is_harmless(
    surface: Surface, given: str, kept: bool, world: World
) -> None:
    any_good(world)

    headers = {"x-request-id": given.encode().decode("latin-1")}
    shown = surface.ask(world, "groq/x", headers=headers).headers["x-request-id"]

    assert (shown == given) is kept
    assert kept or re.fullmatch(r"req_[0-9a-f]{32}", shown)


# --- A17: the log ---------------------------------------------------------------------------------------


def test_every_line_of_the_log_is_one_json_object_of_known_fields(world: World) -> None:
    any_good(world)
    marks = 'x"}\n{"level":"error","event":"forged"}'
    world.ask(model='groq/x","forged":"1')
    world.ask(
        user=marks, metadata={"k": "prompt-canary"}, headers={"x-tfy-metadata": '{"a": "\\n\\u001b[31m"}'}
    )
    world.ask(model="nobody/" + "\x1b[31m")
    world.send(
        "POST",
        "/v1/chat/completions?key=query-canary",
        {"model": "groq/x", "messages": [{"role": "user", "content": "prompt-canary"}]},
    )

    log = world.gateway.log
    lines = [json.loads(line) for line in log.split("\n") if line.startswith("{")]
    assert not any(line.get("event") == "forged" for line in lines)
    assert "\x1b" not in log
    assert "prompt-canary" not in log
    assert "query-canary" not in log
    calls = [line for line in lines if line["event"] == "call"]
    assert len(calls) >= 3
    assert all(set(line) <= LOGGED for line in calls)


LOGGED = {
    *("time", "level", "event", "request_id", "key", "tenant", "operation", "stream", "model", "provider"),
    *(
        "sent_model",
        "response_id",
        "attempts",
        "ms",
        "upstream_ms",
        "first_content_ms",
        "error",
        "status",
        "warnings",
    ),
    *("input_tokens", "output_tokens", "cost", "metadata", "cause", "provider_key", "upstream_status"),
    "warnings",
}


# --- the rest ---------------------------------------------------------------------------------------------


@EACH
def test_strict_turns_a_warning_into_a_refusal(surface: Surface, world: World) -> None:
    any_good(world)
    odd = {"logit_bias": {"5": 1}} if surface is CHAT else {"frobnicate": 5}
    lenient = surface.ask(world, "groq/x", **odd)
    strict = surface.ask(world, "groq/x", **odd, headers={"x-sluice-strict": "true"})

    assert lenient.status == 200
    if surface in OURS:
        warnings = lenient.json["extra_fields"]["warnings"]
        assert (strict.error["code"], strict.error["param"]) == ("unsupported_parameter", *odd)
    else:
        warnings = json.loads(lenient.headers["x-sluice-warnings"])
    assert [warning["param"] for warning in warnings] == list(odd)
    assert (strict.status, next(iter(odd)) in strict.body.decode()) == (400, True)
    assert len(world.upstream.requests) == 1


@EACH
def test_an_endless_answer_is_bounded(surface: Surface, world: World) -> None:
    def endless() -> Iterator[bytes]:
        yield ROLE
        while True:
            yield chat_chunk({"content": "x" * 60_000}) * 16

    world.upstream.add(Reply.sse(b"data: " + b"x" * 20_000_000, chunk=1_000_000))
    assert surface.ask(world, "groq/x", stream=True).status == 502
    world.fresh().upstream.add(Reply(200, endless(), {"content-type": "application/json"}, framing="chunked"))
    assert surface.ask(world, "groq/x").status == 502
    assert world.upstream.requests[0].sent < 100_000_000


def test_the_store_and_the_upstream_get_no_nul(world: World) -> None:
    any_good(world)
    answer = world.ask("responses", input="a\0b", metadata={"k": "\0"})

    assert answer.status in (200, 400)


# --- A19: words that cost time -----------------------------------------------------------------------


def spaced_header(count: int) -> Reply:
    return Reply.json(chat_body(), headers={"x-spaces": "a" + " " * count + "b"})


SLOW_WORDS = {
    "exceed": lambda: Reply.json({"error": {"message": "exceed" * 150_000}}, 400),
    "input token count": lambda: Reply.json(
        {"error": {"message": "input token count" * 50_000, "code": 400}}, 400
    ),
    "key": lambda: Reply.json({"error": {"message": "key-" * 200_000 + "!"}}, 400),
    "bearer": lambda: Reply.json({"error": {"message": "bearer" + " " * 900_000}}, 400),
    "html": lambda: Reply(400, b"<html" * 150_000, {"content-type": "text/html"}),
    "spaces in a header": lambda: spaced_header(200_000),
    "deep json": lambda: Reply(200, b"[" * 900_000, {"content-type": "application/json"}),
    "many numbers": lambda: Reply(200, b"[" + b"1," * 200_000 + b"1]", {"content-type": "application/json"}),
    "a long retry-after": lambda: Reply.json(
        {"error": {"message": "x"}}, 429, headers={"retry-after": "9" * 60_000}
    ),
}


WORDS_AT_SURFACES = [
    # each kind from providers of three wires, and at each surface the two of which most is shown
    *((CHAT, model, name) for model in ("groq/x", "gemini/x", "openai/x") for name in SLOW_WORDS),
    *((surface, "groq/x", name) for surface in EVERY if surface is not CHAT for name in ("exceed", "key")),
]


@pytest.mark.parametrize(
    ("surface", "model", "name"), WORDS_AT_SURFACES, ids=lambda value: getattr(value, "name", value)
)
def test_a_providers_words_never_hold_the_worker(
    surface: Surface, model: str, name: str, world: World
) -> None:
    world.upstream.add(SLOW_WORDS[name]())

    began = time.monotonic()
    answer = surface.ask(world, model)

    assert answer.status in (200, 400, 429, 502)
    assert time.monotonic() - began < 15  # what grows with the square of its words takes minutes


# --- A5: addresses in bodies ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["groq/x", "openai/x", "anthropic/x", "gemini/x", "azure/x"])
@EACH
def test_an_address_in_a_body_is_never_fetched(surface: Surface, model: str, world: World) -> None:
    address = f"{world.upstream.url}/fetched/secret.png"
    any_good(world)
    source = {"type": "url", "url": address}
    parts: dict[str, list[dict[str, Any]]] = {
        "chat": [
            {"type": "image_url", "image_url": {"url": address}},
            {"type": "file", "file": {"file_url": address, "filename": "x.pdf"}},
        ],
        "responses": [
            {"type": "input_image", "image_url": address},
            {"type": "input_file", "file_url": address},
        ],
        "anthropic": [{"type": "image", "source": source}, {"type": "document", "source": source}],
        "cohere": [{"type": "image_url", "image_url": {"url": address}}],
        "gemini": [
            {"fileData": {"mimeType": kind, "fileUri": address}} for kind in ("image/png", "text/plain")
        ],
        "bedrock": [{"image": {"format": "png", "source": {"s3Location": {"uri": address}}}}],
    }
    name = surface.name.partition(" ")[0]
    ((member, _),) = [(member, value) for member, value in surface.prompt.items() if member != "max_tokens"]
    for part in parts[name]:
        holder = "parts" if name == "gemini" else "content"
        surface.ask(world, model, **{member: [{"role": "user", holder: [part]}]})

    assert [request.path for request in world.upstream.requests if "fetched" in request.path] == []
    assert {request.method for request in world.upstream.requests} <= {"POST"}


@pytest.mark.parametrize(
    "value", ["'", '"; DROP TABLE response;--', "%", "_", "a%00b", "%27%20OR%201=1", "resp_%25", "\xa0"]
)
def test_an_odd_id_is_a_missing_one(value: str, world: World) -> None:
    spelled = quote(value, safe="%'_") if value.isascii() else "%C2%A0"
    for path in (
        "/v1/responses/{}",
        "/v1/conversations/{}",
        "/v1/responses/{}/input_items",
        "/v1/conversations/{}/items",
    ):
        answer = world.send("GET", path.format(spelled))
        assert answer.status in (400, 404), answer.body
        assert answer.error
    for member in ("previous_response_id", "conversation"):
        answer = world.ask("responses", **{member: value})
        assert (answer.status, answer.error["param"]) in ((400, member), (404, member))
