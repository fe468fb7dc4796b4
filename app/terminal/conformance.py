"""``sluice conformance URL``: checks whether a server conforms to the contract; prints a table or JSON.

Exit codes: 0 if nothing failed, 1 if a check failed, 2 if the server could not be asked.
Tests: tests/terminal/test_conformance.py.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final
from urllib.parse import urlsplit

from app.conformance.checks import Result
from app.conformance.checks import run as run_checks
from app.conformance.client import Client, Violation
from app.terminal.output import Refusal
from app.terminal.progress import line

_FAILURE: Final = 1
KEY: Final = "SLUICE_KEY"
"""Environment variable for the server's key, which keeps it out of process lists."""


def run(args: argparse.Namespace) -> int:
    """Check the server, print the results and return the exit code."""
    if urlsplit(args.url).scheme not in ("http", "https"):
        raise Refusal("URL must begin with http:// or https://, such as http://127.0.0.1:8080/v1")
    client = Client(args.url, args.key or os.environ.get(KEY), os.environ, args.timeout)
    try:
        client.send("GET", "/models")
    except Violation as violation:
        raise Refusal(str(violation)) from violation
    results = []
    with line("asking") as progress:
        for result in run_checks(client, args.model, args.embedding_model):
            results.append(result)
            progress.update(len(results))
            if not args.json:
                progress.clear()
                print(_line(result), flush=True)
    print(_as_json(client, results) if args.json else _table(results))
    return _FAILURE if any(one.result == "fail" for one in results) else 0


def _line(result: Result) -> str:
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.result:<4}  {result.group}: {result.check}{reason}"


def _table(results: Sequence[Result]) -> str:
    """Return the sums of each group."""
    groups = list(dict.fromkeys(one.group for one in results))
    rows: list[tuple[str, ...]] = [("group", "pass", "fail", "skip")]
    for name, some in [
        *((name, [one for one in results if one.group == name]) for name in groups),
        ("all", results),
    ]:
        counts = Counter(one.result for one in some)
        rows.append((name, *(str(counts[word]) for word in rows[0][1:])))
    return "\n" + "\n".join(
        f"{name:<12}{passed:>6}{failed:>6}{skipped:>6}" for name, passed, failed, skipped in rows
    )


def _as_json(client: Client, results: Sequence[Result]) -> str:
    counts = Counter(one.result for one in results)
    report = {
        "object": "conformance",
        "url": client.base,
        "ok": not counts["fail"],
        **{word: counts[word] for word in ("pass", "fail", "skip")},
        "checks": [asdict(one) for one in results],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)
