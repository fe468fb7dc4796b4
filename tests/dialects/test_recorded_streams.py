"""What holds for every recorded stream of every wire: the order of events, and that neither
the cuts between reads nor the ends of lines change what is read."""

from __future__ import annotations

import itertools

import pytest

from tests.dialects import generic
from tests.dialects.recorded import WIRES, Wire, sse
from tests.traffic.load import Exchange, require

STREAMS = [
    pytest.param(wire, exchange, id=f"{name}-{exchange.id}")
    for name, wire in WIRES.items()
    for exchange in wire.streams
]
# Each stream at one cut and one end of lines, in turn: tests/wire/test_sse.py has every pair over every stream.
CUTS = [
    pytest.param(*stream.values, size, lines if stream.values[0].cut is sse else b"\n", id=stream.id)
    for stream, (size, lines) in zip(
        STREAMS,
        itertools.cycle(itertools.product(generic.CHUNK_SIZES, (b"\n", b"\r\n", b"\r"))),
        strict=False,
    )
]


def test_every_wire_was_recorded_as_streams() -> None:
    require()
    assert [name for name, wire in WIRES.items() if not wire.streams] == []


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_events_keep_their_order(wire: Wire, exchange: Exchange) -> None:
    generic.assert_order(wire.events(exchange))


@pytest.mark.parametrize(("wire", "exchange", "size", "lines"), CUTS)
def test_a_stream_reads_the_same_however_it_is_cut_and_its_lines_end(
    wire: Wire, exchange: Exchange, size: int, lines: bytes
) -> None:
    assert wire.frames(exchange, size, lines=lines) == wire.frames(exchange)


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_what_follows_the_end_says_nothing(wire: Wire, exchange: Exchange) -> None:
    decoder, frames = wire.decoder(exchange), wire.frames(exchange)
    generic.decoded(decoder, frames)
    assert generic.decoded(decoder, frames) == []
