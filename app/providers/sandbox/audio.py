"""Speech without a voice: a tone for each word, in a WAV file that carries its own text.

The text stands in the file's INFO list as a comment, where any player shows it and a
transcription reads it again.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator
from typing import Final
from zlib import crc32

from app.canonical.record import record

RATE: Final = 24_000  # samples a second, 16 bits, one channel: OpenAI's own PCM
TONE: Final = 0.20  # seconds of a word at speed 1
GAP: Final = 0.05
_LOUDNESS: Final = 8_000
_PERIODS: Final = 64  # different tones
_LOWEST: Final = 48  # samples of the highest tone's period: 500 Hz
_COMMENT: Final = b"ICMT"


MAX_BYTES: Final = 12 * 1024 * 1024
"""Bytes of sound in one answer."""


def sound_bytes(text: str, speed: float = 1.0) -> int:
    """Return about how many bytes ``speak`` makes of ``text``."""
    return int(max(1, len(text.split())) * (TONE + GAP) * RATE * 2 / max(0.25, min(speed, 4.0)))


def speak(text: str, speed: float = 1.0) -> Iterator[bytes]:
    """Yield raw PCM samples (24 kHz, 16 bits little-endian, mono), one piece a word."""
    for word in text.split() or [""]:
        yield _tone(crc32(word.encode("utf-8", "replace")) % _PERIODS, max(0.25, min(speed, 4.0)))


def _tone(number: int, speed: float) -> bytes:
    period = _LOWEST + number
    wave = array("h", (round(_LOUDNESS * math.sin(2 * math.pi * at / period)) for at in range(period)))
    samples = wave * (int(TONE * RATE / speed) // period)
    samples.extend([0] * int(GAP * RATE / speed))
    if samples.itemsize != 2 or struct.pack("=h", 1) != struct.pack("<h", 1):
        samples.byteswap()
    return samples.tobytes()


def wav_head(text: str, size: int) -> bytes:
    """Return what comes before ``size`` bytes of samples in a WAV file that says ``text``."""
    comment = text.encode("utf-8", "replace") + b"\0"
    comment += b"\0" * (len(comment) % 2)
    info = b"INFO" + _COMMENT + struct.pack("<I", len(comment)) + comment
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    head = b"WAVE" + form + b"LIST" + struct.pack("<I", len(info)) + info
    return b"RIFF" + struct.pack("<I", len(head) + 8 + size) + head + b"data" + struct.pack("<I", size)


def wav_file(text: str, speed: float = 1.0) -> bytes:
    """Return a WAV file that speaks ``text`` and carries it."""
    samples = b"".join(speak(text, speed))
    return wav_head(text, len(samples)) + samples


@record
class Recording:
    """What can be read of an audio file: the text it carries, and its length in seconds."""

    text: str | None = None
    seconds: float | None = None


def read_recording(data: bytes) -> Recording:
    """Return what a WAV file says; an empty Recording for any other or a broken file."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return Recording()
    text, rate, size = None, 0, 0
    for name, content, length in _chunks(data, 12):
        if name == b"fmt " and len(content) >= 12:
            rate = int(struct.unpack_from("<I", content, 8)[0])
        elif name == b"LIST" and content[:4] == b"INFO":
            text = _comment(content)
        elif name == b"data":
            size = length
    return Recording(text, size / rate if rate else None)


def _chunks(data: bytes, start: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, content and true length of each chunk; sample data is not copied."""
    while start + 8 <= len(data):
        name, length = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8], "little")
        length = min(length, len(data) - start - 8)
        yield name, b"" if name == b"data" else data[start + 8 : start + 8 + length], length
        start += 8 + length + length % 2


def _comment(content: bytes) -> str | None:
    for name, chunk, _ in _chunks(content, 4):
        if name == _COMMENT:
            return chunk.rstrip(b"\0").decode("utf-8", "replace")
    return None
