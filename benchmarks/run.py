"""Measure the gateway beside a plain stack and peers, all in one run: ``make bench``.

The targets run on one core, provider and load on another. Targets are visited in turn,
round by round, so that a busy machine hits all alike; the figure to trust is CPU time, and
the figure to quote is the ratio to another target of the same run. ``--gate`` is the short
form for CI: ours against the pooled plain stack, exit 1 past the bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.meter import cpu_seconds, memory_mib, process_seconds
from benchmarks.targets import ROOT, Running, Target, free_port, running, targets

GATE: Final = {"chat": 0.48, "stream": 1.2}
"""How much CPU ours may take for what the pooled plain stack takes 1 for. The row that each call leaves in
the call log, which the plain stack has not, is among what ours does."""

CHAT: Final = "/v1/chat/completions"
_PROMPT: Final = "Tell me in three hundred tokens how a gateway keeps each request short and plain."
CHAT_BODY: Final = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant that answers in plain words."},
        {"role": "user", "content": _PROMPT},
    ],
    "temperature": 0.7,
    "max_tokens": 400,
}
_STREAMS: Final = 25
_CROWD: Final = 500
_HELD: Final = 200
_STARTS: Final = 3
_SETTLED: Final = 12.0
"""Seconds after its start in which a target still prepares: ours joins its pages after ten."""
_QUIET: Final = 2.0
"""Seconds after the last request in which a target still writes what it left."""

Results = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Bench:
    """The cores, the length of a visit in seconds and of a stream in chunks, and where logs go."""

    gateway_cpu: int
    load_cpu: int
    seconds: float
    chunks: int
    folder: Path

    def load(self, at: Running, path: str, body: dict[str, Any], **order: Any) -> dict[str, Any]:
        """Put load on a target and return its result; raises for any bad answer."""
        told = self.start(at, path, body, **order).communicate()[0]
        result: dict[str, Any] = json.loads(told)
        if result["bad"] or not result["good"]:
            raise RuntimeError(f"{at.target.name}: {result}")
        return result

    def start(self, at: Running, path: str, body: dict[str, Any], **order: Any) -> subprocess.Popen[bytes]:
        """Begin to put load on a target."""
        whole = {"path": path, "headers": dict(at.target.headers), "port": at.port, **order}
        whole["body"] = {"model": at.target.model, **body}
        return _started(self.load_cpu, "benchmarks.load", given=json.dumps(whole).encode())

    def chat(self, at: Running, connections: int = 16) -> dict[str, float]:
        """Return the CPU microseconds of one whole chat answer."""
        return self._whole(at, CHAT, CHAT_BODY, "chat", connections)

    def alone(self, at: Running) -> dict[str, float]:
        """Return the milliseconds that one request alone takes."""
        order = {"connections": 1, "seconds": self.seconds}
        return {"latency": self.load(at, CHAT, CHAT_BODY, **order)["wait_ms"]}

    def responses(self, at: Running) -> dict[str, float]:
        """Return the CPU microseconds of Responses calls, stored and not, and of a translated chat."""
        if not at.target.responses:
            return {}
        stateless = self._whole(at, "/v1/responses", {"input": _PROMPT, "store": False}, "responses", 16)
        stored = self._whole(at, "/v1/responses", {"input": _PROMPT}, "responses_stored", 16)
        groq = {**CHAT_BODY, "model": "groq/llama-3.3-70b-versatile"}
        return stateless | stored | self._whole(at, CHAT, groq, "chat_translated", 16)

    def stream(self, at: Running) -> dict[str, float]:
        """Return the CPU microseconds of one chunk and the milliseconds to the first; those of a Responses chunk, too."""
        cost, wait = self._flow(at, _STREAMS, streamed(self.chunks, 20), self.chunks)
        figures = {"stream": cost, "first_byte": wait}
        if at.target.responses:
            body = {"input": _ordered(self.chunks, 20), "stream": True, "store": False}
            figures["responses_stream"], _ = self._flow(at, _STREAMS, body, self.chunks, "/v1/responses")
        return figures

    def crowd(self, at: Running) -> dict[str, float]:
        """Return what ``stream`` does for very many streams, which bring a fifth of the chunks a second."""
        if not at.target.crowds:
            return {}
        cost, wait = self._flow(at, _CROWD, streamed(40, 100), 40)
        return {"crowd": cost, "crowd_first": wait}

    def held(self, at: Running) -> float:
        """Return the KiB that one open stream takes, of a target that had no streams before."""
        before = memory_mib(at.pids)
        load = self.start(at, CHAT, streamed(4, 1500), connections=_HELD, chunks=4)
        time.sleep(3.5)
        open_now = memory_mib(at.pids)
        load.communicate()
        return (open_now - before) * 1024 / _HELD

    @staticmethod
    def rest(running_targets: list[Running], seconds: float = 10.0) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the CPU microseconds that each target takes in a second without a request, and its workers alone.

        Loops that look every ten seconds have their turn in so long a time."""
        youngest = max(at.since for at in running_targets)
        time.sleep(max(youngest + _SETTLED - time.monotonic(), _QUIET))
        before = [(cpu_seconds(at.pids), process_seconds(at.pid)) for at in running_targets]
        time.sleep(seconds)
        for at, (everyone, first) in zip(running_targets, before, strict=True):
            used = cpu_seconds(at.pids) - everyone
            figures = {"rest": used * 1e6 / seconds}
            if len(at.pids) > 1:
                figures["rest_workers"] = (used - process_seconds(at.pid) + first) * 1e6 / seconds
            yield at.target.name, figures

    def starts(self, target: Target) -> list[float]:
        """Return the seconds to the first answer of some starts of one more of the target, whose files are compiled,
        read and, where it has a database, there."""
        seconds = []
        for _ in range(_STARTS):
            with running(target, self.folder, self.gateway_cpu) as at:
                seconds.append(at.started)
        return seconds

    def _flow(
        self, at: Running, streams: int, body: dict[str, Any], chunks: int, path: str = CHAT
    ) -> tuple[float, float]:
        before = cpu_seconds(at.pids)
        result = self.load(at, path, body, connections=streams, chunks=chunks)
        return (cpu_seconds(at.pids) - before) * 1e6 / result["chunks"], result["wait_ms"]

    def _whole(
        self, at: Running, path: str, body: dict[str, Any], name: str, connections: int
    ) -> dict[str, float]:
        before = cpu_seconds(at.pids)
        result = self.load(at, path, body, connections=connections, seconds=self.seconds)
        return {name: (cpu_seconds(at.pids) - before) * 1e6 / result["good"]}


