"""The gateway's CPU time beside a plain stack's, in one run: a ratio, so that noise hits both alike."""

import subprocess
import sys

import pytest

from tests.conftest import REPO


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_call_costs_no_more_than_its_bound_of_a_plain_stack():
    measured = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--gate"],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert measured.returncode == 0, measured.stdout + measured.stderr
