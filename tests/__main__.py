"""``python -m tests``: all tests, in groups that run side by side; with arguments, pytest with these.

Each group is a pytest of its own in a clean environment, so that what waits (processes, clocks) does
not hold up what computes. What a group leaves out is listed once, at the end. One or two tests that fail, or groups
whose process a signal ends, are run again with nothing beside them, since many depend on a clock; the run names them,
and more are a failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from tests.environment import clean

ROOT: Final = Path(__file__).resolve().parent.parent


def paths_of(pattern: str) -> list[str]:
    """Return the paths of the tests that a pattern names."""
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob(pattern))]


PYTEST: Final = [sys.executable, "-m", "pytest"]
SIDE_BY_SIDE: Final = 8  # of two cores: a group computes for a third of its time, and else waits
COUNT: Final = re.compile(r"(\d+) (passed|failed|error|skipped)")
SECOND_TRIES: Final = 2
NO_CACHE: Final = "no:cacheprovider"
FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?\.py::[\w:]+(?:\[.*?\])?)(?: - .*)?$", re.MULTILINE)
SKIPPED: Final = re.compile(r"^SKIPPED \[(\d+)\] \S+: (.*)$", re.MULTILINE)

# No socket but a test's own, no process that stays: values in, values out.
PURE: Final[Sequence[Sequence[str]]] = (
    paths_of("dialects/test_[a-m]*.py"),
    paths_of("dialects/test_[!a-m]*.py"),
    (
        *("tests/golden", "tests/traffic", "tests/test_architecture.py", "tests/test_config.py"),
        *("tests/test_documentation.py", "tests/test_requirements.py", "tests/providers/test_urls.py"),
        *("tests/wire/test_sse.py", "tests/wire/test_eventstream.py", "tests/wire/test_http1.py"),
        *("tests/wire/test_json.py", "tests/wire/test_paths.py"),
    ),
)
# The longest first, so that none runs alone at the end. What no group names runs in the empty one.
GROUPS: Final[Sequence[Sequence[str]]] = (
    paths_of("surfaces/test_[!b]*.py"),
    paths_of("behaviour/test_[b-f]*.py"),
    paths_of("lifecycle/test_[bn]*.py"),
    ("tests/governance",),
    paths_of("behaviour/test_[!b-f]*.py"),
    (),
    ("tests/gateway", "tests/terminal"),
    paths_of("lifecycle/test_[!bn]*.py"),
    ("tests/docs",),
    ("tests/clients",),
    ("tests/state",),
    paths_of("deploy/test_[!a-m]*.py"),
    paths_of("deploy/test_[a-m]*.py"),
    *PURE,
    ("tests/surfaces/test_browser.py",),  # its browser's greenlets and nobody else's
    ("tests/replay",),
)


def main(arguments: Sequence[str]) -> int:
    """Run everything, the pure tests (``--pure``), or what pytest makes of the arguments."""
    os.chdir(ROOT)
    if arguments and arguments[0] != "--pure":
        os.execve(sys.executable, [*PYTEST, *arguments], clean(os.environ))
    groups = PURE if arguments else [list(paths or others()) for paths in GROUPS]
    return run(groups)


def others() -> Iterator[str]:
    """Yield the test files that no group names."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        path = file.relative_to(ROOT)
        if not any(path.is_relative_to(place) for group in GROUPS for place in group):
            yield str(path)


def run(groups: Sequence[Sequence[str]]) -> int:
    """Run the groups side by side, print each as it ends, then what was left out and the sum."""
    codes: set[int] = set()
    failed: list[Sequence[str]] = []
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for group in as_completed([pool.submit(run_group, paths) for paths in groups]):
            done = group.result()
            codes.add(done.returncode)
            failed += failures_of(done)
            counts += Counter({word: int(number) for number, word in COUNT.findall(_last_line(done.stdout))})
            for number, reason in SKIPPED.findall(done.stdout):
                reasons[reason] += int(number)
            print("\n".join([f"== {_title(done.args)}", *_report(done)]), flush=True)
    for reason, number in reasons.most_common():
        print(f"left out: {number} because {reason}")
    print(
        f"{counts['passed']} passed, {counts['failed'] + counts['error']} failed, {counts['skipped']} skipped"
    )
    if codes == {0}:
        return 0
    return 0 if max(codes) <= 1 and passes_alone(failed) else 1


def failures_of(done: subprocess.CompletedProcess[str]) -> list[Sequence[str]]:
    """Return the paths to run again: each test that failed, or the whole group where a signal ended its process."""
    if done.returncode < 0:
        return [done.args[done.args.index(NO_CACHE) + 1 :]]
    return [[test] for test in FAILED.findall(done.stdout)]


def passes_alone(failed: Sequence[Sequence[str]]) -> bool:
    """Return whether a few failed tests or groups pass when nothing runs beside them; print each."""
    if not 0 < len(failed) <= SECOND_TRIES:
        return False
    tries = [run_group(paths) for paths in failed]
    for done in tries:
        print("\n".join([f"== {_title(done.args)}, a second time, alone", *_report(done)]), flush=True)
    return all(done.returncode == 0 for done in tries)


def run_group(paths: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run pytest over some paths to its end, its output kept."""
    command = [*PYTEST, "--color=no", "-p", NO_CACHE, *paths]
    return subprocess.run(
        command,
        env=clean(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _title(arguments: Sequence[str]) -> str:
    paths = [argument for argument in arguments if argument.startswith("tests")]
    return " ".join(paths if len(paths) < 20 else [paths[0], "…", paths[-1]])


def _last_line(output: str) -> str:
    return output.rstrip().rpartition("\n")[2]


def _report(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what a reader wants of a group: all of a failure, the last line of a success."""
    if done.returncode == 0:
        return [_last_line(done.stdout)]
    return [line for line in done.stdout.splitlines() if not SKIPPED.match(line)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
