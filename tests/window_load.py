"""``make window-load``: the window over a million calls, by the server's own time for each page.

A folder of a database is filled with calls of thirty days, or PostgreSQL where ``--postgres`` names one; then each page
is asked for over HTTP: the shortest and the median of five answers are printed, and the CPU of the server for one. Exit
code 1 where the median of one is longer than ``MOST_MS``; on a machine that is busy otherwise the CPU tells more.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import http.client  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Final  # noqa: E402
from urllib.parse import urlencode  # noqa: E402

from sqlalchemy import text  # noqa: E402

from app.state import rollups  # noqa: E402
from app.state.state import open_state  # noqa: E402
from tests.behaviour.world import World, running_world, whole  # noqa: E402
from tests.lifecycle.house import children_of  # noqa: E402

MOST_MS: Final = 300.0
_MASTER: Final = "master-of-a-million"
_DAY: Final = 86_400
_DAYS: Final = 30
_BATCH: Final = 5_000
_TIMES: Final = 5
_TARGETS: Final = (
    *(("openai", f"gpt-{number}") for number in range(6)),
    *(("anthropic", f"claude-{number}") for number in range(4)),
    *(("groq", f"llama-{number}") for number in range(2)),
)
_TYPES: Final = ("chat_completion", "chat_completion_stream", "responses", "responses_stream", "embedding")
PAGES: Final = (
    "/ui",
    "/ui?span=7d",
    "/ui?span=30d",
    "/ui?span=30d&by=model",
    "/ui?span=7d&by=key",
    "/ui/overview/figures?span=30d",
    "/ui/calls",
    "/ui/calls?tenant=team-3&status=429",
    "/ui/calls?model=nobody",
    "/ui/calls?key=key-7&model=gpt-1&provider=openai",
    "/ui/calls?id=req_nobody",
    "/ui/calls?id=resp_nobody",
    "/ui/calls/newest",
    "/ui/background",
    "/ui/providers",
    "/ui/responses",
    "/ui/models",
    "/ui/keys",
    "/ui/playground",
    "/ui/settings",
)


def rows(count: int, now: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield calls over the days before ``now``, the oldest first; few keys make most of them."""
    for number in range(count):
        provider, model = chance.choice(_TARGETS)
        key = min(39, int(chance.expovariate(1 / 6)))
        kind = chance.choice(_TYPES)
        latency = round(900 * chance.lognormvariate(0, 0.6))
        status = 200 if chance.random() > 0.03 else chance.choice((400, 429, 502))
        yield {
            **dict.fromkeys(("finish_reason", "cost_details", "queued", "user")),
            "id": f"call_{number:048x}",
            "object": "call",
            "created_at": now - _DAYS * _DAY + number * _DAYS * _DAY // count,
            "request_id": f"req_{number:032x}",
            "tenant": f"team-{key % 8}",
            "key": f"key-{key}",
            "door": "unified",
            "request_type": kind,
            "model_requested": f"{provider}/{model}",
            "model": model,
            "provider": provider,
            "provider_key": "default",
            "status": status,
            "error_code": None if status == 200 else "server_error",
            "usage": {
                "input_tokens": chance.randrange(50, 4_000),
                "output_tokens": chance.randrange(10, 900),
            },
            "cost": chance.random() / 100,
            "latency": latency,
            "first_content": latency // 3 if kind.endswith("stream") else None,
            "attempts": [
                {
                    "provider": provider,
                    "model": model,
                    "key": "default",
                    "status": status,
                    "error": None,
                    "latency": latency,
                }
            ],
            "cache": "hit" if chance.random() < 0.1 else "miss",
            "warnings": 0,
            "metadata": {},
            "response_id": f"resp_{number:048x}" if kind.startswith("responses") else None,
        }


def fill(database: str, count: int) -> None:
    """Write so many calls, and what a gateway would make of them meanwhile."""
    state = open_state(database, {"SLUICE_SECRET_KEY": "a secret of a million calls"})
    some: list[dict[str, Any]] = []
    for row in rows(count, int(time.time()), random.Random(12)):
        some.append(row)
        if len(some) == _BATCH:
            state.call_log.write(some)
            some.clear()
    if some:
        state.call_log.write(some)
    begun = time.perf_counter()
    if state.db.is_postgres:  # its planner goes by statistics, which autovacuum gathers where it is on
        state.db.write(lambda connection: connection.execute(text("ANALYZE")))
    periods = rollups.pending(state.db, time.time())
    for period in periods:
        rollups.roll_up(state.db, period)
    print(f"{len(periods)} hours and days rolled up in {time.perf_counter() - begun:.0f} s", flush=True)
    state.stop()


class Visitor:
    """An administrator with a cookie."""

    def __init__(self, world: World) -> None:
        self._port = world.gateway.port
        self._cookie = ""
        fields = urlencode({"key": _MASTER})
        answer, _ = self.ask(
            "POST", "/ui/login", fields, {"content-type": "application/x-www-form-urlencoded"}
        )
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    def ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Return the answer, and the milliseconds it took."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        try:
            begun = time.perf_counter()
            connection.request(method, path, body, {"cookie": self._cookie, **(headers or {})})
            answer = whole(connection.getresponse())
            return answer, (time.perf_counter() - begun) * 1_000
        finally:
            connection.close()


def measure(world: World) -> dict[str, float]:
    """Return the milliseconds of each page."""
    visitor = Visitor(world)
    found = {}
    newest = visitor.ask("GET", "/admin/calls?limit=1")[0].json["data"][0]["id"]
    for path in (*PAGES, f"/ui/calls/{newest}"):
        times, before = [], _cpu(world)
        for _ in range(_TIMES):
            answer, took = visitor.ask("GET", path)
            assert answer.status == 200, (path, answer.status)
            times.append(took)
        found[path] = statistics.median(times)
        cpu = (_cpu(world) - before) / _TIMES
        print(f"{min(times):8.1f} {found[path]:8.1f} ms, CPU {cpu:6.1f} ms  {path}", flush=True)
    return found


def _cpu(world: World) -> float:
    """Return the milliseconds of CPU that the server's processes took so far."""
    spent = 0
    for pid in (world.gateway.process.pid, *children_of(world.gateway.process)):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent * 1_000 / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Fill, measure, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--postgres", metavar="URL", help="an empty database instead of SQLite")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-window-"))
        database = arguments.postgres or f"sqlite:///{folder}/sluice.db"
        begun = time.perf_counter()
        fill(database, arguments.calls)
        print(f"{arguments.calls} calls written in {time.perf_counter() - begun:.0f} s", flush=True)
        env = {
            "DATABASE_URL": database,
            "SLUICE_MASTER_KEY": _MASTER,
            "SLUICE_SECRET_KEY": "a secret of a million calls",
            "SLUICE_LOG_ROWS": str(2 * arguments.calls),
        }
        found = measure(stack.enter_context(running_world(env)))
    slow = [path for path, took in found.items() if took > MOST_MS]
    print(f"{len(slow)} of {len(found)} pages take longer than {MOST_MS:.0f} ms")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
