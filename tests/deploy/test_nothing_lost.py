"""Reloads and rolling restarts under load: every request is answered, and answered well."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.running_nginx import running_nginx
from tests.lifecycle.house import children_of
from tests.running import Gateway, free_port, running_gateway

BODY = json.dumps({"model": "sandbox/echo", "input": "say exactly: well", "store": False}).encode()
STREAM = json.dumps(
    {"model": "sandbox/echo", "input": "say exactly: well", "stream": True, "store": False}
).encode()


class Caller(threading.Thread):
    """Asks again and again until told to stop; ``kept``: over one connection, while the server keeps it."""

    def __init__(self, port: int, *, kept: bool, body: bytes) -> None:
        super().__init__(daemon=True)
        self.answered = 0
        self.lost: list[str] = []
        self._port, self._kept, self._body = port, kept, body
        self._over = threading.Event()

    def run(self) -> None:
        connection = None
        while not self._over.wait(0.1):
            connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request("POST", "/v1/responses", self._body, {"content-type": "application/json"})
                answer = connection.getresponse()
                whole = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection = None
                continue
            if answer.status == 200 and b'"completed"' in whole:
                self.answered += 1
            else:
                self.lost.append(f"{answer.status} {whole[:200]!r}")
            if not self._kept or answer.will_close:
                connection.close()
                connection = None

    def stop(self) -> None:
        self._over.set()
        self.join(40)


@contextmanager
def under_load(port: int) -> Iterator[list[Caller]]:
    """Ask some 30 times a second: fresh and kept connections, whole answers and streams."""
    callers = [Caller(port, kept=kept, body=body) for kept in (False, True) for body in (BODY, BODY, STREAM)]
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.stop()


def wait_for_more(callers: list[Caller], number: int) -> None:
    """Let each caller be answered so many times more."""
    goal = [caller.answered + number for caller in callers]
    limit = time.monotonic() + 60
    while any(caller.answered < one and not caller.lost for caller, one in zip(callers, goal, strict=True)):
        assert time.monotonic() < limit
        time.sleep(0.02)


def reload(gateway: Gateway) -> None:
    """Send SIGHUP and wait until all workers are new ones and the old ones have gone."""
    before = set(children_of(gateway.process))
    gateway.process.send_signal(signal.SIGHUP)
    limit = time.monotonic() + 60
    while before & set(children_of(gateway.process)) or not children_of(gateway.process):
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.slow
def test_no_request_is_lost_over_reloads() -> None:
    with running_gateway({"WEB_CONCURRENCY": "1"}) as gateway, under_load(gateway.port) as callers:
        for _ in range(10):
            wait_for_more(callers, 3)
            reload(gateway)
        wait_for_more(callers, 3)
    assert [caller.lost for caller in callers] == [[]] * len(callers)


@pytest.mark.slow
def test_no_request_is_lost_in_a_rolling_restart_behind_nginx(
    repo_dir: Path, nginx: str, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    second = f"server 127.0.0.1:{ports[0]} max_fails=0;\n        server 127.0.0.1:{ports[1]} max_fails=0;"
    edits = {f"server 127.0.0.1:{ports[0]} max_fails=0;": second}
    with ExitStack() as stack:
        gateways = [ExitStack(), ExitStack()]
        for one, port in zip(gateways, ports, strict=True):
            stack.push(one)
            one.enter_context(running_gateway({"SLUICE_OPEN": "1", "SLUICE_HOST": "127.0.0.1"}, port=port))
        shipped = repo_dir / "deploy" / "nginx.conf"
        entrance = stack.enter_context(running_nginx(nginx, shipped, tmp_path, gateway=ports[0], edits=edits))
        with under_load(entrance) as callers:
            for one, port in zip(gateways, ports, strict=True):
                wait_for_more(callers, 3)
                one.close()
                wait_for_more(callers, 2)
                one.enter_context(
                    running_gateway({"SLUICE_OPEN": "1", "SLUICE_HOST": "127.0.0.1"}, port=port)
                )
            wait_for_more(callers, 3)
    assert [caller.lost for caller in callers] == [[]] * len(callers)
