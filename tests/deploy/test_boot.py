"""Starting, reloading and leaving, as platforms do it: PORT, several workers, PostgreSQL, signals, bare folders."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.running import ROOT, environment, free_port, running_gateway
from tests.traffic.replay import Reply, Upstream

SAY = {"model": "sandbox/echo", "input": "say exactly: here"}


def _ask(url: str, body: dict[str, Any], *, stream: bool = False) -> requests.Response:
    """Post to Responses over a connection that ends with its answer: a gateway waits 5 s for kept ones as it leaves."""
    headers = {"connection": "close"}
    return requests.post(f"{url}/v1/responses", json=body, headers=headers, stream=stream, timeout=40)


def _text(response: Any) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def _worker_pids(log: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", log)]


def _await(true: Any, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.05)


# --- several workers, one store ---------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a store: SQLite in the gateway's folder, or PostgreSQL as platforms spell it."""
    if request.param == "sqlite":
        return {}
    url: str = request.getfixturevalue("postgres_url")
    return {"DATABASE_URL": url.replace("postgresql://", "postgres://", 1), "SLUICE_SECRET_KEY": "s" * 32}


def test_two_workers_serve_one_store(store: dict[str, str]) -> None:
    with running_gateway({"WEB_CONCURRENCY": "2", **store}) as gateway:
        _await(lambda: len(_worker_pids(gateway.log)) == 2)
        first = _ask(gateway.url, SAY).json()
        follow = {"model": "sandbox/echo", "input": "echo history", "previous_response_id": first["id"]}
        texts = [_text(_ask(gateway.url, follow).json()) for _ in range(8)]
        found = {
            requests.get(f"{gateway.url}/v1/responses/{first['id']}", timeout=20).json()["id"]
            for _ in range(8)
        }
        background = _ask(gateway.url, {**SAY, "background": True}).json()
        path = f"{gateway.url}/v1/responses/{background['id']}"
        _await(lambda: requests.get(path, timeout=20).json()["status"] == "completed")
        assert _text(requests.get(path, timeout=20).json()) == "here"
        assert gateway.stop() == 0
    assert found == {first["id"]}
    assert all("say exactly: here" in text for text in texts)


def test_a_port_in_use_is_named_with_its_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
        variables = environment({"SLUICE_CONFIG": os.devnull}, tmp_path, port, ROOT)
        with subprocess.Popen(
            command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stderr is not None
            lines = [line for line in iter(server.stderr.readline, "") if line.startswith("sluice:")]
    assert server.returncode == 1
    assert lines == [
        f"sluice: 127.0.0.1:{port} cannot be listened on: Address already in use; "
        "stop the process that holds it, or set PORT\n"
    ]


def test_postgres_without_a_secret_key_is_refused_in_a_sentence() -> None:
    with (
        pytest.raises(RuntimeError, match="SLUICE_SECRET_KEY"),
        running_gateway({"DATABASE_URL": "postgres://user@127.0.0.1:1/none"}),
    ):
        pass


# --- the Procfile -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def procfile() -> dict[str, str]:
    """The commands by process type."""
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


@contextmanager
def _running(command: str, environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a line of the Procfile as the platform does: by a shell, in the checkout."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", f"exec env {command}"], cwd=ROOT, env=environ, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.fixture
def platform(tmp_path: Path) -> dict[str, str]:
    """What a platform sets, with this test's own interpreter first on the path."""
    environ = environment({"SLUICE_HOST": "127.0.0.1", "SLUICE_KEYS": "ann:sk-ann"}, tmp_path, free_port())
    del environ["SLUICE_CONFIG"]
    return {**environ, "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}", "DYNO": "web.1"}


def test_the_release_prepares_what_the_web_and_the_worker_use(
    procfile: dict[str, str], platform: dict[str, str], tmp_path: Path
) -> None:
    environ = {**platform, "SLUICE_BACKGROUND": "off"}
    logs = {name: tmp_path / f"{name}.log" for name in procfile}
    with _running(procfile["release"], environ, logs["release"]) as release:
        assert release.wait(30) == 0
    with (
        _running(procfile["web"], environ, logs["web"]) as web,
        _running(procfile["worker"], environ, logs["worker"]) as worker,
    ):
        url = f"http://127.0.0.1:{environ['PORT']}/v1/responses"
        _await(lambda: "sluice is listening" in logs["web"].read_text())
        _await(lambda: "sluice worker is ready" in logs["worker"].read_text())
        session = requests.Session()
        session.headers["Authorization"] = "Bearer sk-ann"
        body = session.post(url, json={**SAY, "background": True}, timeout=20).json()
        _await(lambda: session.get(f"{url}/{body['id']}", timeout=20).json()["status"] == "completed")
        began = time.monotonic()
        for process in (web, worker):
            process.terminate()
        assert [web.wait(40), worker.wait(40)] == [0, 0]
        assert time.monotonic() - began < 40  # though the session's connection could be idle for 95 s


def test_heroku_keeps_idle_connections_longer_than_its_router(procfile: dict[str, str]) -> None:
    assignments = [word for word in shlex.split(procfile["web"]) if "=" in word]
    assert assignments == ["SLUICE_KEEPALIVE=95"]


# --- keys and the line to try -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "said", "key"),
    [
        ({}, "loopback only, without keys", None),
        ({"SLUICE_OPEN": "1", "SLUICE_HOST": "127.0.0.1"}, "(open)", None),
        ({"SLUICE_KEYS": "ann:sk-ann", "SLUICE_HOST": "127.0.0.1"}, "with client keys", "sk-ann"),
    ],
)
def test_the_printed_line_works_as_it_stands(environ: dict[str, str], said: str, key: str | None) -> None:
    with running_gateway(environ) as gateway:
        _await(lambda: "/v1/responses" in gateway.log)
        (line,) = re.findall(r"^  (curl .*)$", gateway.log, re.MULTILINE)
        assert said in gateway.log
        shell = {"PATH": os.environ["PATH"], **({"SLUICE_KEY": key} if key else {})}
        result = subprocess.run(["sh", "-c", line], env=shell, capture_output=True, timeout=20, check=True)
        assert _text(json.loads(result.stdout)) == "You said: Hello"
        without = _ask(gateway.url, SAY)
    assert without.status_code == (401 if key else 200)


