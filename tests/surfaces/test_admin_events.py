"""Live events by the admin API: calls of every process, breakers, alerts; slow readers; the end of a process."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import gevent
import pytest

from app.gateway.subscriptions import MAX_QUEUED, Publisher, Subscription
from app.state.ids import new_id
from app.state.live_events import MOST_MISSED, topics_of
from app.state.state import open_state
from tests.behaviour.world import World, chat_body, running_world
from tests.services import new_postgres
from tests.traffic.replay import Reply

MASTER = "master-0123456789"
CONFIG = """
[keys.ann]
key = "sk-ann"
tenant = "red"

[keys.poor]
key = "sk-poor"
tenant = "blue"
budgets = [{ usd = 1, per = "day" }]

[providers.groq]
prices = { "x" = { input = 100000, output = 300000 } }
"""
ENV = {
    "SLUICE_MASTER_KEY": MASTER,
    "SLUICE_SECRET_KEY": "s",
    "SLUICE_BREAKER": "on",
    "SLUICE_MAX_RETRIES": "0",
    "WEB_CONCURRENCY": "2",
    "SLUICE_COMMENT_EVERY": "1",
}


class Page:
    """A page that watches."""

    def __init__(self, world: World, query: str = "", key: str = MASTER, since: str | None = None) -> None:
        self.last: str | None = since
        known = {} if since is None else {"last-event-id": since}
        self.connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=20)
        self.connection.request(
            "GET", f"/admin/events{query}", headers={"authorization": f"Bearer {key}", **known}
        )
        self.answer = self.connection.getresponse()
        self.comments = 0

    def close(self) -> None:
        self.connection.close()

    def next(self) -> dict[str, Any] | None:
        """Return the data of the next event; None at the end."""
        name = ""
        while line := self.answer.readline():
            if line.startswith(b":"):
                self.comments += 1
            if line.startswith(b"id: "):
                self.last = line[4:-1].decode()
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
            if line.startswith(b"data: "):
                data: dict[str, Any] = json.loads(line[6:])
                assert data["type"] == name
                return data
        return None

    def rest(self) -> list[dict[str, Any]]:
        """Return the events that come before the next silence."""
        found: list[dict[str, Any]] = []
        while not (line := self.answer.readline()).startswith(b": keep-alive"):
            found += [json.loads(line[6:])] if line.startswith(b"data: ") else []
        return found

    def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the next events of a type."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            event = self.next()
            assert event is not None, found
            found += [event] if event["type"] == kind else []
        return found


SETTING = {"env": ENV, "config": CONFIG, "key": MASTER}


def ask(world: World, key: str, **members: Any) -> str:
    answer = world.ask(headers={"authorization": f"Bearer {key}"}, **members)
    return answer.headers["x-request-id"]


def test_each_call_of_every_process_is_told_once_to_each_who_watches(running: World) -> None:
    with closing(Page(running)) as one, closing(Page(running, "?types=call")) as other:
        assert one.answer.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert one.next() == {"type": "ready", "data": {"calls": "on"}}
        asked = [ask(running, "sk-ann", model="sandbox/echo", stream=n % 2 == 0) for n in range(12)]
        began = time.monotonic()
        for page in (one, other):
            told = page.until("call", 12)
            assert sorted(event["data"]["request_id"] for event in told) == sorted(asked)
            assert {event["data"]["object"] for event in told} == {"call"}
            assert {event["timestamp"][-1] for event in told} == {"Z"}
        assert time.monotonic() - began < 10
        last = ask(running, "sk-ann", model="nobody/x")
        (event,) = one.until("call")
        assert (event["data"]["request_id"], event["data"]["status"]) == (last, 400)
        row = running.send("GET", f"/admin/calls/{event['data']['id']}").json
        assert event["data"] == row


def test_a_page_that_comes_back_gets_what_it_missed(running: World) -> None:
    with closing(Page(running, "?types=call")) as page:
        page.next()
        early = page.last
        seen = ask(running, "sk-ann", model="sandbox/echo")
        page.until("call")
        last = page.last
    missed = [ask(running, "sk-ann", model="sandbox/echo") for _ in range(5)]
    time.sleep(1.5)  # until they are written, and nobody watches
    with closing(Page(running, "?types=call", since=last)) as page:
        assert page.next() == {"type": "ready", "data": {"calls": "on"}}
        later = ask(running, "sk-ann", model="sandbox/echo")
        told = [page.until("call")[0]["data"]["request_id"]]
        while told[-1] != later:
            told += [page.until("call")[0]["data"]["request_id"]]
        assert set(missed) <= set(told)
        assert len(told) == len(set(told))
    with closing(Page(running, "?types=call", since=early)) as page:  # it saw "ready" alone
        page.next()
        assert {seen, *missed, later} <= {one["data"]["request_id"] for one in page.rest()}
    with closing(Page(running, "?types=breaker", since=last)) as page:
        page.next()
        assert page.rest() == []


@pytest.mark.parametrize("since", ["", "x", "-1-2", "1", "9" * 40 + "-1", "\u0661-1"])
def test_who_names_no_place_is_told_that_something_may_be_lost(running: World, since: str) -> None:
    with closing(Page(running, since=since.encode().decode("latin-1"))) as page:
        page.next()
        assert page.next() == {"type": "lost", "data": {"events": None}}


def test_a_silent_stream_has_comments_and_a_query_that_is_wrong_is_refused(running: World) -> None:
    with closing(Page(running, "?types=breaker")) as page:
        page.next()
        page.answer.readline()
        began = time.monotonic()
        assert page.answer.readline() == b": keep-alive\n"
        assert time.monotonic() - began < 5
    answer = running.send("GET", "/admin/events?types=calls")
    assert (answer.status, answer.error["param"]) == (400, "types")
    assert running.send("GET", "/admin/events", headers={"authorization": "Bearer sk-ann"}).status == 403


def test_a_circuit_that_opens_and_an_alert_are_told(running: World) -> None:
    running.fresh()
    running.upstream.script = lambda request: Reply.json({"error": {"message": "down"}}, 500)
    with closing(Page(running, "?types=breaker,budget.threshold")) as page:
        for _ in range(24):  # ten at one of the two processes, whichever takes them
            ask(running, "sk-ann", model="groq/down")
        (event,) = page.until("breaker")
        data = event["data"]
        assert (data["state"], data["provider"], data["model"]) == ("open", "groq", "down")
        assert 0 < data["seconds"] <= 15
        assert data["process"]
        running.upstream.script = lambda request: Reply.json(chat_body())
        ask(running, "sk-poor", model="groq/x", max_tokens=2)
        (event,) = page.until("budget.threshold")
        assert (event["data"]["owner"], event["data"]["tenant"]) == ("poor", "blue")


def test_a_viewer_watches_until_the_key_is_taken_away(running: World) -> None:
    viewer = running.send("POST", "/admin/admins", {"name": "eye", "role": "viewer"}).json
    with closing(Page(running, key=viewer["key"])) as page:
        page.next()
        assert running.send("DELETE", f"/admin/admins/{viewer['id']}").status == 200
        (event,) = page.until("error")
        assert event["error"]["code"] == "invalid_api_key"
        assert page.next() is None


def test_a_stream_ends_when_the_process_leaves() -> None:
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}, config=CONFIG, key=MASTER) as world:
        with closing(Page(world)) as page, closing(Page(world)) as deaf:
            page.next()
            assert deaf.answer.status == 200
            began = time.monotonic()
            world.gateway.terminate()
            assert page.next() is None
            assert world.gateway.process.wait(20) == 0
            assert time.monotonic() - began < 10


def test_who_is_slow_loses_events_and_is_told_how_many() -> None:
    subscription = Subscription(("call",))
    for number in range(MAX_QUEUED + 7):
        subscription.put(("call", b"%d" % number, None))
    subscription.put(("breaker", b"not asked for", None))
    items = subscription.next_items(0) or []
    assert [data for _, data, _ in items[:2]] == [b"0", b"1"]
    assert (len(items), items[-1]) == (
        MAX_QUEUED + 1,
        ("lost", b'{"type":"lost","data":{"events":7}}', None),
    )
    assert subscription.next_items(0) == []
    subscription.close()
    assert subscription.next_items(9) is None


def test_who_reads_fast_loses_nothing_of_a_crowd(tmp_path: Path) -> None:
    state = open_state(f"sqlite:///{tmp_path}/sluice.db", {})
    publisher = Publisher(lambda: state)
    subscription = publisher.subscribe()
    told: list[str] = []

    def read() -> None:
        while (items := subscription.next_items(5)) is not None:
            told.extend(kind for kind, _, _ in items)

    reading = gevent.spawn(read)
    for _ in range(12):
        state.call_log.write([call_row() for _ in range(250)])
    with gevent.Timeout(20):
        while len(told) < 3_000:
            gevent.sleep(0.05)
    assert set(told) == {"call"}
    publisher.unsubscribe(subscription)
    publisher.close()
    subscription.close()
    reading.join(5)
    state.stop()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_is_missed_is_bounded_and_told_in_order(kind: str, tmp_path: Path) -> None:
    with new_postgres() if kind == "postgres" else nullcontext(f"sqlite:///{tmp_path}/sluice.db") as url:
        state = open_state(url, {"SLUICE_SECRET_KEY": "s"})
        now = time.time()
        state.call_log.write([call_row() | {"created_at": int(now) - 9_000 + n} for n in range(50)])
        since = state.live_events.reader().cursor()
        rows = [call_row() | {"created_at": now + n / 100} for n in range(MOST_MISSED + 40)]
        for at in range(0, MOST_MISSED, 200):
            state.call_log.write(rows[at : at + 200])
        found, more = state.live_events.since(since)
        assert ([piece.body["id"] for piece in found], more) == (
            [row["id"] for row in rows[:MOST_MISSED]],
            False,
        )
        state.call_log.write(rows[MOST_MISSED:])
        found, more = state.live_events.since(since)
        assert more
        assert [piece.body["id"] for piece in found][-MOST_MISSED:] == [row["id"] for row in rows[40:]]
        again, more = state.live_events.since(found[-1].cursor._replace(moment=now + 99))
        assert (again, more) == ([], False)
        state.stop()


def call_row() -> dict[str, Any]:
    """Return a row of the call log."""
    return {
        **{"id": new_id("call"), "created_at": 1_000_000, "tenant": "red", "key": "ann"},
        **{"request_type": "chat_completion", "status": 200, "request_id": "req", "latency": 1},
    }


def test_what_is_told_of_a_batch_fits_into_a_notify() -> None:
    ids = [f"call_{number:048x}" for number in range(200)]
    topics = topics_of(ids)
    assert [label for topic in topics for label in topic.removeprefix("calls ").split(",")] == ids
    assert max(map(len, topics)) < 8_000
