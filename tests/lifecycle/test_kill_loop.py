"""The short form of the kill loop; ``python -m tests.lifecycle.kill_loop --minutes N`` is the long one."""

from __future__ import annotations

import gevent
import pytest

from tests.lifecycle.conftest import new_postgres
from tests.lifecycle.kill_loop import fire

SECONDS = 4.0


@pytest.mark.timeout(180)
def test_nothing_acknowledged_is_lost_by_killing() -> None:
    with new_postgres() as url:
        houses = [gevent.spawn(fire, SECONDS, None, 11), gevent.spawn(fire, SECONDS, url, 12)]
        gevent.joinall(houses, raise_error=True)
    for loop, faults in (house.value for house in houses):
        assert faults == []
        assert loop.kills >= 2
        assert len({promise.kind for promise in loop.promises}) >= 4
