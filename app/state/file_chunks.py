"""The bytes of files that are stored here: chunks of about 1 MiB, addressed by their first byte.

Appending a little at a time leaves small chunks, which are joined as soon as they fill one. So all small chunks are
together at the end, whatever is appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from app.state.rows import chunks
from app.state.tables import file, file_piece

PIECE: Final = 1024 * 1024
"""The size of a chunk in bytes."""


def append(connection: Connection, file_id: str, position: int, data: bytes) -> None:
    """Store ``data`` as the bytes of a file from ``position`` on, which is its end."""
    if position // PIECE != (position + len(data)) // PIECE:
        position, data = _join_small_chunks(connection, file_id, position, data)
    for start in range(0, len(data), PIECE):
        some = data[start : start + PIECE]
        row = {"file_id": file_id, "position": position + start, "size": len(some), "body": some}
        connection.execute(insert(file_piece).values(row))


def read(connection: Connection, file_id: str, position: int) -> bytes:
    """Return the bytes from ``position`` to the end of its chunk; none at the end of the file."""
    row = connection.execute(
        select(file_piece.c.position, file_piece.c.body)
        .where(file_piece.c.file_id == file_id, file_piece.c.position <= position)
        .order_by(file_piece.c.position.desc())
        .limit(1)
    ).first()
    return b"" if row is None else bytes(row.body)[position - row.position :]


def drop_files(connection: Connection, ids: Sequence[str]) -> None:
    """Delete files with their chunks."""
    for some in chunks(ids):
        connection.execute(delete(file_piece).where(file_piece.c.file_id.in_(some)))
        connection.execute(delete(file).where(file.c.id.in_(some)))


def _join_small_chunks(connection: Connection, file_id: str, position: int, data: bytes) -> tuple[int, bytes]:
    """Delete the small chunks at the end; return the position of the first, and their bytes followed by ``data``."""
    small = (file_piece.c.file_id == file_id, file_piece.c.size < PIECE)
    chosen = select(file_piece.c.position, file_piece.c.body).where(*small).order_by(file_piece.c.position)
    rows = connection.execute(chosen).all()
    if not rows:
        return position, data
    connection.execute(delete(file_piece).where(*small))
    return rows[0].position, b"".join([*(bytes(row.body) for row in rows), data])
