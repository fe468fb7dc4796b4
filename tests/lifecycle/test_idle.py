"""A gateway without calls: it hardly wakes, and no worker outlives its first process."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from tests.lifecycle.house import children_of, eventually, kill
from tests.running import running_gateway

_SECONDS: Final = 4.0
_MOST: Final = 3
"""Times in so many seconds that a process may go to sleep. With a loop that wakes once a second it is more."""


def _sleeps(pid: int) -> int:
    """Return how often the main thread of a process has waited for something."""
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1])


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_gateway_without_calls_hardly_wakes() -> None:
    with running_gateway({"SLUICE_BACKGROUND": "off"}) as gateway:
        processes = [gateway.process.pid, *children_of(gateway.process)]
        counts: list[list[int]] = []
        for _ in range(8):  # the first seconds, and the looks of a half minute, have more
            before = [_sleeps(pid) for pid in processes]
            time.sleep(_SECONDS)
            counts.append([_sleeps(pid) - count for pid, count in zip(processes, before, strict=True)])
            if max(counts[-1]) <= _MOST:
                return
    raise AssertionError(f"the first process and its worker slept so often in {_SECONDS:g} s: {counts}")


def test_a_worker_ends_when_its_first_process_is_killed() -> None:
    with running_gateway({"WEB_CONCURRENCY": "2"}) as gateway:
        eventually(lambda: len(children_of(gateway.process)) == 2)
        workers = children_of(gateway.process)
        kill(gateway.process.pid)
        for worker in workers:
            assert eventually(lambda pid=worker: _is_gone(pid), True)
