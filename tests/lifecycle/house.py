"""A whole house for tests of the life cycle: gateways over one database, a provider that replays.

``running_house`` starts as many gateways as asked (and ``sluice worker`` processes) against one
database; a ``Client`` speaks for one key at one of them. The provider behind openai, anthropic and
gemini is one fake upstream that answers each wire with a recording, or with what a test put first.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from app.state.database import parse_url
from tests.behaviour.world import Answer, whole
from tests.running import ROOT, Gateway, Process, environment, lay_store, running_gateway
from tests.traffic.frames import sse
from tests.traffic.load import exchange
from tests.traffic.replay import Reply, Request, Upstream

KEYS = {"ann": "sk-ann-0123456789", "ann-too": "sk-ann-too-0123456789", "bob": "sk-bob-0123456789"}
TENANTS = {"ann": "red", "ann-too": "red", "bob": "blue"}
SECRET = "the house's own secret"

RECORDED = {
    # end of the provider's path: recordings of a stream and of a whole answer
    "/responses": ("openai-responses_stream-text", "openai-responses-text"),
    "/messages": ("anthropic-chat_completion_stream-text", "anthropic-chat_completion-end-turn"),
    ":streamGenerateContent": ("gemini-chat_completion_stream-signed-text", None),
    ":generateContent": (None, "gemini-chat_completion-text"),
}


def recorded(request: Request) -> Reply:
    """Answer a provider's request with a recording of its wire, streamed when it asks for that."""
    for ending, (streamed, answered) in RECORDED.items():
        if request.path.endswith(ending):
            body = request.json()
            identifier = streamed if body.get("stream") or answered is None else answered
            return Reply.of(exchange(identifier or streamed or ""), chunk=0)
    return Reply.json({"error": {"message": f"not recorded: {request.path}"}}, 501)


@dataclass
class Client:
    """One key at one gateway."""

    port: int
    key: str | None

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request: bytes as they are, anything else as JSON."""
        connection = self.open(method, path, body, headers)
        try:
            return whole(connection.getresponse())
        finally:
            connection.close()

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 40,
    ) -> http.client.HTTPConnection:
        """Send a request and leave its answer unread."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} if data is not None else {}
        sent |= {"authorization": f"Bearer {self.key}"} if self.key else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request(method, path, data, sent | dict(headers or {}))
        return connection

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self.send("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        """POST to a path."""
        return self.send("POST", path, body)

    def delete(self, path: str) -> Answer:
        """DELETE a path."""
        return self.send("DELETE", path)

    def create(
        self, input: Any = "say exactly: hello there", *, surface: str = "/v1", **members: Any
    ) -> Answer:
        """Create a response at a surface."""
        return self.post(f"{surface}/responses", {"model": "sandbox/echo", "input": input, **members})

    def make(self, input: Any = "say exactly: hello there", **members: Any) -> dict[str, Any]:
        """Create a response that must succeed; return its JSON."""
        answer = self.create(input, **members)
        assert answer.status == 200, answer.body
        body: dict[str, Any] = answer.json
        return body

    def ended(self, response_id: str, *, surface: str = "/v1", seconds: float = 30.0) -> dict[str, Any]:
        """Wait until a background response has ended; return what GET shows."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            answer = self.get(f"{surface}/responses/{response_id}")
            assert answer.status == 200, answer.body
            body: dict[str, Any] = answer.json
            if body["status"] not in ("queued", "in_progress"):
                return body
            time.sleep(0.05)
        raise TimeoutError(f"{response_id} did not end within {seconds} s")

    def log(
        self, response_id: str, after: int | None = None, *, surface: str = "/v1"
    ) -> list[dict[str, Any]]:
        """Return the events of a background response, read by GET."""
        suffix = "" if after is None else f"&starting_after={after}"
        answer = self.get(f"{surface}/responses/{response_id}?stream=true{suffix}")
        assert answer.status == 200, answer.body
        return events_of(answer)


def events_of(answer: Answer) -> list[dict[str, Any]]:
    """Return the events of a stream that was read to its end."""
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.body[:300]
    return [json.loads(frame.data) for frame in sse(answer.body)]


def text_of(response: Mapping[str, Any]) -> str:
    """Return the text of a response's messages."""
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true value of ``look``; ``TimeoutError`` when none comes."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s")


