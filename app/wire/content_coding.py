"""The content encodings of answers, undone a little at a time.

We request identity, so this is for servers and proxies that ignore that. Tests:
tests/wire/test_http1.py, tests/behaviour/test_encoded_answers.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from app.wire.http1 import Cut, Malformed

_INFLATED: Final = 4096  # compressed bytes that are undone at once: zlib copies what follows a member
_ZLIB_METHOD: Final = 8  # the low half of zlib's first byte; bare deflate begins with none such
_GZIP_MARK: Final = 0x1F
_CODINGS: Final = {
    **dict.fromkeys(("gzip", "x-gzip", "deflate"), True),
    **dict.fromkeys(("br", "zstd", "compress", "x-compress", "dcb", "dcz"), False),
}
"""The content codings that compress (IANA's registry), and whether they can be undone here."""


class Inflater:
    """Undoes gzip or deflate, never more than a given size at once.

    Deflate may come without its zlib wrapper, as some servers send it, and gzip in many members, with zeros behind the
    last (gzip's manual, "Tapes").
    """

    def __init__(self, coding: str = "gzip") -> None:
        self._may_be_raw = coding == "deflate"
        self._zlib: Any = None  # of the current member
        self._data = b""
        self._at = 0  # how much of the data is used

    @property
    def holds(self) -> bool:
        """Whether fed bytes wait to be inflated."""
        return self._at < len(self._data)

    def feed(self, data: bytes, limit: int) -> bytes:
        """Return up to ``limit`` bytes of content, none only if it holds nothing; ``Malformed`` for data that is not
        gzip or deflate.
        """
        if data:
            self._data, self._at = self._data[self._at :] + data, 0
        content = b""
        while not content and self.holds:
            if self._zlib is None or self._zlib.eof:
                self._begin_member()
            else:
                content = self._inflate(limit)
        return content

    def end(self) -> None:
        """Note that the body ended; ``Cut`` if the compressed data had not."""
        if self._zlib is not None and not self._zlib.eof:
            raise Cut("cut within its compressed data")

    def _begin_member(self) -> None:
        if self._zlib is not None and self._data[self._at] == 0:
            self._at += 1
            return
        bits = zlib.MAX_WBITS | 32
        if (
            self._may_be_raw
            and self._data[self._at] & 15 != _ZLIB_METHOD
            and self._data[self._at] != _GZIP_MARK
        ):
            bits = -zlib.MAX_WBITS
        self._zlib = zlib.decompressobj(bits)

    def _inflate(self, limit: int) -> bytes:
        piece = self._data[self._at : self._at + _INFLATED]
        try:
            content: bytes = self._zlib.decompress(piece, limit)
        except zlib.error as error:
            raise Malformed("a broken content encoding") from error
        self._at += len(piece) - len(self._zlib.unused_data or self._zlib.unconsumed_tail)
        return content


def inflater_of(headers: Mapping[str, str]) -> Inflater | None:
    """Return an inflater for the content encoding, None for identity and for names that are not encodings, such
    as a charset; ``Malformed`` for an encoding that cannot be undone.
    """
    codings = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    ours = [coding for coding in codings if coding in _CODINGS]
    if not ours:
        return None
    if len(ours) == 1 and _CODINGS[ours[0]]:
        return Inflater(ours[0])
    raise Malformed(f"its content encoding '{', '.join(ours)}' was not requested")
