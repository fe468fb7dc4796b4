"""What state costs: ``python benchmarks/state.py [--database URL] [--seconds 5]``.

Measured on the store itself, without HTTP: stored responses a second (written ahead, ended, acknowledged after
the commit), and a chain's 200th turn against its 2nd, in time to read its history and to store it, and in bytes
stored. The same with contents sealed. Then through a gateway: responses a second with ``store`` true and false, and with budgets. Times differ from machine to
machine; the ratios are what counts. ``--database`` names an empty PostgreSQL database; without it, a SQLite file.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import http.client  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from sqlalchemy import Connection, func, select  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.state.ids import RESPONSE, new_id  # noqa: E402
from app.state.records import Ending, NewResponse  # noqa: E402
from app.state.state import State, open_state  # noqa: E402
from app.state.tables import item, response  # noqa: E402
from tests.running import running_gateway  # noqa: E402

TENANT = "bench"
SECRET = {"SLUICE_SECRET_KEY": "a benchmark's own"}
CALLERS = 16
TURNS = 200
WORDS = "a sentence of some words, so that a turn has the size of a turn. " * 8


def snapshot(response_id: str, status: str) -> dict[str, Any]:
    """Return a response object of common size, without output."""
    echo: dict[str, Any] = {
        "instructions": None,
        "metadata": {},
        "tools": [],
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
    }
    return {
        "id": response_id,
        "object": "response",
        "status": status,
        "created_at": 1,
        "model": "bench",
        **echo,
    }


def take_turn(state: State, parent: str | None = None) -> str:
    """Store one turn as a synchronous call does: history read, row ahead, end; return its id."""
    messages = [{"type": "message", "role": "user", "content": WORDS}]
    expansion = state.history.expand(TENANT, messages, previous_response_id=parent)
    response_id = new_id(RESPONSE)
    new = NewResponse(
        id=response_id,
        tenant=TENANT,
        object=snapshot(response_id, "in_progress"),
        input=expansion.own,
        parent_id=parent,
    )
    fence = state.responses.create(new)
    part = {"type": "output_text", "text": WORDS, "annotations": [], "logprobs": []}
    message = {"type": "message", "status": "completed", "role": "assistant", "content": [part]}
    ended = {**snapshot(response_id, "completed"), "output": [{"id": new_id("msg"), **message}]}
    assert state.responses.finish(TENANT, response_id, fence, Ending("completed", ended))
    return response_id


def rate(work: Callable[[], object], seconds: float) -> float:
    """Return how often a second ``CALLERS`` greenlets together can do ``work``."""
    limit = time.monotonic() + seconds

    def call() -> int:
        done = 0
        while time.monotonic() < limit:
            work()
            done += 1
        return done

    began = time.monotonic()
    callers = [gevent.spawn(call) for _ in range(CALLERS)]
    gevent.joinall(callers, raise_error=True)
    return float(sum(int(caller.get() or 0) for caller in callers)) / (time.monotonic() - began)


def timed(work: Callable[[], object], times: int = 15) -> float:
    """Return the median of what ``work`` takes, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def bytes_of(state: State, response_id: str) -> int:
    """Return what one turn takes in the tables: its items and its row's JSON."""
    items: Any = select(func.sum(func.length(item.c.body))).where(item.c.response_id == response_id)
    row: Any = select(func.length(response.c.object)).where(response.c.id == response_id)

    def total(connection: Connection) -> int:
        return sum(int(connection.execute(one).scalar() or 0) for one in (items, row))

    return state.db.read(total)


def chain(state: State) -> dict[str, tuple[float, float]]:
    """Return what the 2nd and the 200th turn of a chain cost."""
    ids = [take_turn(state)]
    while len(ids) < TURNS:
        ids.append(take_turn(state, ids[-1]))

    def reading(turn: int) -> float:
        return timed(lambda: state.history.expand(TENANT, [], previous_response_id=ids[turn - 2]))

    def whole(turn: int) -> float:
        return timed(lambda: take_turn(state, ids[turn - 2]))

    return {
        "read its history, ms": (reading(2), reading(TURNS)),
        "read and store, ms": (whole(2), whole(TURNS)),
        "bytes stored": (float(bytes_of(state, ids[1])), float(bytes_of(state, ids[-1]))),
    }


BUDGETED = """
[providers.sandbox.options]
words_per_second = 0
[providers.sandbox.prices]
echo = { input = 1, output = 1 }
[keys.plain]
key = "sk-plain"
[keys.rich]
key = "sk-rich"
budgets = [{ usd = 1000000, per = "month" }]
[tenants.rich]
budgets = [{ usd = 1000000, per = "day" }]
"""


def through_gateway(database_url: str, seconds: float) -> tuple[float, float, float]:
    """Return responses a second of one gateway process: stored, not stored, and those within budgets of key and tenant."""
    config = BUDGETED
    with running_gateway({"DATABASE_URL": database_url, **SECRET}, config=config) as gateway:

        def asking(store: bool, key: str = "plain") -> Callable[[], object]:
            headers = {"content-type": "application/json", "authorization": f"Bearer sk-{key}"}
            body = json.dumps({"model": "sandbox/echo", "input": "say exactly: hi", "store": store})

            def ask() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
                connection.request("POST", "/v1/responses", body, headers)
                answer = connection.getresponse()
                assert answer.status == 200, answer.read()
                answer.read()
                connection.close()

            return ask

        return rate(asking(True), seconds), rate(asking(False), seconds), rate(asking(False, "rich"), seconds)


def sealed_rate(database_url: str, seconds: float) -> float:
    """Return stored responses a second where contents are sealed first."""
    state = open_state(database_url, SECRET, encrypt=True)
    try:
        return rate(lambda: take_turn(state), seconds)
    finally:
        state.stop()


def measure(database_url: str, seconds: float) -> None:
    """Print the numbers of one database."""
    state = open_state(database_url, SECRET)
    try:
        stored = rate(lambda: take_turn(state), seconds)
        costs = chain(state)
    finally:
        state.stop()
    print(f"{'PostgreSQL' if database_url.startswith('postgres') else 'SQLite'}, {CALLERS} callers")
    print(f"  stored responses a second, without HTTP   {stored:9.0f}")
    for name, (second, last) in costs.items():
        print(f"  turn 2 and turn {TURNS}: {name:22}    {second:9.1f} {last:9.1f}   ×{last / second:.1f}")
    sealed = sealed_rate(database_url, seconds)
    print(f"  the same sealed (SLUICE_ENCRYPT=on)       {sealed:9.0f}             ×{stored / sealed:.2f}")
    kept, left, rich = through_gateway(database_url, seconds)
    print(f"  through a gateway, stored and not         {kept:9.0f} {left:9.0f}   ×{left / kept:.1f}")
    print(
        f"  through a gateway, with budgets           {rich:9.0f}             ×{rich / kept:.1f} of a stored one"
    )


def main() -> int:
    """Measure one database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="an empty PostgreSQL database; without it a SQLite file")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    if arguments.database:
        measure(arguments.database, arguments.seconds)
        return 0
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        measure(f"sqlite:///{folder}/bench.db", arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
