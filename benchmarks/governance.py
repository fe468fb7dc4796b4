"""What governance costs: ``python -m benchmarks.governance [--rounds 5]``.

CPU of one whole chat answer, as a key's limits, the call log, budgets and the cache join in, beside what each is
compared with in the same run: a bare call, a stored Responses answer, a path that is not there; and the look
among 2,000 vectors of a semantic cache. Two gateways, since the
call log is on or off for all; both are visited in turn, round by round. The ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from app.gateway.cache.vectors import NEWEST, Vectors
from benchmarks.meter import cpu_seconds, tree
from benchmarks.targets import ROOT, free_port
from tests.running import Gateway, running_gateway

CONFIG: Final = """
[keys.plain]
key = "sk-plain"
[keys.limited]
key = "sk-limited"
limits = [{ requests = 100000000, per = "minute" }, { tokens = 100000000000, per = "minute" }]
[keys.rich]
key = "sk-rich"
budgets = [{ usd = 1000000, per = "month" }]
[models."cached"]
target = "openai/gpt-4o-mini"
cache = { ttl = "1h" }
"""
_CHAT: Final = "/v1/chat/completions"
_PROMPT: Final = {
    "messages": [{"role": "user", "content": "What does a gateway keep short?"}],
    "max_tokens": 400,
}


@dataclass(frozen=True)
class Visit:
    """Who is asked what: the gateway with the call log on or without, a key, a path, and the answer's status."""

    log: bool
    key: str
    body: dict[str, Any]
    path: str = _CHAT
    status: int = 200


VISITS: Final = {
    "bare": Visit(False, "plain", {"model": "openai/gpt-4o-mini", **_PROMPT}),
    "limits and call log": Visit(True, "limited", {"model": "openai/gpt-4o-mini", **_PROMPT}),
    "budget and call log": Visit(True, "rich", {"model": "openai/gpt-4o-mini", **_PROMPT}),
    "stored": Visit(True, "plain", {"model": "openai/gpt-4o-mini", "input": "hi"}, "/v1/responses"),
    "cache hit": Visit(False, "plain", {"model": "cached", **_PROMPT}),
    "not found": Visit(False, "plain", {}, "/v1/nothing", 404),
}
GOALS: Final = (
    ("limits and call log", "bare", 1.2),
    ("budget and call log", "stored", 1.0),
    ("cache hit", "not found", 1.5),
)
"""What is measured, what it is compared with, and how many times that it may cost."""
LOOK: Final = 2.0
"""Milliseconds that a look among vectors may take."""


def answers(port: int, order: Visit, seconds: float) -> int:
    """Return how many answers came in so many seconds; RuntimeError for any other status than the order's."""
    whole = {
        "path": order.path,
        "headers": {"Authorization": f"Bearer sk-{order.key}"},
        "port": port,
        "body": order.body,
        "connections": 16,
        "seconds": seconds,
        "status": order.status,
    }
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(whole).encode(),
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    result = json.loads(ran.stdout)
    if result["bad"] or not result["good"]:
        raise RuntimeError(f"{order}: {result}")
    return int(result["good"])


def visit(at: Gateway, order: Visit, seconds: float) -> float:
    """Return the CPU microseconds of one answer."""
    before = cpu_seconds(tree(at.process.pid))
    try:
        good = answers(at.port, order, seconds)
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{at.log[-2000:]}") from error
    return (cpu_seconds(tree(at.process.pid)) - before) * 1e6 / good


@contextmanager
def gateways() -> Iterator[dict[bool, Gateway]]:
    """Run a gateway with the call log on and one without, before the same provider."""
    port = free_port()
    provider = subprocess.Popen([sys.executable, "-m", "benchmarks.provider", str(port)], cwd=ROOT)
    try:
        time.sleep(0.5)
        with ExitStack() as stack:
            env = {
                "OPENAI_API_KEY": "upstream",
                "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
                "WEB_CONCURRENCY": "1",
            }
            yield {
                log: stack.enter_context(
                    running_gateway({**env, "SLUICE_CALL_LOG": "on" if log else "off"}, config=CONFIG)
                )
                for log in (True, False)
            }
    finally:
        provider.kill()
        provider.wait()


def look() -> float:
    """Return the CPU milliseconds of a look for the nearest of 2,000 vectors of 1,536 numbers."""
    chance, vectors = random.Random(1), Vectors()
    for number in range(NEWEST):
        vectors.add("group", str(number), [chance.gauss() for _ in range(1_536)])
    asked, times = [chance.gauss() for _ in range(1_536)], []
    for _ in range(100):
        before = time.process_time()
        vectors.near("group", asked, 0.8)
        times.append((time.process_time() - before) * 1000)
    return statistics.median(times)


def main() -> int:
    """Measure, and print each ratio with its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one visit")
    options = parser.parse_args()
    costs: dict[str, list[float]] = defaultdict(list)
    with gateways() as running:
        for name in VISITS:  # connections, schemas and the cache's answer
            visit(running[VISITS[name].log], VISITS[name], 0.3)
        for _ in range(options.rounds):
            for name, order in VISITS.items():
                costs[name].append(visit(running[order.log], order, options.seconds))
    for name, values in costs.items():
        print(f"{name:22} {statistics.median(values):7.0f} µs of CPU  [{min(values):.0f}..{max(values):.0f}]")
    for name, other, bound in GOALS:
        ratio = statistics.median(costs[name]) / statistics.median(costs[other])
        print(f"{name} against {other}: ×{ratio:.2f}, goal ×{bound}")
    print(f"a look among {NEWEST:,} vectors: {look():.2f} ms of CPU, goal {LOOK:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
