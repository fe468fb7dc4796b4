"""CPU and memory of a tree of processes, by the kernel's counts (Linux)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return ``pid`` and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Return the user and system time that processes ever took, with that of their threads and children that ended.

    Processes and threads count to the nanosecond, children that ended to a hundredth of a second.
    """
    return sum(process_seconds(pid) + _seconds_of_ended_children(pid) for pid in pids)


def process_seconds(pid: int) -> float:
    """Return the time of one process's CPU clock (clock_getcpuclockid(3)): of its threads, those that ended, too."""
    return time.clock_gettime((~pid << 3) | 2)


def main_thread_seconds(pid: int) -> float:
    """Return the user and system time of a process's main thread, to the nanosecond."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def memory_mib(pids: list[int]) -> float:
    """Return the proportional set size: shared pages count once."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _seconds_of_ended_children(pid: int) -> float:
    """Return cutime and cstime of proc_pid_stat(5), fields 16 and 17; the name, field 2, may have spaces."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[13]) + int(after_name[14])) / _TICKS
