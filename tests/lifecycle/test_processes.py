"""Several processes over one database: followed across them, killed, told to leave, cut off.

Leases take their ten seconds, so each scenario holds several responses, and all are played at once.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.lifecycle import outage
from tests.lifecycle.conftest import new_postgres
from tests.lifecycle.house import (
    KEYS,
    Client,
    children_of,
    eventually,
    kill,
    running_house,
    running_worker,
    text_of,
    variables,
)
from tests.lifecycle.test_leaving import first_words
from tests.running import Gateway, running_gateway
from tests.traffic.frames import sse
from tests.traffic.grammar import check_responses_frames
from tests.traffic.replay import Upstream

LETTERS = " ".join("abcdefghijklmnopqrst")
LONG = f"take 30 seconds\nsay exactly: {LETTERS}"


def client_of(gateway: Gateway, key: str = "ann") -> Client:
    return Client(gateway.port, KEYS[key])


def shot(gateway: Gateway) -> None:
    """Kill a gateway's processes, the master first so that it starts no other worker."""
    workers = children_of(gateway.process)
    kill(gateway.process.pid)
    for pid in workers:
        kill(pid)
    gateway.process.wait()


def begin_stream(client: Client, **members: Any) -> tuple[Any, str]:
    body = {"model": "sandbox/echo", "input": LONG, "stream": True, **members}
    connection = client.open("POST", "/v1/responses", body)
    words = first_words(connection.getresponse())
    return connection, words.decode().partition('"id":"')[2].partition('"')[0]


def two_gateways_and_a_worker_serve_one_response(url: str, folder: Path) -> None:
    env = {"SLUICE_BACKGROUND": "off", "SLUICE_DRAIN_AFTER": "0.5"}
    with running_house(url, gateways=2, workers=1, env=env) as house:
        here, there = house.client(gateway=0), house.client("ann-too", gateway=1)
        text = f"take 2 seconds\nsay exactly: {LETTERS}"
        connection = here.open(
            "POST",
            "/v1/responses",
            {"model": "sandbox/echo", "input": text, "stream": True, "background": True},
        )
        answer = connection.getresponse()
        words = first_words(answer)
        response_id = words.decode().partition('"id":"')[2].partition('"')[0]
        followed = there.log(response_id, surface="/openai/v1")
        assert [json.loads(frame.data) for frame in sse(words + answer.read())] == followed
        assert [event["sequence_number"] for event in followed] == list(range(len(followed)))
        assert text_of(there.ended(response_id)) == LETTERS
        assert there.log(response_id, after=7) == followed[8:]
        goes_on_there = there.make("echo history", previous_response_id=response_id, surface="/api/llm")
        assert LETTERS in text_of(goes_on_there)
        slow = here.make(LONG, background=True)
        eventually(lambda: there.get(f"/v1/responses/{slow['id']}").json["status"] == "in_progress")
        assert there.post(f"/v1/responses/{slow['id']}/cancel").json["status"] == "cancelled"
        assert here.get(f"/v1/responses/{slow['id']}").json["status"] == "cancelled"
        is_sent_away_and_resumes(here, there, house.gateways[0])


def is_sent_away_and_resumes(here: Client, there: Client, leaving: Gateway) -> None:
    """A reader of a gateway that leaves is told so, outside the log, and reads on at another."""
    text = f"take 3 seconds\nsay exactly: {LETTERS}"
    body = {"model": "sandbox/echo", "input": text, "stream": True, "background": True}
    answer = here.open("POST", "/v1/responses", body).getresponse()
    words = first_words(answer)
    leaving.terminate()
    *logged, last = [json.loads(frame.data) for frame in sse(words + answer.read())]
    assert (last["type"], last["code"], "sequence_number" in last) == ("error", "server_shutdown", False)
    rest = there.log(logged[0]["response"]["id"], after=logged[-1]["sequence_number"])
    assert [event["sequence_number"] for event in logged + rest] == list(range(len(logged) + len(rest)))
    assert text_of(rest[-1]["response"]) == LETTERS


@contextmanager
def second_gateway(upstream: Upstream, url: str, **env: str) -> Iterator[Gateway]:
    with running_gateway(variables(upstream, url) | env) as gateway:
        yield gateway


def what_a_killed_process_left_is_done_again_or_ends_clearly(url: str, folder: Path) -> None:
    with ExitStack() as stack:
        house = stack.enter_context(running_house(url))
        other = stack.enter_context(second_gateway(house.upstream, url, SLUICE_BACKGROUND="off"))
        first, survivor = house.client(), client_of(other)
        kept = [first.make(f"say exactly: kept {number}") for number in range(3)]
        quiet = first.make(f"take 3 seconds\nsay exactly: {LETTERS}", background=True)
        _, shown = begin_stream(first, background=True)
        _, synchronous = begin_stream(first)
        eventually(lambda: survivor.get(f"/v1/responses/{quiet['id']}").json["status"] == "in_progress")
        shot(house.gateways[0])
        died = time.monotonic()
        waiting = survivor.make("say exactly: waited", background=True)
        stack.enter_context(running_worker(variables(house.upstream, url), folder / "worker"))
        assert text_of(survivor.ended(waiting["id"])) == "waited"
        runs_again(survivor, quiet["id"])
        ends_as_lost(survivor, shown, log=True)
        lost = eventually(lambda: survivor.get(f"/v1/responses/{synchronous}").status == 200, 15)
        assert lost
        ends_as_lost(survivor, synchronous, log=False)
        assert time.monotonic() - died < 25
        assert [survivor.get(f"/v1/responses/{one['id']}").json["output"] for one in kept] == [
            one["output"] for one in kept
        ]


