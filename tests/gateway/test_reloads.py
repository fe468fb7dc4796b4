"""A worker follows the reloads of other servers, also after one that changed nothing here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from app.gateway import reloads
from app.reload_report import Board
from app.state import revisions
from app.state.state import open_state
from tests.lifecycle.house import eventually


def test_each_reload_of_another_server_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    board = Board()
    board.open()
    monkeypatch.setattr(reloads, "BOARD", board)
    monkeypatch.setattr(reloads.os, "getppid", os.getpid)
    monkeypatch.setattr(reloads.os, "kill", lambda pid, number: signals.append(number))
    state = open_state(f"sqlite:///{tmp_path}/s.db", {})
    watch = reloads.follow(state.db, lambda: False)
    try:
        for count in (1, 2):  # the first may have met a faulty file, which changes nothing
            now = int(time.time() * 1000)
            state.db.write(lambda c, now=now: revisions.advance(c, reloads.TOPIC, now), [reloads.TOPIC])
            eventually(lambda count=count: len(signals) == count)
    finally:
        watch.stop()
        state.stop(0)
    assert signals == [signal.SIGHUP] * 2
