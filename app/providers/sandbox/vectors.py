"""Embeddings without a model: hashed words and their pieces, so that similar texts are near.

Each word adds to a few coordinates, and each of its three-letter pieces adds less to one more.
Deterministic, of length 1.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final
from zlib import crc32

DIMENSIONS: Final = 256
MAX_DIMENSIONS: Final = 4096
MAX_NUMBERS: Final = 2048 * DIMENSIONS
"""Numbers in one answer: OpenAI's longest list of inputs, at the usual length."""

_WORD: Final = re.compile(r"\w+")
_POINTS: Final = 6  # coordinates that a word adds to
_PIECE_WEIGHT: Final = 0.4


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return the unit vector of ``text``; a text without words has one of its own."""
    vector = [0.0] * dimensions
    words = Counter(_WORD.findall(text.lower())) or Counter([text])
    for word, count in words.items():
        weight = 1.0 + math.log(count)
        for point in range(_POINTS):
            _add(vector, f"{point} {word}", weight)
        framed_word = f"<{word}>"
        for start in range(len(framed_word) - 2):
            _add(vector, framed_word[start : start + 3], weight * _PIECE_WEIGHT)
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:  # all that was added cancelled out
        return [1.0, *vector[1:]]
    return [value / length for value in vector]


def _add(vector: list[float], feature: str, weight: float) -> None:
    mark = crc32(feature.encode("utf-8", "replace"))
    vector[(mark >> 1) % len(vector)] += weight if mark & 1 else -weight