def runs_again(client: Client, response_id: str) -> None:
    """A response that showed nothing was run again, and says so."""
    ended = client.ended(response_id, seconds=25)
    assert (ended["status"], text_of(ended)) == ("completed", LETTERS)
    tries = ended["extra_fields"]["attempts"]
    assert [(row["provider"], row["model"], row["error"]) for row in tries] == [
        ("sandbox", "echo", "server_lost"),
        ("sandbox", "echo", None),
    ]
    assert set(tries[1]) == {"provider", "model", "key", "status", "error", "latency"}
    assert tries[1]["latency"] >= 2900
    log = client.log(response_id)
    assert [event["sequence_number"] for event in log] == list(range(len(log)))
    assert [event["type"] for event in log].count("response.in_progress") == 1
    assert "extra_fields" not in client.get(f"/openai/v1/responses/{response_id}").json


def ends_as_lost(client: Client, response_id: str, *, log: bool) -> None:
    """A response whose output was shown ends as failed, with what was shown where that was logged."""
    ended = client.ended(response_id, seconds=25)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "server_lost")
    if not log:
        return
    assert text_of(ended).startswith("a")
    read = client.get(f"/v1/responses/{response_id}?stream=true")
    assert check_responses_frames(sse(read.body), ours=True) == []
    assert [event["type"] for event in read.events[-2:]] == ["error", "response.failed"]


def a_worker_that_is_told_to_leave_hands_its_work_over(url: str, folder: Path) -> None:
    env = {"SLUICE_BACKGROUND": "off", "SLUICE_WORKER_GRACE": "0.2"}
    with ExitStack() as stack:
        house = stack.enter_context(running_house(url, workers=1, env=env))
        ann = house.client()
        quiet = ann.make("take 3 seconds\nsay exactly: x y z", background=True)
        _, shown = begin_stream(ann, background=True)
        eventually(lambda: ann.get(f"/v1/responses/{quiet['id']}").json["status"] == "in_progress")
        house.workers[0].send_signal(signal.SIGTERM)
        assert house.workers[0].wait(10) == 0
        response = ann.ended(shown)
        assert (response["status"], response["error"]["code"]) == ("failed", "server_shutdown")
        assert text_of(response).startswith("a")
        stack.enter_context(running_worker(variables(house.upstream, url), folder / "heir"))
        ended = ann.ended(quiet["id"])
        assert (ended["status"], text_of(ended)) == ("completed", "x y z")
        attempts = ended["extra_fields"]["attempts"]  # one whose lease ran out would be lost
        assert [row["error"] for row in attempts] == ["server_shutdown", None]


def a_gateway_that_leaves_lets_its_work_end(url: str, folder: Path) -> None:
    with ExitStack() as stack:
        house = stack.enter_context(running_house(url))
        other = stack.enter_context(second_gateway(house.upstream, url, SLUICE_BACKGROUND="off"))
        ann, survivor = house.client(), client_of(other)
        text = f"take 3 seconds\nsay exactly: {LETTERS}"
        background = ann.make(text, background=True)
        streamed, shown = begin_stream(ann, background=True, input=f"take 6 seconds\nsay exactly: {LETTERS}")
        streamed.close()
        connection = ann.open(
            "POST", "/v1/responses", {"model": "sandbox/echo", "input": text, "stream": True}
        )
        answer = connection.getresponse()
        words = first_words(answer)
        eventually(lambda: survivor.get(f"/v1/responses/{background['id']}").json["status"] == "in_progress")
        house.gateways[0].terminate()
        whole = words + answer.read()
        assert check_responses_frames(sse(whole), ours=True) == []
        last = json.loads(sse(whole)[-1].data)
        assert (last["type"], text_of(last["response"])) == ("response.completed", LETTERS)
        for response_id in (background["id"], shown):
            ended = survivor.ended(response_id)
            assert (ended["status"], text_of(ended)) == ("completed", LETTERS)
            assert "attempts" not in ended["extra_fields"]
        assert survivor.get(f"/v1/responses/{last['response']['id']}").json["status"] == "completed"


Scenario = Callable[[str, Path], None]
SCENARIOS: dict[str, tuple[Scenario, str]] = {
    "two gateways and a worker": (two_gateways_and_a_worker_serve_one_response, "postgres"),
    "killed, on SQLite": (what_a_killed_process_left_is_done_again_or_ends_clearly, "sqlite"),
    "killed, on PostgreSQL": (what_a_killed_process_left_is_done_again_or_ends_clearly, "postgres"),
    "a worker leaves": (a_worker_that_is_told_to_leave_hands_its_work_over, "postgres"),
    "a gateway leaves": (a_gateway_that_leaves_lets_its_work_end, "sqlite"),
    "the database goes and comes": (outage.an_outage_passes, "postgres"),
}


def play(name: str, folder: Path) -> None:
    """Play one scenario over an empty database of its kind."""
    scenario, kind = SCENARIOS[name]
    if kind == "sqlite":
        scenario(f"sqlite:///{folder / 'shared.db'}", folder)
        return
    with new_postgres() as url:
        scenario(url, folder)


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, gevent.Greenlet[..., None]]:
    """The scenarios that were asked for, all begun."""
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = [params["scenario"] for params in asked if "scenario" in params]
    return {name: gevent.spawn(play, name, tmp_path_factory.mktemp("scenario")) for name in names}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_several_processes_over_one_database(
    played: dict[str, gevent.Greenlet[..., None]], scenario: str
) -> None:
    played[scenario].get(timeout=150)
