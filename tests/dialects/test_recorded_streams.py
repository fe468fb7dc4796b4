"""What holds for every recorded stream of every wire: the order of events, and that neither
the cuts between reads nor the ends of lines change what is read."""

from __future__ import annotations

import pytest

from tests.dialects import generic
from tests.dialects.recorded import WIRES, Wire, sse
from tests.traffic.load import Exchange, require

STREAMS = [
    pytest.param(wire, exchange, id=f"{name}-{exchange.id}")
    for name, wire in WIRES.items()
    for exchange in wire.streams
]
TEXT = [
    pytest.param(wire, exchange, id=f"{name}-{exchange.id}")
    for name, wire in WIRES.items()
    if wire.cut is sse
    for exchange in wire.streams
]


def test_every_wire_was_recorded_as_streams() -> None:
    require()
    assert [name for name, wire in WIRES.items() if not wire.streams] == []


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_events_keep_their_order(wire: Wire, exchange: Exchange) -> None:
    generic.assert_order(wire.events(exchange))


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_a_stream_reads_the_same_however_it_is_cut(wire: Wire, exchange: Exchange) -> None:
    whole = wire.frames(exchange)
    for size in generic.CHUNK_SIZES:
        assert wire.frames(exchange, size) == whole


@pytest.mark.parametrize(("wire", "exchange"), TEXT)
@pytest.mark.parametrize("lines", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_a_stream_reads_the_same_whatever_ends_its_lines(
    wire: Wire, exchange: Exchange, lines: bytes
) -> None:
    for size in (1, generic.CHUNK_SIZES[-1]):
        assert wire.frames(exchange, size, lines=lines) == wire.frames(exchange)


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_what_follows_the_end_says_nothing(wire: Wire, exchange: Exchange) -> None:
    decoder, frames = wire.decoder(exchange), wire.frames(exchange)
    generic.decoded(decoder, frames)
    assert generic.decoded(decoder, frames) == []
