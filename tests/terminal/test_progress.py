"""Lines of progress: seen on a terminal while the work lasts, and nowhere else."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from app.terminal import progress
from tests import environment
from tests.running import ROOT


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(progress, "_AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    return made


def _lines(screen: Screen) -> list[str]:
    return screen.getvalue().split("\r\x1b[K")[1:]


def test_a_bar_grows_and_is_gone_at_the_end(screen: Screen) -> None:
    with progress.line("sealing", screen) as told:
        told.update(1, 4, "files")
        gevent.sleep(0.25)
        told.update(4, 4)
    first, *_, last = _lines(screen)
    assert first == f"files              [{'#' * 7}{'.' * 23}] 1/4, 0 s"[:59]
    assert last == ""
    assert all(len(one) < 60 for one in _lines(screen))


def test_work_without_an_end_tells_that_it_goes_on(screen: Screen) -> None:
    with progress.line("looking", screen) as told:
        gevent.sleep(0.25)
        told.clear()
        told.update(7)
    seen = _lines(screen)
    assert seen[0] == "looking … 0 s"
    assert seen[-1] == ""


def test_short_work_is_not_told_of(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_AFTER", 60.0)
    with progress.line("looking", screen) as told:
        told.update(1, 2)
        gevent.sleep(0.15)
    assert screen.getvalue() == ""


@pytest.mark.parametrize("is_dumb", [True, False])
def test_what_is_no_terminal_is_told_nothing(
    is_dumb: bool, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = screen if is_dumb else io.StringIO()
    monkeypatch.setenv("TERM", "dumb" if is_dumb else "xterm")
    with progress.line("looking", stream) as told:
        told.update(1, 2)
        gevent.sleep(0.15)
        told.clear()
    assert stream.getvalue() == ""


SLOW = """
from gevent import monkey
monkey.patch_all()
import sys, time
from app import cli
from app.state.database import Database
real = Database.open
def slow(url):
    time.sleep(1.2)
    return real(url)
Database.open = slow
sys.exit(cli.main(["db", "upgrade"]))
"""


def test_a_command_tells_it_on_a_real_terminal_only(tmp_path: Path) -> None:
    env = {**environment.bare(), "DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db", "TERM": "xterm"}
    command = [sys.executable, "-c", SLOW]
    reader, writer = pty.openpty()
    result = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=writer, timeout=60, check=False
    )
    os.close(writer)
    shown = os.read(reader, 65_536).decode()
    os.close(reader)
    assert (result.returncode, result.stdout) == (0, b"the database is up to date\n")
    assert "preparing the database … 1 s" in shown
    assert shown.endswith("\r\x1b[K")
    piped = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=60, check=False)
    assert (piped.returncode, piped.stderr) == (0, b"")
