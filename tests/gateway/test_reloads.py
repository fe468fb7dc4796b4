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


@pytest.mark.parametrize("ahead", [0, -3_600, 3_600])
def test_each_reload_of_another_server_is_followed(
    ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the clock of the other is ahead of this one's, or behind."""
    signals: list[int] = []
    board = Board()
    board.open()
    monkeypatch.setattr(reloads, "BOARD", board)
    monkeypatch.setattr(reloads.os, "getppid", os.getpid)
    monkeypatch.setattr(reloads.os, "kill", lambda pid, number: signals.append(number))
    state = open_state(f"sqlite:///{tmp_path}/s.db", {})
    asked, current = [], revisions.current
    monkeypatch.setattr(revisions, "current", lambda *place: asked.append(place) or current(*place))
    watch = reloads.follow(state.db, lambda: False)
    try:
        eventually(lambda: asked)
        for count in (1, 2):  # the first may have met a faulty file, which changes nothing
            now = int(time.time() + ahead) * 1000
            state.db.write(lambda c, now=now: revisions.advance(c, reloads.TOPIC, now), [reloads.TOPIC])
            eventually(lambda count=count: len(signals) == count)
    finally:
        watch.stop()
        state.stop(0)
    assert signals == [signal.SIGHUP] * 2
