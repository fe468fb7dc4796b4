"""The log on a terminal: a line a call, what failed with its cause, and nothing that a terminal obeys."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.gateway import console
from tests.behaviour.world import running_world
from tests.environment import bare

ROOT = Path(__file__).resolve().parent.parent.parent
CALL = {
    "time": 1_700_000_000.25,
    "level": "info",
    "event": "call",
    "request_id": "req_1",
    "key": "ann",
    "tenant": "team",
    "operation": "chat",
    "stream": True,
    "model": "fast",
    "provider": "groq",
    "sent_model": "llama",
    "attempts": 2,
    "ms": 120,
    "first_content_ms": 31,
    "error": None,
    "status": 200,
    "input_tokens": 12,
    "output_tokens": 3,
    "cost": 0.00012,
}


def plain(fields: dict[str, object]) -> str:
    """Return a line without its moment."""
    return re.sub(r"^\d\d:\d\d:\d\d ", "", console.make_formatter(coloured=False)(fields))


@pytest.mark.parametrize(
    "change, line",
    [
        (
            {},
            "200 chat stream       fast → groq/llama 120 ms, first 31 ms, 2 attempts 12+3 tokens, $0.00012 ann@team req_1",
        ),
        (
            {"model": "groq/llama", "attempts": 1, "first_content_ms": None, "cost": None, "stream": False},
            "200 chat              groq/llama 120 ms 12+3 tokens ann@team req_1",
        ),
        (
            {"status": 429, "error": "rate_limit_exceeded", "cause": "slow\ndown", "input_tokens": None}
            | {"output_tokens": None},
            "429 chat stream       fast → groq/llama 120 ms, first 31 ms, 2 attempts rate_limit_exceeded ann@team req_1"
            "\n    slow\n    down",
        ),
    ],
)
def test_a_call_is_one_line_and_a_failure_has_its_cause_below(change: dict[str, object], line: str) -> None:
    assert plain({**CALL, **change}) == line


def test_other_lines_show_what_they_have() -> None:
    note = {"time": 0.0, "level": "warning", "event": "note", "source": "app.x", "message": "Redis is away"}
    assert plain(note) == "warning Redis is away app.x"
    request = {"time": 0.0, "level": "info", "event": "request", "operation": "models", "method": "GET"}
    request |= {
        "status": 200,
        "door": "unified",
        "ms": 4,
        "key": "ann",
        "tenant": "team",
        "request_id": "req_2",
    }
    assert plain(request) == "200 GET models unified 4 ms ann@team req_2"
    dropped = {"time": 0.0, "level": "warning", "event": "log_dropped", "lines": 7}
    assert plain(dropped) == "warning log_dropped lines=7"
    fault = {"time": 0.0, "level": "error", "event": "fault", "error": "KeyError('x')", "trace": "a\n  b\n"}
    assert plain(fault) == "error fault error=KeyError('x')\n    a\n      b"


def test_nothing_in_a_line_commands_the_terminal() -> None:
    line = console.make_formatter(coloured=False)(
        {**CALL, "model": "\x1b[2J\x9b1m\u2028", "cause": "\x1b]0;x\x07"}
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", line)
    assert "\\x1b[2J" in line


def test_colours_stand_only_where_they_are_asked_for() -> None:
    assert "\x1b[" not in console.make_formatter(coloured=False)(CALL)
    assert console.make_formatter(coloured=True)(CALL).count("\x1b[") >= 6


def test_a_server_writes_for_a_person_where_that_is_set() -> None:
    with running_world({"SLUICE_LOG": "console"}) as world:
        world.send(
            "POST",
            "/v1/chat/completions",
            {"model": "sandbox/echo", "messages": [{"role": "user", "content": "x"}]},
        )
        log = world.gateway.log
    assert re.search(r"^\d\d:\d\d:\d\d 200 chat +sandbox/echo \d+ ms", log, re.MULTILINE), log
    assert '"event":"call"' not in log


def test_a_terminal_gets_the_persons_form_and_a_pipe_json() -> None:
    code = (
        "from app.gateway.layers.log import log_line, take_notes\n"
        "take_notes(str, 'auto')\n"
        "log_line(level='info', event='started', where='here')\n"
    )
    main, other = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=other, check=True, cwd=ROOT, env=bare())
    os.close(other)
    shown = _all_of(main)
    assert "started" in shown
    assert "\x1b[" in shown
    piped = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, env=bare()
    )
    assert piped.stderr.startswith(b'{"time":')


def _all_of(descriptor: int) -> str:
    shown, limit = b"", time.monotonic() + 30
    while b"\n" not in shown and time.monotonic() < limit:
        if select.select([descriptor], [], [], 1)[0]:
            shown += os.read(descriptor, 4096)
    os.close(descriptor)
    return shown.decode()
