"""What every test may ask for: the shared reference folder, a fresh database, Redis, Node."""

from gevent import monkey

monkey.patch_all()

import gc

gc.disable()  # as in wsgi.py: what is loaded and collected lives to the end, and is taken out of its sight then

import faulthandler
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import HealthCheck, settings

from tests import environment
from tests.services import leave_out, new_postgres

environment.enter()

# The same examples in every run, unless SLUICE_EXPLORE=1 asks for new ones. No test depends on the speed of the machine.
settings.register_profile(
    "sluice",
    derandomize=os.environ.get("SLUICE_EXPLORE") != "1",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sluice")

REPO = Path(__file__).resolve().parent.parent
HUNG, REWIND = 500, 30  # seconds; no test's own limit (``pytest.mark.timeout``) is longer than the first


class Watch:
    """Ends a run in which no test has begun for ``HUNG`` seconds, with the stacks of its threads.

    pytest-timeout ends a test that waits. One that holds gevent's hub it cannot reach; then a thread of
    faulthandler's can. pytest's own starts such a thread for every test, which costs more than many of
    ours take, so this one is wound up anew every ``REWIND`` seconds.
    """

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._wound = 0.0

    def pytest_runtest_logstart(self) -> None:
        """Wind it up as a test begins."""
        if time.monotonic() - self._wound > REWIND:
            self._wound = time.monotonic()
            faulthandler.dump_traceback_later(HUNG, file=self._stderr, exit=True)

    def pytest_unconfigure(self) -> None:
        """Let it go."""
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)  # after faulthandler's own
def pytest_configure(config: pytest.Config) -> None:
    """Watch for a run that hangs."""
    config.pluginmanager.register(Watch(config.stash[fault_handler_stderr_fd_key]))


def pytest_collection_finish() -> None:
    """Let the garbage collector look at what tests make alone: a tenth of their CPU time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def repo_dir() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The reference folder beside the checkout: recorded traffic, specifications."""
    path = REPO.parent / "shared"
    if not path.is_dir():
        leave_out(f"no reference folder at {path}")
    return path


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A ``postgresql://`` URL of an empty database of this test's own, dropped afterwards."""
    with new_postgres() as url:
        yield url


@pytest.fixture
def redis_url() -> str:
    """The URL of a Redis that answers. It may be shared: use keys of your own, never flush it."""
    url = os.environ.get("SLUICE_TEST_REDIS_URL")
    if not url:
        leave_out("SLUICE_TEST_REDIS_URL is not set")
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=5).ping()
    except redis.ConnectionError as error:
        leave_out(f"Redis does not answer at SLUICE_TEST_REDIS_URL: {error}")
    return url


@pytest.fixture(scope="session")
def nginx() -> str:
    """The path of an nginx binary."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return found or leave_out("nginx is not installed")


@pytest.fixture(scope="session")
def node_openai() -> str:
    """The path of a Node binary that can ``require("openai")``."""
    return node_that_can_require("openai")


def node_that_can_require(module: str) -> str:
    """Return the path of a Node binary that has ``module`` (NODE_PATH says where SDKs are)."""
    node = shutil.which("node")
    if node is None:
        leave_out("node is not installed")
    probe = subprocess.run([node, "-e", f"require('{module}')"], capture_output=True, timeout=30, check=False)
    if probe.returncode != 0:
        leave_out(
            f"node cannot require('{module}'): install it anywhere and set NODE_PATH to its node_modules"
        )
    return node
