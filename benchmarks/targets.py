"""Who is measured: ours, the plain stack in two makes, and peers that are installed.

A peer is found by an environment variable: ``BENCH_LITELLM`` (its command), ``BENCH_PORTKEY``
(its ``start-server.js``), ``BENCH_NGINX`` (its command; else one on the path).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.load import request_bytes
from benchmarks.meter import tree

ROOT: Final = Path(__file__).resolve().parent.parent
KEY: Final = "sk-bench-0123456789"
_START_LIMIT: Final = 120.0
_PLAIN: Final = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@dataclass(frozen=True)
class Target:
    """One gateway: how to start it on ``{port}`` and what a request to it needs.

    ``crowds``: five hundred streams at once take it seconds, not minutes. ``config``: what its file of this name has."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "gpt-4o-mini"
    responses: bool = False
    crowds: bool = True
    config: str = ""


@dataclass(frozen=True)
class Running:
    """A target that answers: its port, its first process, the seconds that its start took, and when it began to answer
    by the monotonic clock."""

    target: Target
    port: int
    pid: int
    started: float
    since: float

    @property
    def pids(self) -> list[int]:
        """Return its processes, among them those that took the place of others."""
        return tree(self.pid)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def targets(upstream: str, folder: Path, workers: int = 1) -> Iterator[Target]:
    """Yield the targets that can be measured here; ``upstream`` is the provider's base URL, ``workers`` are ours."""
    yield _ours(upstream, folder, workers)
    for kind in ("pooled", "naive"):
        yield Target(
            kind,
            (*_gunicorn("--bind=127.0.0.1:{port}", "-k", "gevent"), f"benchmarks.baseline:create('{kind}')"),
            {"UPSTREAM": upstream},
        )
    nginx = os.environ.get("BENCH_NGINX") or shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx:
        command = (nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"))
        yield Target("nginx", command, config=_nginx_config(upstream, folder))
    if litellm := os.environ.get("BENCH_LITELLM"):
        yield _litellm(litellm, upstream, folder)
    if portkey := os.environ.get("BENCH_PORTKEY"):
        yield _portkey(portkey, upstream)


def _gunicorn(*options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gunicorn", "--pythonpath", str(ROOT), "-w", "1", *options)


def _ours(upstream: str, folder: Path, workers: int) -> Target:
    env = {
        "PYTHONPATH": str(ROOT),  # this checkout, whatever is installed
        "PORT": "{port}",
        "SLUICE_KEYS": f"bench:{KEY}",
        "OPENAI_API_KEY": "upstream",
        "OPENAI_BASE_URL": upstream,
        "GROQ_API_KEY": "upstream",
        "GROQ_BASE_URL": upstream,
        "DATABASE_URL": f"sqlite:///{folder / 'bench.db'}",
    }
    command = (*_gunicorn("-c", str(ROOT / "gunicorn.conf.py"), "-w", str(workers)), "wsgi:app")
    return Target(
        "ours", command, env, {"Authorization": f"Bearer {KEY}"}, "openai/gpt-4o-mini", responses=True
    )


def _litellm(command: str, upstream: str, folder: Path) -> Target:
    row = {
        "model_name": "gpt-4o-mini",
        "litellm_params": {"model": "openai/gpt-4o-mini", "api_base": upstream, "api_key": "upstream"},
    }
    config = folder / "litellm.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": [row], "general_settings": {"master_key": KEY}}))
    env = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    options = ("--config", str(config), "--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1")
    return Target("litellm", (command, *options), env, {"Authorization": f"Bearer {KEY}"}, crowds=False)


def _portkey(script: str, upstream: str) -> Target:
    headers = {
        "Authorization": "Bearer upstream",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": upstream,
    }
    env = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    return Target("portkey", ("node", script, "--port={port}", "--headless"), env, headers)


def _nginx_config(upstream: str, folder: Path) -> str:
    host = upstream.split("/")[2]
    temporary = "".join(
        f"{name}_temp_path {folder}/t_{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr error;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off;\n{temporary}"
        f"upstream provider {{ server {host}; keepalive 256; }}\n"
        "server { listen 127.0.0.1:{port}; keepalive_requests 1000000;\n"
        "location / { proxy_pass http://provider; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_buffering off; } } }\n'
    )


@contextmanager
def running(target: Target, folder: Path, cpu: int) -> Iterator[Running]:
    """Run a target on one core and stop it again."""
    port = free_port()
    command = [part.replace("{port}", str(port)) for part in target.command]
    if target.config:
        (folder / f"{target.name}.conf").write_text(target.config.replace("{port}", str(port)))
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env = passed | {name: value.replace("{port}", str(port)) for name, value in target.env.items()}
    with (folder / f"{target.name}.log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command], cwd=folder, env=env, stdout=log, stderr=log
        )
    try:
        _wait(process, target, port, folder)
        now = time.monotonic()
        yield Running(target, port, process.pid, now - began, now)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: subprocess.Popen[bytes], target: Target, port: int, folder: Path) -> None:
    packet = request_bytes("/v1/chat/completions", dict(target.headers), {**_PLAIN, "model": target.model})
    limit = time.monotonic() + _START_LIMIT
    while time.monotonic() < limit and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(packet)
                if connection.recv(65536).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            time.sleep(0.01)
        else:
            time.sleep(0.01)
    raise RuntimeError(
        f"{target.name} does not answer:\n{(folder / f'{target.name}.log').read_text()[-2000:]}"
    )
