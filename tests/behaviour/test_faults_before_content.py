"""The fault table, part one: what the provider does before any content.

Each row is asked through every surface, as JSON and as a stream, of a provider that is translated or
of one that is passed: the same real status, code and number of tries everywhere. (Not all ways
for every row: the retry budget of one worker is ten a second.)
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.behaviour.surfaces import CHAT, EVERY, RESPONSES, SURFACES, Surface, at_each
from tests.behaviour.world import OPERATIONS, World, good, running_world
from tests.traffic.replay import NEVER, Reply

WAYS = [
    pytest.param("chat", "groq/x", False, id="chat-groq-json"),
    pytest.param("chat", "openai/x", True, id="chat-openai-sse"),
    pytest.param("responses", "openai/x", False, id="responses-openai-json"),
    pytest.param("responses", "groq/x", True, id="responses-groq-sse"),
]


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "SLUICE_TIMEOUT_FIRST_BYTE": "1.0",
        "SLUICE_TIMEOUT_IDLE": "1.0",
        "SLUICE_TIMEOUT_TOTAL": "6",
        "GEMINI_API_KEY": "gemini-key",
        "GEMINI_BASE_URL": "{upstream}/gemini/v1beta",
        "COHERE_API_KEY": "cohere-key",
        "COHERE_BASE_URL": "{upstream}/cohere",
        "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key",
        "BEDROCK_BASE_URL": "{upstream}/bedrock",
    }
    with running_world(env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def failing(status: int, message: str = "it broke", **headers: str) -> Reply:
    """Return an error answer in OpenAI's words."""
    error = {"message": message, "type": "some_error", "param": None, "code": None}
    return Reply.json({"error": error}, status, headers={k.replace("_", "-"): v for k, v in headers.items()})


@dataclass(frozen=True)
class Row:
    """One fault: what the provider answers, and what the client then sees. ``chat``: it is one in the words
    of a chat wire alone; ``long``: to read it takes so much time that callers must not do it side by side."""

    name: str
    reply: Reply
    status: int
    code: str | None
    tries: int = 1
    retry_after: str | None = None
    should_retry: str | None = None
    chat: bool = False
    long: bool = False


HTML = b"<!DOCTYPE html><html><body>blocked by the proxy</body></html>"


def raw_body(body: bytes, content_type: str = "application/json", status: int = 200, **knobs: Any) -> Reply:
    return Reply(status, body, {"content-type": content_type, **knobs.pop("headers", {})}, **knobs)


NOW = "Thu, 01 Jan 2026 00:00:00 GMT"
INVALID = "upstream_invalid_response"