def test_a_sub_path_can_be_served_as_it_comes() -> None:
    with running_gateway({"SCRIPT_NAME": "/llm"}) as gateway:
        below = _ask(f"{gateway.url}/llm", SAY)
        beside = _ask(gateway.url, SAY)
    assert (below.status_code, beside.status_code) == (200, 404)
    assert beside.json()["error"]["type"] == "invalid_request_error"


# --- signals ----------------------------------------------------------------------------------

ALIAS = '[models."{name}"]\ntarget = "sandbox/echo"\n'


class _Stream(threading.Thread):
    """A client that reads a stream to its end."""

    def __init__(self, url: str, prompt: str) -> None:
        super().__init__(daemon=True)
        self.events: list[Any] = []
        body = {"model": "sandbox/echo", "input": prompt, "stream": True}
        self._answer = _ask(url, body, stream=True)
        self.start()

    def run(self) -> None:
        for line in self._answer.iter_lines():
            if line.startswith(b"data: "):
                self.events.append(json.loads(line[6:]))


def test_a_reload_takes_the_new_configuration_and_spares_open_streams() -> None:
    with running_gateway(config=ALIAS.format(name="before")) as gateway:
        file = gateway.folder / "sluice.toml"

        def status(model: str) -> int:
            return _ask(gateway.url, {**SAY, "model": model}).status_code

        assert (status("before"), status("after")) == (200, 400)
        stream = _Stream(gateway.url, "take 9 seconds, then say exactly: still here")
        file.write_text(ALIAS.format(name="after"))
        gateway.process.send_signal(signal.SIGHUP)
        _await(lambda: status("after") == 200 and status("before") == 400)
        assert stream.is_alive()
        stream.join(30)
        assert stream.events[-1]["type"] == "response.completed"
        assert _text(stream.events[-1]["response"]) == "still here"


def test_a_reload_with_a_faulty_file_changes_nothing() -> None:
    with running_gateway(config=ALIAS.format(name="before")) as gateway:
        (gateway.folder / "sluice.toml").write_text("[server]\nprot = 1\n")
        gateway.process.send_signal(signal.SIGHUP)
        _await(lambda: "did you mean 'port'" in gateway.log)
        time.sleep(0.5)
        answer = _ask(gateway.url, {**SAY, "model": "before"})
        assert (answer.status_code, gateway.process.poll()) == (200, None)


def test_sigterm_lets_a_short_stream_end_and_ends_a_long_one() -> None:
    with running_gateway({"SLUICE_DRAIN_AFTER": "3", "WEB_CONCURRENCY": "2"}) as gateway:
        short = _Stream(gateway.url, "take 1 second, then say exactly: done")
        long = _Stream(gateway.url, "take 60 seconds, then say exactly: one two three four")
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 40
        short.join(5)
        long.join(5)
    assert short.events[-1]["type"] == "response.completed"
    assert long.events[-1]["type"] == "response.failed"
    assert long.events[-1]["response"]["error"]["code"] == "server_shutdown"


# --- bare folders, no network -----------------------------------------------------------------

WATCH = """
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open({log!r}, "a") as file:
            file.write(f"{{event}} {{arguments[-1] if event == 'socket.connect' else arguments[:2]}}\\n")

sys.addaudithook(note)
"""


@pytest.fixture
def watched(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """Variables that make every process of a gateway note its look-ups and connections, and the notes' file."""
    notes = tmp_path / "network.log"
    notes.touch()
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(log=str(notes)))
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}"}, notes


def test_nothing_is_looked_up_or_connected_to_at_start(watched: tuple[dict[str, str], Path]) -> None:
    environ, notes = watched
    with Upstream() as upstream:
        upstream.add(Reply.json({"choices": []}), times=9)
        provider = {"GROQ_API_KEY": "k", "GROQ_BASE_URL": upstream.url, "OPENAI_API_KEY": "k"}
        with running_gateway({**provider, **environ}) as gateway:
            answer = _ask(gateway.url, SAY)
            time.sleep(1)
            assert (answer.status_code, notes.read_text()) == (200, "")
            _ask(gateway.url, {**SAY, "model": "groq/x"})
            assert str(upstream.port) in notes.read_text()  # the notes are taken


def test_no_home_is_needed_and_only_the_store_is_written(tmp_path: Path) -> None:
    environ = {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    with running_gateway(environ) as gateway:
        assert _ask(gateway.url, SAY).status_code == 200
        written = {path.name for path in gateway.folder.iterdir()}
    assert {name.partition("-")[0] for name in written} == {"sluice.db", "sluice.key", "gateway.log"}
