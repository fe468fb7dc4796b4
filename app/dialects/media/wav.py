"""The RIFF header that makes raw PCM samples a WAV file."""

from __future__ import annotations

import struct
from typing import Final

HEADER_SIZE: Final = 44
_UNKNOWN: Final = 0xFFFFFFFF
_PCM: Final = 1
_CHANNELS: Final = 1
_BITS: Final = 16
_FRAME: Final = _CHANNELS * _BITS // 8  # bytes


def wav_header(size: int | None, *, rate: int) -> bytes:
    """Return the header, 44 bytes, of a WAV file with ``size`` bytes of little-endian PCM samples.

    ``rate`` is samples per second. Without ``size`` the header has the largest length, as players expect
    of a stream.
    """
    data = _UNKNOWN if size is None else min(size, _UNKNOWN)
    riff = _UNKNOWN if size is None else min(size + HEADER_SIZE - 8, _UNKNOWN)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        _CHANNELS,
        rate,
        rate * _FRAME,
        _FRAME,
        _BITS,
        b"data",
        data,
    )


def wav(samples: bytes, *, rate: int) -> bytes:
    """Return a WAV file of ``samples`` (little-endian PCM)."""
    return wav_header(len(samples), rate=rate) + samples