ROWS = [
    Row("500 once more", failing(500), 500, "server_error", 2, should_retry="false"),
    Row("502 once more", failing(502), 502, "server_error", 2, should_retry="false"),
    Row("503 once more", failing(503), 503, "upstream_overloaded", 2, "1", "false"),
    Row("503 with its time", failing(503, retry_after="7"), 503, "upstream_overloaded", 2, "7", "false"),
    Row("504 never", failing(504), 504, "upstream_timeout"),
    Row("520 once more", failing(520), 502, "server_error", 2, should_retry="false"),
    Row("529 is 503", failing(529), 503, "upstream_overloaded", 2, "1", "false"),
    Row("400", failing(400), 400, None),
    Row("404", failing(404), 404, None),
    Row("409", failing(409), 409, None),
    Row("413", failing(413), 413, None),
    Row("422", failing(422), 422, None),
    Row("418 is a plain refusal", failing(418), 400, None),
    Row("401 is our key", failing(401), 502, "upstream_auth", should_retry="false"),
    Row("403 is our key", failing(403), 502, "upstream_auth", should_retry="false"),
    Row("402 is a quota", failing(402), 429, "insufficient_quota"),
    Row("407 never reaches the client", failing(407), 502, "egress_proxy"),
    Row("408", failing(408), 504, "upstream_timeout"),
    Row("429 without a time", failing(429), 429, "rate_limit_exceeded"),
    Row("429 seconds", failing(429, retry_after="17"), 429, "rate_limit_exceeded", 1, "17"),
    Row("429 broken seconds", failing(429, retry_after="16.2"), 429, "rate_limit_exceeded", 1, "17"),
    Row(
        "429 date",
        failing(429, retry_after="Thu, 01 Jan 2026 00:00:30 GMT", date="Thu, 01 Jan 2026 00:00:00 GMT"),
        429,
        "rate_limit_exceeded",
        1,
        "30",
    ),
    *(
        Row(f"429 {words}", failing(429, words), 429, "rate_limit_exceeded", tries, wait)
        for words, tries, wait in [
            ("You have exceeded the token rate limit. Please retry after 6 seconds.", 1, "6"),
            ("Rate limit reached. Please try again in 7.66s. Visit https://x.example", 1, "8"),
            ("Rate limit reached. Please try again in 1m3s.", 1, "63"),
            ("Rate limit reached. Please try again in 1h2m0.5s.", 1, "3721"),
            ("Please try again in 1m later or in 5s.", 1, "60"),
            ("Please retry after 86401 seconds", 1, "86400"),
            ("Please try again in " + "1" * 5000 + "s", 1, None),
            ("Please try again in a while, after 20s of 6 seconds", 1, None),
        ]
    ),
    Row(
        "429 seconds before words",
        failing(429, "Please retry after 6 seconds.", retry_after="17"),
        429,
        "rate_limit_exceeded",
        1,
        "17",
    ),
    Row(
        "429 reset before words",
        failing(429, "Please retry after 6 seconds.", x_ratelimit_reset_requests="18s"),
        429,
        "rate_limit_exceeded",
        1,
        "18",
    ),
    Row("429 milliseconds", failing(429, retry_after_ms="4200"), 429, "rate_limit_exceeded", 1, "5"),
    Row("429 absurd", failing(429, retry_after="99999999999"), 429, "rate_limit_exceeded", 1, "86400"),
    Row("429 infinite", failing(429, retry_after="inf"), 429, "rate_limit_exceeded"),
    Row("429 garbage", failing(429, retry_after="soon\xe9"), 429, "rate_limit_exceeded"),
    Row("429 negative", failing(429, retry_after="-5"), 429, "rate_limit_exceeded"),
    *(
        Row(f"429 {name}", failing(429, date=NOW, **headers), 429, "rate_limit_exceeded", 1, wait)
        for name, headers, wait in [
            (
                "duration",
                {"x_ratelimit_reset_requests": "6m1.5s", "x_ratelimit_remaining_requests": "0"},
                "362",
            ),
            (
                "not used up",
                {"x_ratelimit_reset_requests": "6m0s", "x_ratelimit_remaining_requests": "9"},
                None,
            ),
            ("epoch", {"x_ratelimit_reset": "1767225630000", "x_ratelimit_remaining": "0"}, "30"),
            (
                "moment",
                {
                    "anthropic_ratelimit_tokens_reset": "2026-01-01T00:01:00Z",
                    "anthropic_ratelimit_tokens_remaining": "0",
                },
                "60",
            ),
            ("garbage", {"x_ratelimit_reset_tokens": "soon", "x_ratelimit_remaining_tokens": "0"}, None),
            ("endless", {"x_ratelimit_reset_tokens": "9" * 5000, "x_ratelimit_remaining_tokens": "0"}, None),
            (
                "two",
                {"x_ratelimit_reset_tokens": "9s", "x_ratelimit_remaining_tokens": "0", "retry_after": "4"},
                "4",
            ),
        ]
    ),
    Row("redirect", Reply(307, b"", {"location": "/elsewhere"}), 502, INVALID),
    Row("redirect 301", Reply(301, b"moved", {"location": "http://127.0.0.1:1/"}), 502, INVALID),
    Row("204", Reply(204, b"", framing="close"), 502, INVALID),
    Row("empty 200", raw_body(b""), 502, INVALID),
    Row("cut JSON", raw_body(b'{"id": "x", "choices": [{"ind'), 502, INVALID),
    Row("not JSON", raw_body(b"ok"), 502, INVALID),
    Row("null", raw_body(b"null"), 502, INVALID),
    Row("array", raw_body(b"[]"), 502, INVALID),
    Row("text", raw_body(b'"hello"'), 502, INVALID),
    Row("empty object", raw_body(b"{}"), 502, INVALID),
    Row("another shape", raw_body(b'{"hello": "world"}'), 502, INVALID),
    Row("members of wrong types", raw_body(b'{"choices": "x", "output": 5, "id": []}'), 502, INVALID),
    Row("null members", raw_body(b'{"choices": null, "output": null}'), 502, INVALID),
    Row("invalid UTF-8", raw_body(b'{"id": "\xff\xfe", "choices": []}'), 502, INVALID),
    Row("HTML with 200", raw_body(HTML, "text/html"), 502, INVALID),
    Row("HTML called JSON", raw_body(HTML), 502, INVALID),
    Row("HTML with 502", raw_body(HTML, "text/html", 502), 502, "server_error", 2, should_retry="false"),
    Row("HTML with 403", raw_body(HTML, "text/html", 403), 502, "upstream_auth", should_retry="false"),
    Row("text with 500", raw_body(b"oops", "text/plain", 500), 500, "server_error", 2, should_retry="false"),
    Row("array with 400", raw_body(b'[{"error": {"message": "no"}}]', status=400), 400, None),
    Row("null with 400", raw_body(b"null", status=400), 400, None),
    Row("number with 500", raw_body(b"5", status=500), 500, "server_error", 2, should_retry="false"),
    Row(
        "error in a 200",
        Reply.json({"error": {"message": "sorry", "code": 503}}),
        503,
        "upstream_overloaded",
        2,
        "1",
        "false",
        chat=True,
    ),
    Row(
        "rate limit in a 200",
        Reply.json({"error": {"message": "slow", "code": "rate_limit_exceeded"}}),
        429,
        "rate_limit_exceeded",
        chat=True,
    ),
    Row("headers that never come", Reply(wait=NEVER), 504, "upstream_timeout"),
    Row("a body that never comes", raw_body(b"x" * 10, hang=0), 504, "upstream_timeout"),
    Row("a body that stops", raw_body(b'{"id": "x"}', hang=3), 504, None),
    Row("a body that is cut", raw_body(b'{"id": "x"}', cut=3), 502, INVALID),
    Row("a body that is reset", raw_body(b'{"id": "x"}', cut=3, reset=True), 502, INVALID),
    Row("a chunked body that is cut", raw_body(b'{"id": "x"}', cut=3, framing="chunked"), 502, INVALID),
    Row(
        "gzip bomb",
        raw_body(gzip.compress(bytes(70_000_000), 9), headers={"content-encoding": "gzip"}),
        502,
        INVALID,
        long=True,
    ),
    Row("broken gzip", raw_body(b"not gzip", headers={"content-encoding": "gzip"}), 502, INVALID),
    Row("unknown coding", raw_body(b"{}", headers={"content-encoding": "br"}), 502, INVALID),
    Row("huge header", raw_body(b"{}", headers={"x-huge": "h" * 1_000_000}), 502, INVALID),
    Row("3000 headers", raw_body(b"{}", headers={f"x-{n}": "y" for n in range(3000)}), 502, INVALID),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize(("operation", "model", "stream"), WAYS)
def test_a_fault_before_content_has_its_real_status(
    operation: str, model: str, stream: bool, row: Row, world: World
) -> None:
    world.upstream.add(row.reply, times=9)

    answer = world.ask(operation, model=model, stream=stream)

    code = answer.error["code"]
    if row.reply.hang:  # where a whole answer is awaited every byte counts, in a stream only events do
        row = replace(row, code="upstream_timeout" if stream else "upstream_idle")
    assert (answer.status, code) == (row.status, row.code), answer.body
    assert len(world.upstream.requests) == row.tries
    assert answer.headers.get("retry-after") == row.retry_after
    assert answer.headers.get("x-should-retry") == row.should_retry
    assert answer.headers["x-sluice-attempts"] == str(row.tries)
    assert "<html" not in answer.body.decode().lower()
    shown = answer.json["extra_fields"].get("attempts", [])
    assert [attempt["provider"] for attempt in shown] == [model.partition("/")[0]] * (
        row.tries if row.tries > 1 else 0
    )


RETRIED = [row for row in ROWS if row.tries > 1]
SPREAD = [row for row in ROWS if row.tries == 1]
for number, row in enumerate(RETRIED):  # apart from each other: the retry budget grows in between
    SPREAD.insert(number * (len(ROWS) // len(RETRIED)), row)


@pytest.mark.parametrize("row", SPREAD, ids=lambda row: row.name)
def test_a_fault_before_content_has_its_status_at_every_other_surface(row: Row, world: World) -> None:
    """Each row is asked in each of four ways by turns: whole or streamed, translated or passed at home."""

    def check(surface: Surface) -> None:
        stream, home = divmod((ROWS.index(row) + SURFACES.index(surface)) % 4, 2)
        model = surface.home if home and not row.chat else f"groq/{surface.own}"

        answer = surface.ask(world, model, stream=bool(stream))

        status = surface.statuses.get(row.status, row.status)
        assert (answer.status, surface.word(answer.json)) == (status, surface.words[status]), answer.body
        told = ("x-sluice-attempts", "x-sluice-provider", "retry-after", "x-should-retry")
        assert [answer.headers.get(name) for name in told] == [
            str(row.tries),
            model.partition("/")[0],
            row.retry_after,
            row.should_retry,
        ]
        assert "<html" not in answer.body.decode().lower()

    world.upstream.script = lambda request: row.reply
    for surfaces in [[surface] for surface in SURFACES] if row.long else [SURFACES]:
        at_each(check, surfaces)
    assert len(world.upstream.requests) == row.tries * len(SURFACES)


def in_turn(rows: list[Row]) -> list[Any]:
    """Ask each row at one of the surfaces, whole or streamed, turn and turn about."""
    ways = [(surface, stream) for stream in (True, False) for surface in EVERY]
    ways = [ways[(number * 8) % len(ways)] for number in range(len(ways))]
    return [
        pytest.param(row, *ways[number % len(ways)], id=f"{row.name}-{ways[number % len(ways)][0].name}")
        for number, row in enumerate(rows)
    ]


FALLING = [row for row in ROWS if row.status >= 500 or row.status == 429]
STAYING = [row for row in ROWS if row not in FALLING]


@pytest.mark.parametrize(("row", "surface", "stream"), in_turn(FALLING))
def test_a_fault_of_the_provider_falls_back(row: Row, surface: Surface, stream: bool, world: World) -> None:
    world.upstream.add(row.reply, path="*/groq/chat/completions", times=9)
    world.upstream.add(good(surface.name, "openai/y", stream))

    answer = surface.ask(world, "groq/x", stream=stream, fallbacks=["openai/y"])

    assert (answer.status, surface.text_of(answer)) == (200, "good")
    assert not stream or surface.ended_well(answer)
    paths = [request.path.split("/")[1] for request in world.upstream.requests]
    assert paths == ["groq"] * row.tries + ["openai"]
    assert answer.headers["x-sluice-provider"] == "openai"
    assert answer.headers["x-sluice-attempts"] == str(row.tries + 1)


@pytest.mark.parametrize("row", STAYING, ids=lambda row: row.name)
def test_a_fault_of_the_request_does_not_fall_back(row: Row, world: World) -> None:
    def check(surface: Surface) -> None:
        stream = (STAYING.index(row) + EVERY.index(surface)) % 2 == 0
        answer = surface.ask(world, "groq/x", stream=stream, fallbacks=["openai/y"])
        assert answer.status == surface.statuses.get(row.status, row.status)

    world.upstream.script = lambda request: row.reply
    at_each(check)
    assert len(world.upstream.requests) == len(EVERY)


def test_a_429_that_ends_within_two_seconds_is_waited_for(world: World) -> None:
    def check(surface: Surface) -> None:
        stream, model = (
            surface is not RESPONSES,
            f"{'openai' if surface in (CHAT, RESPONSES) else 'groq'}/{surface.own}",
        )
        world.upstream.add(failing(429, retry_after="1"), model=surface.own)
        world.upstream.add(good(surface.name, model, stream), model=surface.own)

        answer = surface.ask(world, model, stream=stream)

        assert (answer.status, surface.text_of(answer)) == (200, "good")
        first, second = (r.arrived for r in world.upstream.requests if r.json()["model"] == surface.own)
        assert 1.0 <= second - first < 2.0

    at_each(check)


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", ""])
def test_a_wrong_content_type_does_not_spoil_valid_json(content_type: str, world: World) -> None:
    reply = good("chat", "groq/x", stream=False)
    assert isinstance(reply.body, bytes)
    world.upstream.add(raw_body(reply.body, content_type), times=NEVER)

    def check(surface: Surface) -> None:
        assert surface.text_of(surface.ask(world, "groq/x")) == "good"

    at_each(check)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize("provider", ["groq", "openai"])
def test_json_where_a_stream_was_asked_for_becomes_a_stream(
    provider: str, content_type: str, world: World
) -> None:
    def check(surface: Surface) -> None:
        model = f"{provider}/{surface.own}"
        reply = good(surface.name, model, stream=False)
        assert isinstance(reply.body, bytes)
        world.upstream.add(raw_body(reply.body, content_type), model=surface.own)

        answer = surface.ask(world, model, stream=True)

        assert (answer.status, surface.text_of(answer)) == (200, "good")
        assert surface.ended_well(answer)

    at_each(check)


def test_the_first_error_is_the_one_that_is_shown(world: World) -> None:
    world.upstream.add(failing(401, "first"), path="*/groq/chat/completions", times=NEVER)
    world.upstream.add(failing(500, "second"), times=NEVER)

    def check(surface: Surface) -> None:
        answer = surface.ask(world, "groq/x", fallbacks=["openai/y", "anthropic/z"])
        assert (answer.status, answer.headers["x-sluice-attempts"]) == (502, "5")
        if surface.name not in OPERATIONS:
            assert surface.word(answer.json) == surface.words[502]
            return
        assert answer.error["code"] == "upstream_auth"
        attempts = answer.json["extra_fields"]["attempts"]
        assert [(a["provider"], a["model"], a["key"], a["status"], a["error"]) for a in attempts] == [
            ("groq", "x", "default", 401, "upstream_auth"),
            ("openai", "y", "default", 500, "server_error"),
            ("openai", "y", "default", 500, "server_error"),
            ("anthropic", "z", "default", 500, "server_error"),
            ("anthropic", "z", "default", 500, "server_error"),
        ]
        assert all(isinstance(attempt["latency"], int) for attempt in attempts)

    for surfaces in (
        EVERY[:2],
        EVERY[2:4],
        EVERY[4:],
    ):  # four retries each at most: the budget is ten a second
        at_each(check, surfaces)


def test_the_providers_sentence_code_and_param_are_kept_and_cleaned(world: World) -> None:
    error = {
        "message": "No such\nvoice: " + "v" * 900,
        "type": "invalid_request_error",
        "param": "voice",
        "code": "bad_voice",
    }
    world.upstream.add(Reply.json({"error": error}, 422))

    answer = world.ask()

    shown = answer.error
    assert (answer.status, shown["type"], shown["code"], shown["param"]) == (
        422,
        "invalid_request_error",
        "bad_voice",
        "voice",
    )
    assert shown["message"].startswith("No such voice: vvv")
    assert len(shown["message"]) <= 500
    assert json.loads(answer.body)["is_bifrost_error"] is False
    assert json.loads(answer.body)["status_code"] == 422
