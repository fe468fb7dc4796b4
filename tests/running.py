"""The real gateway for tests: gunicorn with its gevent worker, started as in production.

``running_gateway(env)`` starts one on a free port of 127.0.0.1 in a folder of its own and
stops it by pid. The environment is made from scratch, so that no key of the developer's
reaches a test.
"""

from __future__ import annotations

import functools
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.environment import bare

ROOT = Path(__file__).resolve().parent.parent
_START_LIMIT = 90.0
_POOL = "6"
"""Connections of a process: gateways of several groups share a PostgreSQL that takes a hundred."""
_STOP_LIMIT = 35.0


@dataclass
class Gateway:
    """A gateway that runs: where it listens, its process, its folder and log."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    folder: Path

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
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(root),  # before whatever an editable install points to
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
        command = [sys.executable, "-m", "gunicorn", "-c", str(root / "gunicorn.conf.py")]
        command += ["--pythonpath", str(root), *arguments, "wsgi:app"]
        with (folder / "gateway.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
        gateway = Gateway(f"http://127.0.0.1:{port}", port, process, folder)
        try:
            _wait_until_ready(gateway)
            yield gateway
        finally:
            gateway.stop()


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
