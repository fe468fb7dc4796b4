"""What a fleet asks of its database and of Redis: ``python -m benchmarks.fleet [--rounds 3]``.

Two gateways over one PostgreSQL and one Redis (``SLUICE_TEST_POSTGRES_URL``, ``SLUICE_TEST_REDIS_URL``) are asked side by
side. For each kind of call: the CPU that gateways, database and Redis take for one answer, and how many cores of
gateways keep one core of the database, or of Redis, busy. Nothing else may use the two servers meanwhile. The time
that a commit waits for its disk is not CPU, and not in the figures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.governance import CONFIG, VISITS, answers
from benchmarks.meter import cpu_seconds, tree
from benchmarks.targets import ROOT, free_port
from tests.running import Gateway, running_gateway
from tests.services import new_postgres

_GATEWAYS: Final = 2
_KINDS: Final = ("limits and call log", "budget and call log", "stored", "cache hit")


@contextmanager
def fleet() -> Iterator[list[Gateway]]:
    """Run the gateways before one provider, over one database and one Redis."""
    port = free_port()
    provider = subprocess.Popen([sys.executable, "-m", "benchmarks.provider", str(port)], cwd=ROOT)
    try:
        time.sleep(0.5)
        with ExitStack() as stack:
            env = {
                "OPENAI_API_KEY": "upstream",
                "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
                "DATABASE_URL": stack.enter_context(new_postgres()),
                "REDIS_URL": os.environ["SLUICE_TEST_REDIS_URL"],
                "SLUICE_SECRET_KEY": "a benchmark's own",
                "WEB_CONCURRENCY": "1",
            }
            yield [stack.enter_context(running_gateway(env, config=CONFIG)) for _ in range(_GATEWAYS)]
    finally:
        provider.kill()
        provider.wait()


def processes(name: str) -> list[int]:
    """Return the processes of this machine whose program has the name."""
    found = Path("/proc").glob("[0-9]*/comm")
    return [int(file.parent.name) for file in found if file.read_text().strip() == name]


def spent(gateways: list[Gateway]) -> dict[str, float]:
    """Return the CPU seconds of gateways, database and Redis till now."""
    groups = {
        "gateways": [pid for gateway in gateways for pid in tree(gateway.process.pid)],
        "PostgreSQL": processes("postgres"),
        "Redis": processes("redis-server"),
    }
    return {name: cpu_seconds(pids) for name, pids in groups.items()}


def measure(gateways: list[Gateway], kind: str, seconds: float) -> dict[str, float]:
    """Return the CPU microseconds of one answer, by who spends them."""
    before = spent(gateways)
    ask = partial(answers, order=VISITS[kind], seconds=seconds)
    with ThreadPoolExecutor(len(gateways)) as pool:
        good = sum(pool.map(ask, [gateway.port for gateway in gateways]))
    time.sleep(1.0)  # what is written beside the calls
    return {name: (seconds - before[name]) * 1e6 / good for name, seconds in spent(gateways).items()}


def main() -> int:
    """Measure each kind of call in turn, and print what one answer costs whom."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one visit")
    options = parser.parse_args()
    costs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with fleet() as gateways:
        for kind in _KINDS:
            measure(gateways, kind, 0.5)
        for _ in range(options.rounds):
            for kind in _KINDS:
                for name, cost in measure(gateways, kind, options.seconds).items():
                    costs[kind][name].append(cost)
    for kind, by_name in costs.items():
        gateway, database, redis = (statistics.median(values) for values in by_name.values())
        print(
            f"{kind:20} {gateway:6.0f} µs gateways, {database:6.0f} µs PostgreSQL, {redis:4.0f} µs Redis: one core of"
            f" PostgreSQL for {gateway / database:.1f} of gateways, one of Redis for {gateway / redis:.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
