"""How costs grow: ``python -m benchmarks.growth [--rows 10000 100000] [--streams 25 500 1000] [--ended 500 5000] [--workers 1 2]``.

A store on SQLite is filled with so many stored responses and so many logged calls, by copies of one of each under ids
and moments of their own; at each size the same steps are timed, in CPU of this process, for a store that is asked
alone waits for its disk mostly. Then a gateway is asked with as many streams open, after as many streams, and with as many workers.
Figures differ from machine to machine; how they grow is what counts.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import json  # noqa: E402
import sqlite3  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Final  # noqa: E402

from app.state.ids import new_id  # noqa: E402
from app.state.state import State, open_state  # noqa: E402
from benchmarks.meter import cpu_seconds, memory_mib  # noqa: E402
from benchmarks.run import CHAT, scene, streamed  # noqa: E402
from benchmarks.state import SECRET, TENANT, take_turn  # noqa: E402

_TIMES: Final = 60
_CHUNKS: Final = 30
_AT_ONCE: Final = 100
_PAUSE: Final = 200  # milliseconds between two chunks of a stream
_SECONDS_APART: Final = 2.0  # rows of a month are a million
_OWNER: Final = {"thread": "id", "response": "id", "item": "response_id", "call_log": "id"}
"""The tables that are filled, and the column whose value each copy changes."""

_MOMENTS: Final = ("created_at", "last_used_at")


def call(**members: Any) -> dict[str, Any]:
    """Return a row of the call log."""
    usage = {"input_tokens": 42, "output_tokens": 300}
    told = {"tenant": TENANT, "key": "ann", "request_type": "chat_completion", "status": 200}
    made = {"id": new_id("call"), "created_at": time.time(), "request_id": "req", **told}
    return {**made, "provider": "openai", "model": "gpt-4o-mini", "usage": usage, "cost": 1e-4, **members}


def fill(path: Path, state: State, there: int, most: int) -> None:
    """Add the copies from ``there`` to ``most`` of one stored response and of one logged call."""
    logged = call()
    state.call_log.write([logged])
    seeds = (take_turn(state), logged["id"])
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        for table, owner in _OWNER.items():
            found = connection.execute(f"SELECT * FROM {table} WHERE {owner} IN (?, ?)", seeds).fetchall()
            for seed in map(dict, found):
                names = ", ".join(f'"{name}"' for name in seed)
                marks = ", ".join("?" * len(seed))
                rows = (_copy(seed, owner, number) for number in range(there, most))
                connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


def _copy(seed: dict[str, Any], owner: str, number: int) -> list[Any]:
    """Return a row like ``seed`` under an id of its own, which says nothing of its place among others."""
    mark = f"{number * 2654435761 % 2**32:08x}{number:012x}"
    own = f"{seed[owner][:5]}{mark}"
    row = {name: own if value == seed[owner] else value for name, value in seed.items()}
    if "item_id" in row:
        row["item_id"] = f"msg_{seed['seq']}{mark}"
    for name in _MOMENTS:
        if name in row:
            row[name] -= number * _SECONDS_APART
    return list(row.values())


def steps(state: State) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    known = take_turn(state)
    day = (time.time() - 86_400, None)
    return {
        "store a response": lambda: take_turn(state),
        "continue one": lambda: take_turn(state, known),
        "retrieve one": lambda: state.responses.get(TENANT, known),
        "a page of stored responses": lambda: state.admin_queries.responses(20, None, {}, (None, None)),
        "log 100 calls": lambda: state.call_log.write([call() for _ in range(100)]),
        "a page of calls of a model": lambda: state.call_log.page(
            20, None, {"model": "gpt-4o-mini"}, (None, None)
        ),
        "a day's sums": lambda: list(state.call_log.usage(day)),
        "a sweep that finds nothing": lambda: state.purge(365 * 86_400.0),
    }


def timed(work: Callable[[], object], times: int) -> float:
    """Return the median CPU of ``work`` in microseconds."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1e6)
    return statistics.median(taken)


