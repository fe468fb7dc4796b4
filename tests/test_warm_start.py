"""A gateway forked from the warm process is the one that a start of its own would give."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.running import (
    ROOT,
    Process,
    environment,
    free_port,
    running_gateway,
    start_cold,
    start_warm,
    warm_process,
)

PROBE = """
import gc, json, os, signal, sys, time
from gevent import monkey
given = dict(os.environ)
patched = sorted(name for name in monkey.saved if monkey.is_module_patched(name))
from wsgi import _settings, app
handlers = {int(number): getattr(signal.getsignal(number), "__qualname__", str(signal.getsignal(number)))
            for number in signal.valid_signals()}
umask = os.umask(0)
os.umask(umask)
values = {
    "environment": given, "remaining environment": dict(os.environ), "settings": repr(_settings),
    "patched": patched, "handlers": handlers, "arguments": sys.argv, "path": sys.path, "flags": str(sys.flags),
    "folder": os.getcwd(), "group": os.getpgid(0), "session": os.getsid(0), "umask": umask, "zone": time.tzname,
    "files": sorted(os.readlink(f"/proc/self/fd/{number}") for number in range(3)),
    "threads": len(os.listdir("/proc/self/task")), "collector": [gc.isenabled(), gc.get_threshold()],
    "console": [sys.stdout.isatty(), sys.stdout.line_buffering, sys.stdout.encoding, sys.stderr.encoding],
}
with open(f"{os.getpid()}.part", "w") as file:
    json.dump(values, file)
os.rename(file.name, f"report-{os.getppid()}.json")
"""
GUNICORN = ("-c", str(ROOT / "gunicorn.conf.py"))
Start = Callable[[Sequence[str], Path, Mapping[str, str], Path], Process]
VARIABLES = {
    **{"OPENAI_API_KEY": "sk-o", "SLUICE_KEYS": "ann:sk-ann-0123456789", "SLUICE_MASTER_KEY": "sk-master"},
    **{"WEB_CONCURRENCY": "2", "FORWARDED_ALLOW_IPS": "127.0.0.9", "TZ": "Asia/Kolkata"},
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """All variables of a gateway in ``tmp_path``."""
    return environment(VARIABLES, tmp_path, free_port()) | {"SLUICE_CONFIG": ""}


def test_a_worker_sees_the_process_settings_and_environment_of_a_cold_start(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    arguments = [*GUNICORN, "--pythonpath", f"{ROOT},{tmp_path}", "probe:app"]
    log = tmp_path / "gateway.log"

    def probe(start: Start) -> dict[str, Any]:
        process = start(arguments, tmp_path, environ, log)
        report = tmp_path / f"report-{process.pid}.json"
        try:
            limit = time.monotonic() + 40
            while not report.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < limit, log.read_text()
                time.sleep(0.02)
            values: dict[str, Any] = json.loads(report.read_text())
            return values
        finally:
            process.kill()
            assert process.wait(5) == -signal.SIGKILL

    assert probe(start_warm) == probe(start_cold)


def test_gunicorns_own_settings_are_those_of_a_cold_start(tmp_path: Path, environ: dict[str, str]) -> None:
    def printed(start: Start) -> str:
        process = start([*GUNICORN, "--print-config", "wsgi:app"], tmp_path, environ, tmp_path / "log")
        assert process.wait(20) == 0
        return re.sub("0x[0-9a-f]+", "0x", (tmp_path / "log").read_text())

    assert printed(start_warm) == printed(start_cold)


def test_no_two_gateways_share_what_the_warm_process_holds() -> None:
    with running_gateway():
        place = Path(f"/proc/{warm_process().pid}")
        files = {number: os.readlink(place / "fd" / number) for number in os.listdir(place / "fd")}
        assert set(files) == {"0", "1", "2"}, files
        assert len(os.listdir(place / "task")) == 1
        shared = [line for line in (place / "maps").read_text().splitlines() if " rw-s " in line]
        assert not shared
