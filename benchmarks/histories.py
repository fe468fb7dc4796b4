"""Measure a long history: CPU of 400 chat messages to Anthropic's Messages, beside the same passed to OpenAI.

``python -m benchmarks.histories 2>/dev/null`` (the log is a line a call) prints milliseconds a call of each
way and their ratio. The application runs in this process and is called as the server calls it; the providers are another process, so that
only the gateway's work is counted. Both ways take turns, round by round.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

from app import create_app
from app.config_loading import load
from app.gateway.layers.log import mute

_ROUNDS: Final = 9
_CALLS: Final = 20
_CALL: Final = {"name": "look_up", "arguments": '{"number": 7}'}

#: A provider that knows two answers; it prints its port.
_PROVIDER: Final = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
USAGE = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
           "content": [{"type": "text", "text": "ok"}], "usage": {"input_tokens": 9, "output_tokens": 1}}
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(MESSAGE if self.path.endswith("/messages") else CHAT).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def history(turns: int = 100) -> list[dict[str, Any]]:
    """Return four messages for each turn: a question, a call, its result, an answer."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        called = {"id": f"call_{turn}", "type": "function", "function": _CALL}
        messages += [
            {"role": "user", "content": f"Question {turn}. " * 20},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": called["id"], "content": "A result. " * 20},
            {"role": "assistant", "content": "An answer. " * 30},
        ]
    return messages


def _asking(app: Any, model: str) -> Callable[[], None]:
    body = json.dumps(
        {"model": model, "messages": [*history(), {"role": "user", "content": "And?"}]}
    ).encode()

    def ask() -> None:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/v1/chat/completions",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
        status: list[str] = []
        answer = b"".join(app(environ, lambda line, headers, error=None: status.append(line)))
        if not status[0].startswith("200"):
            raise RuntimeError(f"{status[0]}: {answer[:300]!r}")

    return ask


def _milliseconds(ask: Callable[[], None]) -> float:
    begun = time.process_time()
    for _ in range(_CALLS):
        ask()
    return (time.process_time() - begun) / _CALLS * 1000


def measure(port: int, folder: str) -> dict[str, list[float]]:
    """Return milliseconds of CPU a call, by round, of the passed and the translated history."""
    url = f"http://127.0.0.1:{port}/v1"
    app = create_app(
        load(
            {
                "DATABASE_URL": f"sqlite:///{folder}/sluice.db",
                "OPENAI_API_KEY": "sk-x",
                "OPENAI_BASE_URL": url,
                "ANTHROPIC_API_KEY": "sk-x",
                "ANTHROPIC_BASE_URL": url,
            }
        )
    )
    ways = {
        "passed": _asking(app, "openai/gpt-4o-mini"),
        "translated": _asking(app, "anthropic/claude-sonnet-4-5"),
    }
    for ask in ways.values():
        _milliseconds(ask)
    rounds = [{name: _milliseconds(ask) for name, ask in ways.items()} for _ in range(_ROUNDS)]
    return {name: [one[name] for one in rounds] for name in ways}


def main() -> None:
    """Print both ways and their ratio."""
    mute()
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen([sys.executable, "-c", _PROVIDER], stdout=subprocess.PIPE, text=True) as provider,
    ):
        try:
            assert provider.stdout is not None
            spent = measure(int(provider.stdout.readline()), folder)
        finally:
            provider.terminate()
    ratio = statistics.median(b / a for a, b in zip(spent["passed"], spent["translated"], strict=True))
    for name, values in spent.items():
        print(f"{name:<11} {statistics.median(values):>7.2f} ms of CPU for 400 messages")
    print(f"translated / passed {ratio:.2f}")


if __name__ == "__main__":
    main()
