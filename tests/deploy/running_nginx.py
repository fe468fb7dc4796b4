"""Start the nginx of deploy/nginx.conf on free ports: the file as shipped, addresses replaced."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(
    shipped: Path, folder: Path, *, listen: int, gateway: int, edits: Mapping[str, str] | None = None
) -> Path:
    """Write the shipped file to ``folder`` with the two ports and the pid file replaced, then ``edits``."""
    text = shipped.read_text()
    addresses = {
        "listen 8000;": f"listen 127.0.0.1:{listen};",
        "server 127.0.0.1:8080 ": f"server 127.0.0.1:{gateway} ",
        "pid /run/nginx.pid;": f"pid {folder}/nginx.pid;",
    }
    for old, new in (addresses | dict(edits or {})).items():
        assert text.count(old) == 1, f"deploy/nginx.conf should say {old!r} once"
        text = text.replace(old, new)
    config = folder / "nginx.conf"
    config.write_text(text)
    return config


@contextmanager
def running_nginx(
    binary: str, shipped: Path, folder: Path, *, gateway: int, edits: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run nginx before the gateway at port ``gateway``; yield the port nginx listens on."""
    listen = free_port()
    config = write_config(shipped, folder, listen=listen, gateway=gateway, edits=edits)
    process = subprocess.Popen([binary, "-c", config, "-p", folder, "-g", "daemon off;"])
    try:
        _await_listener(listen, process)
        yield listen
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_listener(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.poll() is None, "nginx ended at once"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nginx does not listen on {port}")
