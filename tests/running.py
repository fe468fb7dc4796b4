"""The real gateway for tests: gunicorn with its gevent worker, started as in production or forked from a warm process.

``running_gateway(env)`` starts one on a free port of 127.0.0.1 in a folder of its own and
stops it by pid. The environment is made from scratch, so that no key of the developer's
reaches a test.
"""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.environment import bare

ROOT = Path(__file__).resolve().parent.parent
_START_LIMIT = 90.0
_POOL = "6"
"""Connections of a process: gateways of several groups share a PostgreSQL that takes a hundred."""
_STOP_LIMIT = 35.0
_PYTHON = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}  # before whatever an editable install points to


class WarmProcess:
    """The process of ``tests/warm_start.py``, which forks gateways; it ends with this one."""

    def __init__(self) -> None:
        self._lock, self._asked = threading.Lock(), 0
        command = [sys.executable, "-m", "tests.warm_start"]
        environ = {**bare(), **_PYTHON}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=pipe, stdout=pipe)
        self.pid = self._process.pid

    def fork(self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> Fork:
        """Fork a gateway with gunicorn's ``arguments``."""
        order = {"arguments": arguments, "folder": str(folder), "environ": environ, "log": str(log)}
        return Fork(self, self._ask(order))

    def reap(self, pid: int) -> int | None:
        """Return the exit code of a gateway that ended, None while it runs."""
        return self._ask({"reap": pid})

    def _ask(self, order: Mapping[str, Any]) -> Any:
        with self._lock:
            self._asked += 1
            self._process.stdin.write(json.dumps([self._asked, order]).encode() + b"\n")
            self._process.stdin.flush()
            number = 0
            while number != self._asked:  # a test that ran out of time may have left an answer unread
                number, answer = json.loads(self._process.stdout.readline())
            return answer


class Fork:
    """A forked gateway, with the part of ``subprocess.Popen`` that tests use."""

    def __init__(self, parent: WarmProcess, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._parent.reap(self.pid)
        return self.returncode

    def wait(self, timeout: float = math.inf) -> int:
        """Wait for its end and return the exit code."""
        limit = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > limit:
                raise subprocess.TimeoutExpired("gunicorn", timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Fork
warm_process = functools.cache(WarmProcess)


@dataclass
class Gateway:
    """A gateway that runs: where it listens, its process, its folder and log."""

    url: str
    port: int
    process: Process
    folder: Path
    environ: Mapping[str, str]

    @property
    def log(self) -> str:
        """Return all that it printed so far."""
        return (self.folder / "gateway.log").read_text(errors="replace")

    def terminate(self) -> None:
        """Send SIGTERM, as a platform does."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Stop it and return its exit code."""
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(5)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(env: Mapping[str, str], folder: Path, port: int, root: Path = ROOT) -> dict[str, str]:
    """Return a whole environment: the bare minimum, a store in ``folder``, then ``env``."""
    url = env.get("DATABASE_URL", "")
    is_pooled = url.startswith("postgres") and "connection_limit" not in url
    return {
        **bare(),
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{folder / 'sluice.db'}",
        "SLUICE_CONFIG": str(folder / "sluice.toml"),
        **_PYTHON,
        "PYTHONPATH": str(root),
        **({"SLUICE_DATABASE_POOL": _POOL} if is_pooled else {}),
        **env,
    }


def lay_store(file: Path) -> None:
    """Lay an empty store of the newest schema at ``file``: migrating one takes a quarter of a gateway's start."""
    file.touch(0o600)
    file.write_bytes(_empty_store())


@functools.cache
def _empty_store() -> bytes:
    from app.state.database import parse_url
    from app.state.migrations import upgrade

    with tempfile.TemporaryDirectory(prefix="sluice-test-") as folder:
        file = Path(folder) / "sluice.db"
        upgrade(parse_url(f"sqlite:///{file}"))
        return file.read_bytes()


@contextmanager
def running_gateway(
    env: Mapping[str, str] | None = None,
    *,
    config: str | None = None,
    arguments: tuple[str, ...] = (),
    port: int | None = None,
    root: Path = ROOT,
) -> Iterator[Gateway]:
    """Run the gateway of the checkout ``root``; ``config`` is the text of its sluice.toml,
    ``arguments`` gunicorn's own."""
    with tempfile.TemporaryDirectory(prefix="sluice-test-") as name:
        folder, port = Path(name), port or free_port()
        variables = environment(env or {}, folder, port, root)
        if config is not None:
            (folder / "sluice.toml").write_text(config)
        elif "SLUICE_CONFIG" not in (env or {}):
            del variables["SLUICE_CONFIG"]
        if root == ROOT and variables["DATABASE_URL"] == f"sqlite:///{folder / 'sluice.db'}":
            lay_store(folder / "sluice.db")
        whole = ("-c", str(root / "gunicorn.conf.py"), "--pythonpath", str(root), *arguments, "wsgi:app")
        is_other = root != ROOT or any(name.startswith("PYTHON") for name in env or {})
        process = (start_cold if is_other else start_warm)(whole, folder, variables, folder / "gateway.log")
        gateway = Gateway(f"http://127.0.0.1:{port}", port, process, folder, variables)
        try:
            _wait_until_ready(gateway)
            yield gateway
        finally:
            gateway.stop()


def start_warm(arguments: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> Process:
    """Fork a gateway with gunicorn's ``arguments``."""
    return warm_process().fork(arguments, folder, environ, log)


def start_cold(arguments: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> Process:
    """Start a gateway with gunicorn's ``arguments`` as a platform does."""
    command = [sys.executable, "-m", "gunicorn", *arguments]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=folder, env=environ, stdout=output, stderr=output)


def _wait_until_ready(gateway: Gateway) -> None:
    limit = time.monotonic() + _START_LIMIT
    while time.monotonic() < limit:
        if gateway.process.poll() is not None:
            raise RuntimeError(f"the gateway ended at start:\n{gateway.log}")
        if _answers(gateway.port):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the gateway did not answer in {_START_LIMIT:g} s:\n{gateway.log}")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.")
    except OSError:
        return False