def measure_store(sizes: list[int]) -> None:
    """Print what the steps cost at each size."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        path, there = Path(folder) / "bench.db", 0
        state = open_state(f"sqlite:///{path}", SECRET)
        try:
            print(f"| CPU, µs | {' | '.join(f'{size:,} rows' for size in sizes)} |")
            columns = []
            for size in sizes:
                fill(path, state, there, size)
                there = size
                columns.append({name: timed(work, _TIMES) for name, work in steps(state).items()})
                columns[-1]["file, MiB"] = path.stat().st_size / 2**20
        finally:
            state.stop()
    for name, first in columns[0].items():
        text = " | ".join(f"{column[name]:,.0f}" for column in columns)
        print(f"| {name} | {text} | ×{columns[-1][name] / first:.2f}")


def measure_streams(counts: list[int]) -> None:
    """Print what a chunk costs, how long the first takes and what a stream weighs, with so many open at once."""
    print("| streams | CPU of a chunk, µs | first content, ms | memory of one, KiB |")
    with scene(frozenset({"ours"})) as (bench, (at,)):
        bench.alone(at)
        for count in counts:
            before, used, weight = memory_mib(at.pids), cpu_seconds(at.pids), 0.0
            load = bench.start(at, CHAT, streamed(_CHUNKS, _PAUSE), connections=count, chunks=_CHUNKS)
            while load.poll() is None:
                time.sleep(0.5)
                weight = max(weight, memory_mib(at.pids) - before)
            value = json.loads(load.communicate()[0])
            if value["bad"]:
                raise RuntimeError(value["fault"])
            each = (cpu_seconds(at.pids) - used) * 1e6 / value["chunks"]
            print(f"| {count:,} | {each:.0f} | {value['wait_ms']:.0f} | {weight * 1024 / count:.0f} |")


def measure_ended(counts: list[int]) -> None:
    """Print what a gateway weighs after so many streams, 100 at once."""
    print("| streams that ended | memory, MiB |")
    with scene(frozenset({"ours"})) as (bench, (at,)):
        bench.alone(at)
        there = 0
        for count in counts:
            for _ in range(there, count, _AT_ONCE):
                bench.load(at, CHAT, streamed(_CHUNKS, 10), connections=_AT_ONCE, chunks=_CHUNKS)
            there = count
            time.sleep(1.0)  # for what is written after the answers
            print(f"| {count:,} | {memory_mib(at.pids):.1f} |", flush=True)


def measure_workers(counts: list[int], rounds: int = 7) -> None:
    """Print what a chat answer costs on so many workers, and what they weigh; all on one core, asked in turn."""
    print("| workers | CPU of a chat answer, µs | memory, MiB |")
    costs = defaultdict(list)
    with ExitStack() as stack:
        scenes = {n: stack.enter_context(scene(frozenset({"ours"}), 1.0, workers=n)) for n in counts}
        for _ in range(rounds + 1):
            for count, (bench, (at,)) in scenes.items():
                costs[count].append(bench.chat(at)["chat"])
        for count, (_, (at,)) in scenes.items():
            print(f"| {count} | {statistics.median(costs[count][1:]):.0f} | {memory_mib(at.pids):.0f} |")


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, usual in (
        ("rows", [10_000, 100_000]),
        ("streams", [25, 500, 1000]),
        ("ended", [500, 5000]),
        ("workers", [1, 2]),
    ):
        parser.add_argument(f"--{name}", type=int, nargs="*", default=usual)
    arguments = parser.parse_args()
    if arguments.streams:
        measure_streams(arguments.streams)
    if arguments.ended:
        measure_ended(arguments.ended)
    if arguments.workers:
        measure_workers(arguments.workers)
    if arguments.rows:
        measure_store(arguments.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
