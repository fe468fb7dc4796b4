"""The bytes of files, whatever the sizes in which they are appended."""

from __future__ import annotations

import random

import pytest

from app.state.files import PIECE
from app.state.records import NewFile
from app.state.state import State
from tests.state.turns import TENANT

SIZES = [
    [PIECE * 3 // 2] * 4,
    [PIECE - 1, 1, PIECE, PIECE + 1, 5],
    [10, PIECE * 3, 10, PIECE * 3, 10],
    [PIECE // 3] * 10,
]


@pytest.mark.parametrize("sizes", SIZES)
def test_a_file_is_the_bytes_that_were_appended(state: State, sizes: list[int]) -> None:
    parts = [random.randbytes(size) for size in sizes]
    stored = state.files.write(NewFile("file-1", TENANT, "batch"), parts)
    assert stored.bytes == sum(sizes)
    assert b"".join(state.files.content(stored)) == b"".join(parts)
    assert b"".join(state.files.content(stored, PIECE + 7)) == b"".join(parts)[PIECE + 7 :]
