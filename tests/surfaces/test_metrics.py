"""``/metrics``: counted over all workers, by operation, provider and status; off unless asked for."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from app.gateway.layers.metrics import Metrics
from tests.behaviour.world import World, running_world
from tests.lifecycle.house import children_of

CALLS = 40
FAILING = [{"role": "user", "content": "fail with 400"}]


@pytest.fixture(scope="module")
def counted() -> Iterator[World]:
    """A gateway of two workers with metrics."""
    with running_world({"WEB_CONCURRENCY": "2", "SLUICE_METRICS": "on"}) as world:
        yield world


def samples(world: World) -> dict[str, float]:
    """Return the value of each series, its labels in alphabetical order."""
    answer = World(world.gateway, world.upstream).send("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[re.sub(r"{(.*)}", lambda m: "{" + ",".join(sorted(m[1].split(","))) + "}", name)] = float(
                value
            )
    return found


def test_the_calls_of_both_workers_add_up(counted: World) -> None:
    asked = [
        gevent.spawn(counted.ask, "responses", model="sandbox/x", stream=n % 2 == 0) for n in range(CALLS)
    ]
    asked += [gevent.spawn(counted.ask, "chat", model="sandbox/x", messages=FAILING) for _ in range(3)]
    gevent.joinall(asked, raise_error=True)
    assert {greenlet.value.status for greenlet in asked} == {200, 400}
    for _ in range(3):  # whichever worker answers, it tells of both
        seen = samples(counted)
        label = 'operation="responses",provider="sandbox"'
        assert seen[f'sluice_calls_total{{{label},status="200"}}'] == CALLS
        assert seen[f"sluice_call_seconds_count{{{label}}}"] == CALLS
        assert seen[f"sluice_first_content_seconds_count{{{label}}}"] == CALLS / 2
        assert seen['sluice_attempts_total{provider="sandbox",status="200"}'] == CALLS
        assert seen['sluice_attempts_total{provider="sandbox",status="400"}'] == 3
        assert seen['sluice_tokens_total{kind="input",provider="sandbox"}'] == CALLS  # one word each
        assert seen["sluice_open_calls"] == 0
    assert seen['sluice_calls_total{operation="chat",provider="sandbox",status="400"}'] == 3


def test_open_calls_are_seen_while_they_run(counted: World) -> None:
    with counted.open("responses", model="sandbox/x", input="take 20 seconds"):
        with gevent.Timeout(10):
            while samples(counted)["sluice_open_calls"] != 1:
                gevent.sleep(0.05)
    with gevent.Timeout(10):
        while samples(counted)["sluice_open_calls"] != 0:
            gevent.sleep(0.05)


def test_the_series_are_those_that_the_page_of_deploying_lists(counted: World) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(sluice_[a-z_]+)` \|([^|]*)\|", page, re.MULTILINE))
    known = re.findall(r"^# HELP (sluice_[a-z_]+)", Metrics().page()[0].decode(), re.MULTILINE)
    assert set(listed) == {name for name in known if not name.endswith("_created")}
    counted.ask("chat", model="sandbox/x", stream=True)
    scraped = counted.send("GET", "/metrics").body.decode()
    for name in ("sluice_calls_total", "sluice_attempts_total", "sluice_tokens_total"):
        (labels, *_) = re.findall(name + r"{(.*?)}", scraped)
        assert set(re.findall(r"`([a-z]+)`", listed[name])) == set(re.findall(r'([a-z]+)="', labels))


def test_no_metrics_are_served_unless_asked_for(world: World) -> None:
    assert world.send("GET", "/metrics").status == 404


def test_two_servers_with_one_folder_leave_each_others_numbers_alone(tmp_path: Path) -> None:
    env = {"SLUICE_METRICS": "on", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with running_world(env) as first:
        assert first.ask("responses", model="sandbox/x").status == 200
        with running_world(env) as second:
            assert second.ask("responses", model="sandbox/x").status == 200
            assert (total(first), total(second)) == (1, 1)
            assert len(list(tmp_path.iterdir())) == 2
            for process in (*children_of(second.gateway.process), second.gateway.process.pid):
                os.kill(process, signal.SIGKILL)
            second.gateway.process.wait()
        assert total(first) == 1
        with running_world(env) as third:
            assert total(third) == 0
            assert len(list(tmp_path.iterdir())) == 2  # the killed one's is gone
    assert list(tmp_path.iterdir()) == []


def total(world: World) -> float:
    return sum(value for name, value in samples(world).items() if name.startswith("sluice_calls_total"))