def streamed(chunks: int, pause: int) -> dict[str, Any]:
    """Return what asks for a stream of so many chunks, so many milliseconds apart."""
    messages = [{"role": "user", "content": _ordered(chunks, pause)}]
    return {**CHAT_BODY, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}


def _ordered(chunks: int, pause: int) -> str:
    """Return the prompt that orders a stream of the provider (``benchmarks.provider``)."""
    return f"bench n={chunks} d={pause} {_PROMPT}"


def _started(cpu: int, module: str, *arguments: str, given: bytes = b"") -> subprocess.Popen[bytes]:
    command = ["taskset", "-c", str(cpu), sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdin is not None and given:
        process.stdin.write(given)
        process.stdin.close()
        process.stdin = None
    return process


@contextmanager
def _provider(cpu: int) -> Iterator[str]:
    port = free_port()
    process = _started(cpu, "benchmarks.provider", str(port))
    time.sleep(0.5)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@contextmanager
def scene(
    names: frozenset[str], seconds: float = 2.0, chunks: int = 100, workers: int = 1
) -> Iterator[tuple[Bench, list[Running]]]:
    """Run provider and targets, ours with so many ``workers``; ``names`` empty means all that are here."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        bench = Bench(cores[0], cores[-1], seconds, chunks, folder)
        upstream = stack.enter_context(_provider(bench.load_cpu))
        chosen = [t for t in targets(upstream, folder, workers) if not names or t.name in names]
        at = [stack.enter_context(running(t, folder, bench.gateway_cpu)) for t in chosen]
        time.sleep(1.0)  # what starts beside the first request has started
        yield bench, at


def measure(
    rounds: int,
    seconds: float,
    names: frozenset[str],
    tests: tuple[str, ...],
    chunks: int = 100,
    whole: bool = False,
) -> Results:
    """Return the figures of every target: name of the figure -> one value a round; ``whole``: of rest and starts, too."""
    results: Results = defaultdict(lambda: defaultdict(list))
    with scene(names, seconds, chunks) as (bench, running_targets):
        for at in running_targets:
            results[at.target.name]["idle"].append(memory_mib(at.pids))
            bench.load(at, CHAT, CHAT_BODY, connections=16, seconds=0.5)
            if whole:
                results[at.target.name]["held"].append(bench.held(at))
        for _ in range(rounds):
            for name, figures in bench.rest(running_targets) if whole else ():
                for figure, value in figures.items():
                    results[name][figure].append(value)
            for test in tests:
                for at in running_targets:
                    run: Callable[[Running], dict[str, float]] = getattr(bench, test)
                    for figure, value in run(at).items():
                        results[at.target.name][figure].append(value)
        for at in running_targets if whole else ():
            results[at.target.name]["start"] = bench.starts(at.target)
    return results


_FIGURES: Final = {
    "chat": "CPU of a chat answer, µs",
    "chat_translated": "CPU of a translated chat answer, µs",
    "responses": "CPU of a Responses answer, not stored, µs",
    "responses_stored": "CPU of a Responses answer, stored, µs",
    "stream": "CPU of a stream's chunk, µs",
    "responses_stream": "CPU of a Responses stream's chunk, µs",
    "crowd": f"{_CROWD} streams: CPU of a chunk, µs",
    "latency": "one request alone, ms",
    "first_byte": f"first content of {_STREAMS} streams, ms",
    "crowd_first": f"first content of {_CROWD} streams, ms",
    "rest": "CPU of a second without a request, µs",
    "rest_workers": "of it the workers', µs",
    "held": "memory of an open stream, KiB",
    "idle": "memory, idle, MiB",
    "start": "start to first answer, s",
}


def _print_table(results: Results) -> None:
    names = list(results)
    print(f"| figure | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for figure, words in _FIGURES.items():
        ours = results["ours"].get(figure)
        if ours:
            cells = [_cell(results[name].get(figure), ours) for name in names]
            print(f"| {words} | {' | '.join(cells)} |")


def _cell(values: list[float] | None, ours: list[float]) -> str:
    """Return the median with its spread, and how many times ours it is."""
    if not values:
        return "–"
    median = statistics.median(values)
    spread = f" [{min(values):.3g}..{max(values):.3g}]" if len(values) > 1 else ""
    times = "" if values is ours else f", {median / statistics.median(ours):.2g}×"
    return f"{median:.3g}{spread}{times}"


def gate(measurements: int = 4) -> dict[str, float]:
    """Return the best of ours in parts of the pooled plain stack, by figure of ``GATE``.

    A busy machine can only make a ratio worse, so another measurement follows while a bound is not kept.
    """
    best = dict.fromkeys(GATE, float("inf"))
    for _ in range(measurements):
        best = {figure: min(ratio, best[figure]) for figure, ratio in _ratios().items()}
        if all(best[figure] <= bound for figure, bound in GATE.items()):
            break
    return best


def _ratios() -> dict[str, float]:
    results = measure(3, 0.5, frozenset({"ours", "pooled"}), ("chat", "stream"), chunks=40)
    return {
        figure: min(a / b for a, b in zip(results["ours"][figure], results["pooled"][figure], strict=True))
        for figure in GATE
    }


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one visit")
    parser.add_argument("--only", default="", help="names of targets, with commas")
    parser.add_argument(
        "--tests", default="", help="chat, alone, responses, stream, crowd, with commas; all by default"
    )
    options = parser.parse_args()
    if options.gate:
        found = gate()
        for figure, bound in GATE.items():
            print(f"{_FIGURES[figure]}: {found[figure]:.2f} of the plain stack's, bound {bound}")
        return int(any(found[figure] > bound for figure, bound in GATE.items()))
    names = frozenset(filter(None, options.only.split(",")))
    tests = tuple(filter(None, options.tests.split(","))) or ("chat", "alone", "responses", "stream", "crowd")
    _print_table(measure(options.rounds, options.seconds, names, tests, whole=not options.tests))
    return 0


if __name__ == "__main__":
    sys.exit(main())
