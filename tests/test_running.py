"""What ``python -m tests`` makes of failures: a few get a second try, alone; many do not, and a crash is one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from tests import __main__ as runs

SUMMARY = """\
FAILED tests/wire/test_x.py::test_plain - assert 1 == 2
FAILED tests/wire/test_x.py::test_cases[a - b] - KeyError: '[c] - d'
ERROR tests/wire/test_y.py::TestMachine::runTest
"""


def test_the_summary_names_what_failed() -> None:
    assert runs.FAILED.findall(SUMMARY) == [
        "tests/wire/test_x.py::test_plain",
        "tests/wire/test_x.py::test_cases[a - b]",
        "tests/wire/test_y.py::TestMachine::runTest",
    ]


@pytest.mark.parametrize(
    ("failed", "codes", "passes"),
    [(["a"], [0], True), (["a", "b"], [0, 1], False), (["a", "b", "c"], [0, 0, 0], False), ([], [], False)],
)
def test_a_few_failures_get_a_second_try(
    failed: list[str], codes: list[int], passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(codes)
    monkeypatch.setattr(
        runs, "run_group", lambda paths: subprocess.CompletedProcess(list(paths), next(left), "said\n")
    )
    assert runs.passes_alone([[test] for test in failed]) is passes


@pytest.mark.parametrize(("again", "code"), [(0, 0), (-6, 1), (1, 1)])
def test_a_group_that_a_signal_ends_is_run_again_and_never_passes_unseen(
    again: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([0, -6, again])
    ran: list[Sequence[str]] = []

    def run_group(paths: Sequence[str]) -> subprocess.CompletedProcess[str]:
        ran.append(paths)
        command = [*runs.PYTEST, "-p", runs.NO_CACHE, *paths]
        return subprocess.CompletedProcess(command, next(left), "...Fatal Python error: Aborted\n")

    monkeypatch.setattr(runs, "run_group", run_group)
    monkeypatch.setattr(runs, "SIDE_BY_SIDE", 1)
    assert runs.run([["tests/a"], ["tests/b", "tests/c"]]) == code
    assert ran == [["tests/a"], ["tests/b", "tests/c"], ["tests/b", "tests/c"]]
