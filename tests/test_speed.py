"""The gateway's CPU time beside a plain stack's, in one run: a ratio, so that noise hits both alike; and what measures it."""

import subprocess
import sys

import pytest

from benchmarks.meter import cpu_seconds, tree
from tests.conftest import REPO

SPEND = "import time\ndef spend():\n    while time.thread_time() < 0.15: pass\n"
ENDING = {
    "a thread": "import threading\nthread = threading.Thread(target=spend)\nthread.start(); thread.join()\n",
    "a child": "import os\nif not os.fork():\n    spend(); os._exit(0)\nos.wait()\n",
}
WAIT = "print(time.thread_time(), flush=True); input()"


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


@pytest.mark.parametrize("kind", ENDING)
def test_the_meter_counts_what_threads_and_children_that_ended_took(kind):
    command = [sys.executable, "-I", "-c", SPEND + ENDING[kind] + WAIT]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    of_main_thread = float(process.stdout.readline())
    pids = tree(process.pid)
    spent = cpu_seconds(pids)
    process.communicate(b"\n")
    assert (pids, spent >= of_main_thread + 0.1) == ([process.pid], True), (of_main_thread, spent)
