"""The sandbox's transport under egress: pace, silence, aborts and clocks, all within their time."""

import json
import time

import gevent
import pytest

from app.config import ProviderSettings
from app.errors import GatewayError
from app.providers.sandbox import SPEC, bind, choose
from app.wire.clocks import Clocks
from app.wire.egress import Egress
from app.wire.upstream import TransportError

FAST = Clocks(connect=1, first_byte=5, idle=5, total=10)


class Opened:
    """An egress with the sandbox mounted, and calls over it."""

    def __init__(self, **options):
        self.egress = Egress({})
        self.transport = self.egress.transport()
        self.spec = bind(ProviderSettings("sandbox", options=options), self.egress, self.transport)
        self.aborts = []

    def ask(self, text, *, stream=True, clocks=FAST, path="/chat/completions"):
        body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
        return self.transport.open(
            "POST",
            f"{self.spec.base_url}{path}",
            {"Content-Type": "application/json"},
            json.dumps(body).encode(),
            clocks=clocks,
            stream=stream,
            on_open=self.aborts.append,
        )


@pytest.fixture
def sandbox():
    return Opened()


def arrivals(upstream):
    """Every piece with the seconds since the first question."""
    started, found = time.monotonic(), []
    while piece := upstream.read1():
        found.append((time.monotonic() - started, piece))
        upstream.progress()
    return found


def body_of(pieces):
    return b"".join(piece for _, piece in pieces)


def test_a_stream_comes_in_pieces_at_the_pace_that_was_set():
    pieces = arrivals(Opened(words_per_second=50).ask("say exactly: " + "word " * 20))
    words = 0
    for seconds, piece in pieces:  # a busy machine joins pieces, but none comes early
        words += piece.count(b"word")
        assert words <= 50 * seconds + 2
    assert words == 20
    assert body_of(pieces).endswith(b"data: [DONE]\n\n")


def test_without_a_pace_all_comes_at_once():
    pieces = arrivals(Opened(words_per_second=0).ask("say exactly: " + "word " * 200))
    assert len(pieces) <= 3


def test_a_stream_is_spread_over_the_seconds_asked_for(sandbox):
    pieces = arrivals(sandbox.ask("take 0.6 seconds\nsay exactly: a b c d e f"))
    assert pieces[-1][0] - pieces[0][0] > 0.3


def test_a_whole_answer_takes_the_seconds_asked_for(sandbox):
    started = time.monotonic()
    upstream = sandbox.ask("take 0.3 seconds\nsay exactly: done", stream=False)
    answer = json.loads(upstream.read())
    assert time.monotonic() - started >= 0.3
    assert answer["choices"][0]["message"]["content"] == "done"
    assert upstream.headers["content-type"] == "application/json"


def test_silence_comes_before_the_first_byte(sandbox):
    started = time.monotonic()
    upstream = sandbox.ask("be silent for 0.3 seconds\nsay exactly: hi")
    assert time.monotonic() - started >= 0.3
    assert b"hi" in body_of(arrivals(upstream))


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        ("hang", True),
        ("hang", False),
        ("hang midway", True),
        ("hang midway", False),
        ("take 500 seconds", True),
        ("take 500 seconds", False),
    ],
)
def test_an_abort_ends_every_wait_at_once(sandbox, text, stream):
    reason = GatewayError("client_gone", "The client closed the connection.")
    ended = []

    def call():
        with pytest.raises(GatewayError) as caught:
            arrivals(sandbox.ask(text, stream=stream))
        ended.append(caught.value)

    caller = gevent.spawn(call)
    gevent.sleep(0.05)
    assert sandbox.aborts[0].abort(reason)
    caller.get(timeout=10)  # it would wait for minutes
    assert ended == [reason]


