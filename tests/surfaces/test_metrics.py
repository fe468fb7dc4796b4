"""``/metrics``: counted over all workers, by operation, provider and status; off unless asked for."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from app.gateway import gauges
from app.gateway.layers.metrics import Metrics
from app.gateway.metric_series import GAPS, SERIES, Gaps
from tests.behaviour.world import World, chat_body, running_world
from tests.lifecycle.house import children_of, eventually
from tests.traffic.replay import Reply

CALLS = 40
GOVERNED = """
[server]
limits = [{ requests = 10, per = "day" }]
budgets = [{ usd = 100, per = "total" }]
cache = { ttl = "5m" }
[tenants.red]
limits = [{ requests = 8, per = "day", models = "groq/only" }]
budgets = [{ usd = 50, per = "total" }]
[keys.ann]
key = "sk-ann"
tenant = "red"
[models."fast"]
targets = [{ target = "groq/x" }]
fallbacks = ["openai/y"]
[models."only"]
targets = [{ target = "groq/only" }]
[providers.groq.prices]
x = { input = 1000, output = 1000 }
"""
PRICED = """
[providers.groq.prices]
x = { input = 1000, output = 1000 }
"""
FAILING = [{"role": "user", "content": "fail with 400"}]


@pytest.fixture(scope="module")
def counted() -> Iterator[World]:
    """A gateway of two workers with metrics."""
    with running_world({"WEB_CONCURRENCY": "2", "SLUICE_METRICS": "on"}) as world:
        yield world


@pytest.fixture
def governed() -> Iterator[World]:
    """A gateway with limits, budgets, a cache, a breaker and names of models."""
    env = {"SLUICE_METRICS": "on", "SLUICE_BREAKER": "on"}
    with running_world(env, config=GOVERNED, key="sk-ann") as world:
        world.upstream.add(Reply.json(chat_body()))
        assert world.ask(model="fast").status == 200
        assert world.ask(model="fast").headers["x-sluice-cache"] == "hit"
        yield world.fresh()


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
    label = 'operation="responses",provider="sandbox"'
    name = f'sluice_requests_total{{model="other",{label},status="200"}}'
    assert eventually(lambda: samples(counted).get(name) == CALLS)
    failed = 'sluice_requests_total{model="other",operation="chat",provider="sandbox",status="400"}'
    assert eventually(lambda: samples(counted).get(failed) == 3)
    assert eventually(lambda: samples(counted)["sluice_open_requests"] == 0)
    for _ in range(3):  # whichever worker answers, it tells of both
        series = samples(counted)
        assert series[name] == CALLS
        assert series[f"sluice_request_duration_seconds_count{{{label}}}"] == CALLS
        assert series[f"sluice_first_content_seconds_count{{{label}}}"] == CALLS / 2
        assert series['sluice_attempts_total{provider="sandbox",status="200"}'] == CALLS
        assert series['sluice_attempts_total{provider="sandbox",status="400"}'] == 3
        assert (
            series['sluice_tokens_total{kind="input",model="other",provider="sandbox"}'] == CALLS
        )  # one word each
        assert series["sluice_open_requests"] == 0
    label = 'model="other",operation="chat",provider="sandbox"'
    assert series[f'sluice_requests_total{{{label},status="400"}}'] == 3
    assert series['sluice_errors_total{kind="upstream_rejected",operation="chat",provider="sandbox"}'] == 3


def test_open_calls_are_seen_while_they_run(counted: World) -> None:
    with counted.open("responses", model="sandbox/x", input="take 20 seconds"):
        with gevent.Timeout(30):
            while samples(counted)["sluice_open_requests"] != 1:
                gevent.sleep(0.05)
    with gevent.Timeout(30):
        while samples(counted)["sluice_open_requests"] != 0:
            gevent.sleep(0.05)


UNUSED = {
    "sluice_errors_total",
    "sluice_first_content_seconds",
    "sluice_chunk_gap_seconds",
    "sluice_retries_total",
    "sluice_fallbacks_total",
    "sluice_refusals_total",
    "sluice_budget_alerts_total",
    "sluice_breaker_open",
}
"""Series that one whole answer leaves without a value."""


def test_every_series_that_is_exported_is_a_row_with_its_labels(governed: World) -> None:
    scraped = governed.send("GET", "/metrics").body.decode()
    kinds = dict(re.findall(r"^# TYPE (sluice_[a-z_]+) ([a-z]+)$", scraped, re.MULTILINE))
    rows = {row.name + ("_total" if row.kind == "counter" else ""): row for row in SERIES}
    assert kinds.items() <= {name: row.kind for name, row in rows.items()}.items()
    assert set(rows) - set(kinds) == UNUSED
    for name, row in rows.items():
        series = set(re.findall(name + r"(?:_bucket)?(?:{(.*?)})? ", scraped))
        for labels in series - {""}:
            assert set(re.findall(r'([a-z]+)="', labels)) - {"le"} == set(row.labels), name


def test_names_of_the_operators_are_labels_and_no_others(governed: World) -> None:
    governed.upstream.add(Reply.json(chat_body()), times=2)
    for model in ("groq/x", "groq/made-up-by-a-client"):
        assert governed.ask(model=model, temperature=0.5).status == 200
    series = samples(governed)
    asked = {
        re.findall(r'model="(.*?)"', name)[0]: count
        for name, count in series.items()
        if name.startswith("sluice_requests_total")
    }
    assert asked == {"fast": 2, "groq/x": 1, "other": 1}
    assert series['sluice_cost_dollars_total{model="fast",provider="groq"}'] == pytest.approx(0.005)


def test_retries_fallbacks_and_the_cache_are_counted(governed: World) -> None:
    down = Reply.json({"error": {"message": "down"}}, status=500)
    governed.upstream.add(down, times=2)
    governed.upstream.add(Reply.json(chat_body()))
    assert governed.ask(model="fast", temperature=0.5).status == 200
    series = samples(governed)
    assert series['sluice_retries_total{provider="groq"}'] == 1
    assert series['sluice_fallbacks_total{provider="groq"}'] == 1
    assert series['sluice_cache_lookups_total{result="hit"}'] == 1
    assert series['sluice_cache_lookups_total{result="miss"}'] == 2
    whole, away = (
        sum(value for name, value in series.items() if name.startswith(f"sluice_{what}_duration_seconds_sum"))
        for what in ("request", "upstream")
    )
    added = series['sluice_added_duration_seconds_sum{operation="chat"}']
    assert 0 < added < whole
    assert series['sluice_added_duration_seconds_count{operation="chat"}'] == 2  # a hit went nowhere
    assert away < whole


def test_limits_and_budgets_that_are_used_show_at_the_scrape(governed: World) -> None:
    spent = {
        'sluice_budget_used_ratio{level="gateway",models="*",owner="",per="total"}': pytest.approx(0.00005),
        'sluice_budget_used_ratio{level="tenant",models="*",owner="red",per="total"}': pytest.approx(0.0001),
    }

    def shown() -> bool:  # once the attempt is settled, and what was read before is old
        series = samples(governed)
        return spent == {name: series[name] for name in series if name.startswith("sluice_budget_used_ratio")}

    assert eventually(shown)
    series = samples(governed)
    used = {name: series[name] for name in series if name.startswith("sluice_limit_used_ratio")}
    day = 'kind="requests",level="{}",models="{}",owner="{}",per="day"'
    assert used == {
        f"sluice_limit_used_ratio{{{day.format('gateway', '*', '')}}}": pytest.approx(0.2),
        f"sluice_limit_used_ratio{{{day.format('tenant', 'groq/only', 'red')}}}": 0,
    }
    assert (series["sluice_database_up"], series["sluice_background_queue"]) == (1, 0)


def test_keys_made_at_run_time_show_when_much_of_theirs_is_used() -> None:
    master = {"authorization": "Bearer master-0123456789"}
    env = {"SLUICE_METRICS": "1", "SLUICE_MASTER_KEY": "master-0123456789", "SLUICE_SECRET_KEY": "s" * 32}
    with running_world(env, config=PRICED) as world:
        team = {
            "name": "team",
            "budgets": [{"usd": 0.0099, "per": "day"}],
            "limits": [{"requests": 100, "per": "day"}],
        }
        assert world.send("POST", "/admin/tenants", team, master).status == 201
        secrets = {}
        for name in ("ann", "idle"):
            made = {"name": name, "tenant": "team", "limits": [{"requests": 2, "per": "day", "models": "*"}]}
            answer = world.send("POST", "/admin/keys", made, master)
            assert answer.status == 201
            secrets[name] = answer.json["key"]
        world.upstream.add(Reply.json(chat_body()))
        asked = world.ask(model="groq/x", max_tokens=1, headers={"authorization": f"Bearer {secrets['ann']}"})
        assert asked.status == 200

        def told() -> bool:
            series = samples(world)
            return {name: value for name, value in series.items() if "_used_ratio" in name} == {
                'sluice_limit_used_ratio{kind="requests",level="key",models="*",owner="team/ann",per="day"}': 0.5,
                'sluice_budget_used_ratio{level="tenant",models="*",owner="team",per="day"}': pytest.approx(
                    0.005 / 0.0099
                ),
            }

        assert eventually(told)


def test_of_very_many_allowances_the_highest_are_told() -> None:
    readings = [("sluice_limit_used_ratio", (f"{number}",), number / 100) for number in range(101)]
    told = gauges._highest(readings)
    assert [round(value * 100) for _, _, value in told] == list(range(100, 100 - gauges.MAX_STORED, -1))
    assert [value for _, _, value in gauges._highest(readings[:52])] == [0.51, 0.5]


def test_what_a_limit_refuses_is_no_attempt(governed: World) -> None:
    statuses = [governed.ask(model="fast").status for _ in range(10)]
    assert statuses == [200] * 8 + [429] * 2
    series = samples(governed)
    assert series['sluice_refusals_total{reason="limit"}'] == 2
    assert series['sluice_errors_total{kind="rate_limited",operation="chat",provider="none"}'] == 2
    assert series['sluice_attempts_total{provider="groq",status="200"}'] == 1


def test_open_streams_and_the_gaps_between_their_pieces_are_counted(counted: World) -> None:
    where = 'operation="chat",provider="sandbox"'
    before = samples(counted).get(f"sluice_chunk_gap_seconds_count{{{where}}}", 0)
    with counted.open("chat", model="sandbox/x", messages=[{"role": "user", "content": "take 20 seconds"}]):
        with gevent.Timeout(30):
            while samples(counted)["sluice_open_streams"] != 1:
                gevent.sleep(0.05)
    with gevent.Timeout(30):
        while samples(counted)["sluice_open_streams"] != 0:
            gevent.sleep(0.05)
    messages = [{"role": "user", "content": "take 1 seconds"}]
    pieces = counted.ask("chat", model="sandbox/x", stream=True, messages=messages)
    assert pieces.status == 200
    assert eventually(lambda: samples(counted).get(f"sluice_chunk_gap_seconds_count{{{where}}}", 0) > before)
    series = samples(counted)
    finite = series['sluice_chunk_gap_seconds_bucket{le="+Inf",operation="chat",provider="sandbox"}']
    assert finite == series[f"sluice_chunk_gap_seconds_count{{{where}}}"]


def test_a_thousand_calls_are_handed_over_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, asked = Metrics(), []
    reach = metrics._of
    monkeypatch.setattr(metrics, "_of", lambda *place: asked.append(place) or reach(*place))
    for number in range(1000):
        metrics.count("sluice_open_requests")
        metrics.note_request("chat", 404)
        metrics._spread("sluice_request_duration_seconds", "chat", "x").add(number / 1000)
        metrics.count("sluice_open_requests", by=-1)
    assert asked == []
    page = metrics.page()[0].decode()
    assert len(asked) == len(set(asked)) == 3
    assert 'sluice_requests_total{model="other",operation="chat",provider="none",status="404"} 1000.0' in page
    assert 'sluice_request_duration_seconds_bucket{le="0.5",operation="chat",provider="x"} 501.0' in page
    assert 'sluice_request_duration_seconds_sum{operation="chat",provider="x"} 499.5' in page
    assert "sluice_open_requests 0.0" in page
    metrics.page()
    assert len(asked) == 3


def test_gaps_fall_into_the_buckets_of_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, GAPS[0], GAPS[0] + 0.02, 100.0])
    monkeypatch.setattr("app.gateway.metric_series.time.monotonic", lambda: next(times))
    gaps = Gaps()
    for _ in range(4):
        gaps.note()
    counts = gaps.spread.counts
    assert (sum(counts), counts[0], counts[3], counts[-1]) == (3, 1, 1, 1)
    assert gaps.spread.total == pytest.approx(100.0)


def test_circuits_that_rest_show_for_their_provider(governed: World) -> None:
    for _ in range(6):
        down = Reply.json({"error": {"message": "down"}}, status=500)
        governed.upstream.add(down, times=2)
        assert governed.ask(model="only", temperature=0.5).status == 500
    with gevent.Timeout(20):
        while samples(governed).get('sluice_breaker_open{provider="groq"}') != 1:
            gevent.sleep(0.2)


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
    return sum(value for name, value in samples(world).items() if name.startswith("sluice_requests_total"))