def change(url: str, statement: str, **values: Any) -> None:
    """Run a statement on the database of a gateway that runs."""
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


@dataclass
class House:
    """Gateways, workers and the provider behind them."""

    gateways: list[Gateway]
    upstream: Upstream
    database_url: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def client(self, key: str | None = "ann", gateway: int = 0) -> Client:
        """Return a client that uses the key of this name."""
        return Client(self.gateways[gateway].port, KEYS.get(key or ""))

    def fresh(self) -> House:
        """Forget what tests put into the provider."""
        self.upstream.forget()
        self.upstream.script = recorded
        return self


def variables(upstream: Upstream, database_url: str | None = None) -> dict[str, str]:
    """Return the environment of a gateway of the house."""
    made = {
        "SLUICE_KEYS": ",".join(f"{name}:{key}:{TENANTS[name]}" for name, key in KEYS.items()),
        "SLUICE_SECRET_KEY": SECRET,
        "OPENAI_API_KEY": "openai-key",
        "OPENAI_BASE_URL": f"{upstream.url}/openai/v1",
        "ANTHROPIC_API_KEY": "anthropic-key",
        "ANTHROPIC_BASE_URL": f"{upstream.url}/anthropic",
        "GEMINI_API_KEY": "gemini-key",
        "GEMINI_BASE_URL": f"{upstream.url}/gemini/v1beta",
        "GROQ_API_KEY": "groq-key",
        "GROQ_BASE_URL": f"{upstream.url}/groq/openai/v1",
        "SLUICE_HOLD": "0.2",
        "SLUICE_NATIVE_BATCHES": "off",
    }
    return made | ({"DATABASE_URL": database_url} if database_url else {})


CONFIG = """
[models."rescued"]
target = "groq/broken"
fallbacks = ["sandbox/second"]
"""


@contextmanager
def running_house(
    database_url: str | None = None,
    *,
    gateways: int = 1,
    workers: int = 0,
    processes: int = 1,
    env: Mapping[str, str] | None = None,
    config: str = "",
) -> Iterator[House]:
    """Run a house; without ``database_url`` its one gateway keeps a SQLite file of its own."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(recorded))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-house-")))
        url = database_url or f"sqlite:///{folder / 'house.db'}"
        if database_url is None:
            lay_store(folder / "house.db")
        made = variables(upstream, url) | {"WEB_CONCURRENCY": str(processes)} | dict(env or {})
        running = [
            stack.enter_context(running_gateway(made, config=CONFIG + config)) for _ in range(gateways)
        ]
        house = House(running, upstream, url)
        for number in range(workers):
            house.workers.append(stack.enter_context(running_worker(made, folder / f"worker-{number}")))
        yield house


@contextmanager
def running_worker(env: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``sluice worker`` until the end of the block."""
    folder.mkdir()
    command = [sys.executable, "-m", "app.cli", "worker"]
    settings = environment(env, folder, 0) | {"PYTHONPATH": str(ROOT)}
    del settings["SLUICE_CONFIG"]
    process = subprocess.Popen(command, cwd=folder, env=settings, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert b"ready" in line, line
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait(5)


def children_of(process: Process) -> list[int]:
    """Return the pids of a process's children: gunicorn's workers."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in path.read_text().split()]


def cpu_seconds(process: Process) -> float:
    """Return how long a gateway's workers have computed so far, which the load of the machine does not change."""
    rows = [Path(f"/proc/{pid}/stat").read_text() for pid in children_of(process)]
    spent = [row.rpartition(")")[2].split()[11:13] for row in rows]  # for itself, and in the kernel
    return sum(int(ticks) for both in spent for ticks in both) / os.sysconf("SC_CLK_TCK")


def kill(pid: int) -> None:
    """Kill one process as an out-of-memory killer does."""
    os.kill(pid, signal.SIGKILL)
