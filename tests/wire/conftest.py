"""Clocks for loopback tests, and a transport without an environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.wire.clocks import Clocks
from app.wire.egress import Egress, Transport


@pytest.fixture
def clocks() -> Clocks:
    """Limits that no healthy loopback call comes near."""
    return Clocks(connect=5, first_byte=5, idle=5, total=10)


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A direct transport."""
    transport = Egress().transport()
    yield transport
    transport.close()