def test_an_abort_while_nobody_waits_is_told_to_the_next_reader(sandbox):
    upstream = sandbox.ask("say exactly: one two")
    reason = GatewayError("cancelled", "The response was cancelled.")
    assert upstream.abort(reason)
    assert not upstream.abort(GatewayError("client_gone", "later"))
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            upstream.read1()
        assert caught.value is reason


@pytest.mark.parametrize(
    ("text", "clocks", "kind"),
    [
        ("hang", Clocks(1, 0.1, 5, 5), "upstream_timeout"),
        ("hang midway", Clocks(1, 5, 0.1, 5), "upstream_idle"),
        ("take 50 seconds\nsay exactly: " + "x " * 1000, Clocks(1, 5, 5, 0.2), "upstream_timeout"),
    ],
)
def test_the_clocks_end_a_call_as_they_do_over_http(sandbox, text, clocks, kind):
    with pytest.raises(TransportError) as caught:
        arrivals(sandbox.ask(text, clocks=clocks))
    assert caught.value.kind.name == kind


def test_a_cut_whole_answer_is_told_as_cut(sandbox):
    with pytest.raises(TransportError) as caught:
        sandbox.ask("cut", stream=False).read()
    assert caught.value.kind.name == "upstream_cut"


def test_a_cut_stream_ends_like_a_closed_connection(sandbox):
    assert b"[DONE]" not in body_of(arrivals(sandbox.ask("cut\nsay exactly: a b c d")))


def test_after_its_end_an_answer_stays_ended_and_cannot_be_aborted(sandbox):
    upstream = sandbox.ask("say exactly: hi")
    arrivals(upstream)
    assert upstream.read1() == b""
    assert not upstream.abort(GatewayError("cancelled", "too late"))
    upstream.close()


def test_an_answer_past_its_limit_is_refused(sandbox):
    with pytest.raises(TransportError) as caught:
        sandbox.ask("say exactly: " + "x" * 5000, stream=False).read(limit=1000)
    assert caught.value.kind.name == "upstream_invalid"


def test_a_body_in_pieces_is_read_whole(sandbox):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "say exactly: hi"}]}).encode()
    upstream = sandbox.transport.open(
        "POST", "sandbox://local/chat/completions", {}, iter([body[:9], body[9:]]), clocks=FAST, stream=False
    )
    assert b'"hi"' in upstream.read()


def test_many_streams_run_side_by_side(sandbox):
    started = time.monotonic()
    calls = [
        gevent.spawn(lambda: body_of(arrivals(sandbox.ask("take 0.4 seconds\nsay exactly: a b c"))))
        for _ in range(50)
    ]
    assert all(b"[DONE]" in call.get(timeout=20) for call in calls)
    assert time.monotonic() - started < 50 * 0.4  # as long as one after another


@pytest.mark.parametrize("pace", [-1, "fast", True, float("inf"), float("nan")])
def test_a_pace_that_is_none_is_refused(pace):
    with pytest.raises(GatewayError) as caught:
        Opened(words_per_second=pace)
    assert caught.value.kind.name == "provider_not_configured"


@pytest.mark.parametrize(
    ("model", "operation", "dialect", "passes"),
    [
        ("echo", "chat", "chat", False),
        ("echo", "responses", None, False),
        ("gpt-4o", "embedding", "embeddings_openai", False),
        ("chat-x", "chat", "chat", True),
        ("chat-x", "responses", None, False),
        ("responses-x", "responses", "responses", True),
        ("responses-x", "chat", None, False),
        ("messages-x", "chat", "messages", True),
        ("messages-x", "responses", None, False),
        ("messages-x", "speech", "openai_speech", False),
    ],
)
def test_a_models_name_may_choose_the_dialect(model, operation, dialect, passes):
    wire = choose(ProviderSettings("sandbox"), operation, model)
    assert (None if wire is None else wire.dialect) == dialect
    assert wire is None or wire.passes is passes


def test_it_needs_neither_key_nor_address():
    assert not SPEC.needs_key
    assert SPEC.base_url == "sandbox://local"
