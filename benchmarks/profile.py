"""Where the CPU time of a chat answer goes: ``python -m benchmarks.profile [SECONDS]``.

py-spy (``pip install py-spy``) samples a worker under the load of ``make bench``. Each sample of the main thread counts for
the part of its innermost frame that a row of ``PARTS`` names. The microseconds are that share of the thread's CPU time for an
answer, measured while nothing samples.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.meter import cpu_seconds, main_thread_seconds
from benchmarks.run import CHAT, CHAT_BODY, scene

_SPY: Final = shutil.which("py-spy") or "py-spy"
_THREADS: Final = "the other threads: rows into SQLite"
# The first row whose beginning a file or a function of the frame has. Files are those of py-spy: below a package's folder.
PARTS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("sockets: receive and send", ("gevent/_socket",)),
    ("Flask and Werkzeug", ("flask/", "werkzeug/", "app/surfaces/minimal_flask", "app/surfaces/context")),
    (
        "the worker and the hub: head in, environ, head out, loop",
        ("app/server/", "gunicorn/", "gevent/", "gunicorn.conf"),
    ),
    ("log line", ("app/gateway/layers/log", "app/wire/line_writer", "app/gateway/console", "logging/")),
    (
        "rows of the call log and the ledger, metrics",
        (
            *("app/gateway/layers/call_log", "app/gateway/row_queue", "app/gateway/budgets", "app/state/"),
            *("app/gateway/layers/metrics", "app/gateway/layers/budgets", "app/gateway/metric"),
        ),
    ),
    ("limits", ("app/gateway/limits", "app/gateway/layers/limits", "app/gateway/layers/provider_limits")),
    ("cost", ("app/gateway/cost", "app/gateway/pricebook", "app/gateway/catalogue")),
    (
        "HTTP to the provider",
        ("app/wire/", "app/gateway/upstreams", "app/providers/"),
    ),
    ("the client's body: read, parsed, checked", ("app/surfaces/body", "marshmallow/")),
    ("dialects: the body that goes out, the answer read", ("app/dialects/", "app/canonical/")),
    ("key, view, call, envelope and headers of the answer", ("app/surfaces/",)),
    ("driver, run, layers, attempt, outcome, routing", ("app/gateway/", "app/operations", "app/errors")),
)


def part_of(stack: Sequence[str]) -> str:
    """Return the part of one sample, whose frames are ``function (file:line)``, the innermost last."""
    for frame in reversed(stack):
        file = frame.rpartition("(")[2]
        for name, beginnings in PARTS:
            if file.startswith(beginnings):
                return name
    return "other"


def samples(worker: int, folder: Path, seconds: int) -> Counter[str]:
    """Return how many samples of the main thread each part has; what sleeps has none."""
    file = folder / "samples.txt"
    command = (
        _SPY,
        "record",
        "--pid",
        str(worker),
        "--duration",
        str(seconds),
        "--rate",
        "1000",
        "--threads",
    )
    subprocess.run([*command, "--format", "raw", "--output", str(file)], check=True, capture_output=True)
    counts: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, number = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if f"({worker})" in thread:
            counts[part_of(frames)] += int(number)
    return counts


def main(seconds: int = 20) -> int:
    """Print the parts of a chat answer."""
    with scene(frozenset({"ours"})) as (bench, (at,)):
        order = {"connections": 16, "seconds": float(seconds)}
        worker = at.pids[-1]
        bench.load(at, CHAT, CHAT_BODY, **order)
        all_before, main_before = cpu_seconds([worker]), main_thread_seconds(worker)
        good = bench.load(at, CHAT, CHAT_BODY, **order)["good"]
        main_thread = (main_thread_seconds(worker) - main_before) * 1e6 / good
        threads = (cpu_seconds([worker]) - all_before) * 1e6 / good - main_thread
        load = bench.start(at, CHAT, CHAT_BODY, **order)
        counts = samples(worker, bench.folder, seconds - 1)
        load.communicate()
    parts = Counter({part: main_thread * number / counts.total() for part, number in counts.items()})
    parts[_THREADS] = threads
    print(
        f"{parts.total():.0f} µs of CPU for a chat answer, {counts.total()} samples\n\n| part | µs |\n|---|---|"
    )
    for part, time in parts.most_common():
        print(f"| {part} | {time:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
