"""Chunks that say again what the last one said, but for the text: nearly all of a stream.

Reading such a chunk changes nothing but the text, so the whole look at its members need not
be repeated: one comparison of two JSON values stands for it.
"""

from __future__ import annotations

from typing import Any, Final

_MAX_MISSES: Final = 8  # chunks in a row that were no repetition, before it is no longer looked for
_FREE: Final = ("created", "obfuscation", "p")
"""Members that may differ: the time of a chunk, and padding."""


class Repeats:
    """Remembers the last chunk of plain text: one choice, whose delta is text and nothing else."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None
        self._delta: dict[str, Any] = {}
        self._free: list[str] = []
        self._misses = 0

    def text_of(self, chunk: Any) -> str | None:
        """Return the text of a chunk that differs from the last one by its text alone, else None."""
        last = self._last
        if last is None:
            return None
        text = _plain_text(chunk)
        if not text:
            return None
        self._delta["content"] = text
        for name in self._free:
            last[name] = chunk.get(name)
        if chunk != last:
            return None
        self._misses = 0
        return text

    def learn(self, chunk: Any, *, plain: bool) -> None:
        """Remember ``chunk``, which was no repetition; ``plain``: it was read as one piece of text."""
        self._last = None
        self._misses += 1
        if not plain or self._misses > _MAX_MISSES or not _plain_text(chunk):
            return
        choice = chunk["choices"][0]
        self._delta = dict(choice["delta"])
        self._last = {**chunk, "choices": [{**choice, "delta": self._delta}]}
        self._free = [name for name in _FREE if name in chunk]


def _plain_text(chunk: Any) -> str | None:
    """Return the text of a chunk that holds one choice with text alone, None for any other."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    if not isinstance(delta, dict) or len(delta) != 1 or choices[0].get("finish_reason") is not None:
        return None
    text = delta.get("content")
    return text if isinstance(text, str) else None
