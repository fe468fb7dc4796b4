"""What ``python -m tests`` makes of failures: a few get a second try, alone; many do not."""

from __future__ import annotations

import subprocess

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
    assert runs.passes_alone(failed) is passes
