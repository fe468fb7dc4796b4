"""A newcomer's first minutes: a clone of the last commit, ``make run``, the README's line, ``make test``.

The clone borrows the packages of the environment that runs the tests, as one that make has built before;
.ci/run builds one from nothing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.environment import bare
from tests.running import free_port
from tests.services import leave_out

STAMPS = {"run": "requirements.txt", "dev": "requirements-dev.txt"}


@pytest.fixture(scope="module")
def clone(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this checkout's HEAD, with an environment that make takes for its own and never changes."""
    if not (repo_dir / ".git").exists():
        leave_out("this is no Git checkout")
    folder = tmp_path_factory.mktemp("newcomer") / "sluice"
    subprocess.run(["git", "clone", "--quiet", "--local", repo_dir, folder], check=True, timeout=30)
    borrowed = folder / ".venv"
    borrowed.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (borrowed / entry.name).symlink_to(entry)
    (borrowed / ".created").touch()
    for kind, lock in STAMPS.items():
        with (folder / lock).open("rb") as text:
            result = subprocess.run(["cksum"], stdin=text, capture_output=True, text=True, check=True)
        (borrowed / f".{kind}-{result.stdout.split()[0]}").touch()
    return folder


def _environ(clone: Path, more: dict[str, str]) -> dict[str, str]:
    """Return a bare environment in which the clone's own code is found before the borrowed one."""
    return {**bare(), "PYTHONPATH": str(clone), **more}


def _make(clone: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=clone,
        env=_environ(clone, environ),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@contextmanager
def _make_run(clone: Path, log: Path, **environ: str) -> Iterator[str]:
    """``make run`` until the block ends; yields the line it printed."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=clone,
            env=_environ(clone, environ),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        limit = time.monotonic() + 50
        while not (printed := re.search(r"^  (curl .*)$", log.read_text(), re.MULTILINE)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.1)
        yield printed[1]
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # what ^C does in a terminal, politely
        process.wait(20)


def test_make_run_serves_and_prints_a_line_that_works(clone: Path, tmp_path: Path) -> None:
    port = str(free_port())
    with _make_run(clone, tmp_path / "run.log", PORT=port) as line:
        assert f"127.0.0.1:{port}/" in line
        result = subprocess.run(["sh", "-c", line], capture_output=True, timeout=20, check=True)
        assert json.loads(result.stdout)["output"][0]["content"][0]["text"] == "You said: Hello"
    assert (clone / "sluice.db").exists()
    status = subprocess.run(
        ["git", "status", "--short"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""  # nothing a newcomer could commit by mistake


def test_make_run_with_keys_turns_providers_on(clone: Path, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    keys = {"ANTHROPIC_API_KEY": "sk-ant-x", "GROQ_API_KEY": "gsk_x"}
    bases = {"ANTHROPIC_BASE_URL": dead, "GROQ_BASE_URL": dead, "SLUICE_MAX_RETRIES": "0"}
    port = str(free_port())
    with _make_run(clone, tmp_path / "run.log", PORT=port, **keys, **bases):
        body = {"model": "anthropic/claude-sonnet-4-5", "input": "hi", "fallbacks": ["groq/x"]}
        answer = requests.post(f"http://127.0.0.1:{port}/v1/responses", json=body, timeout=20).json()
    tried = [(attempt["provider"], attempt["error"]) for attempt in answer["extra_fields"]["attempts"]]
    assert tried == [("anthropic", "upstream_unreachable"), ("groq", "upstream_unreachable")]


def test_make_alone_lists_every_target(clone: Path) -> None:
    done = _make(clone)
    listed = set(re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (clone / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert listed == set(phony[1].split())


def test_some_of_the_tests_run_and_name_what_they_left_out(clone: Path) -> None:
    done = _make(
        clone, "test", "ARGS=tests/test_bind_address.py tests/deploy/test_boot.py -k 'serving or postgres'"
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^SKIPPED .*SLUICE_TEST_POSTGRES_URL is not set$", done.stdout, re.MULTILINE)


THEIRS = {
    **{
        "PORT": "eighty",
        "DATABASE_URL": "nonsense://",
        "SLUICE_KEYS": "ann:sk-ann",
        "OPENAI_API_KEY": "sk-theirs",
    },
    **{
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
    },
    **{
        "GUNICORN_CMD_ARGS": "--nonsense",
        "PYTEST_ADDOPTS": "--nonsense",
        "WEB_CONCURRENCY": "many",
        "CI": "true",
    },
    **{
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "AWS_PROFILE": "theirs",
        "SSL_CERT_FILE": "/nowhere",
    },
    **{"ARGS": "--nonsense", "TZ": "Asia/Kolkata", "LC_ALL": "tr_TR.ISO-8859-9", "PIP_USER": "1"},
}


def test_the_tests_see_nothing_of_the_callers_environment(clone: Path) -> None:
    done = _make(clone, "test", "ARGS=tests/test_cli.py tests/test_config.py", **THEIRS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_left_out_fails_where_nothing_may_be(clone: Path) -> None:
    done = _make(clone, "test", "ARGS=tests/deploy/test_boot.py -k store[postgres]", SLUICE_CI="1")
    assert done.returncode != 0
    assert "left out although SLUICE_CI=1" in done.stdout


def test_a_machine_without_python_is_told_so(clone: Path) -> None:
    done = _make(clone, "run", "VENV=.other", "PYTHONS=python-that-is-not-there")
    assert done.returncode != 0
    assert "No Python from 3.11 on with venv was found (tried: python-that-is-not-there)." in done.stderr
