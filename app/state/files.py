"""The files of tenants: stored here in chunks, or at a provider with a row here.

A file is written chunk by chunk, each in a short transaction, and exists for its owner once it is ready. A file that was
begun and never made ready is deleted by the purge. Chunks have about 1 MiB and are addressed by their first byte. Appending
a little at a time leaves small chunks, which are joined as soon as they fill one, so all small chunks are together at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, update

from app.errors import GatewayError
from app.state.database import Repository
from app.state.lookup import Page, by_key, read_page, require_row
from app.state.records import NewFile, StoredFile, missing
from app.state.rows import chunks
from app.state.tables import BATCH_RUNNING, AnyRow, batch, db_now, file, file_piece
from app.wire.json import dumps, loads_lenient


class Files(Repository):
    """The files of all tenants."""

    def write(self, new: NewFile, content: Iterable[bytes]) -> StoredFile:
        """Store a file with these bytes and return it; an error of ``content`` leaves nothing."""
        self._db.write(lambda connection: begin(connection, new))
        position = 0
        try:
            for data in content:
                self._db.write(partial(append_bytes, file_id=new.id, position=position, data=data))
                position += len(data)
        except BaseException:
            self._db.write(lambda connection: drop_files(connection, [new.id]))
            raise
        return self._db.write(lambda connection: _finish(connection, new, position))

    def note(self, new: NewFile, size: int) -> StoredFile:
        """Store the row of a file whose ``size`` bytes are at a provider, and return it."""

        def work(connection: Connection) -> StoredFile:
            begin(connection, new)
            return _finish(connection, new, size)

        return self._db.write(work)

    def get(self, tenant: str, file_id: str) -> StoredFile:
        """Return a tenant's file; raises ``not_found``."""
        return _stored_file(self._db.read(lambda connection: _row(connection, tenant, file_id)))

    def several(self, tenant: str, file_ids: Sequence[str]) -> list[StoredFile]:
        """Return those of the tenant's files that exist, in any order."""
        query = select(file).where(file.c.id.in_(file_ids), *_ownership(tenant))
        return [_stored_file(row) for row in self._db.fetch_all(query)]

    def page(
        self, tenant: str, limit: int, after: str | None, *, purpose: str | None, oldest_first: bool
    ) -> Page[StoredFile]:
        """Return some of a tenant's files."""
        conditions = () if purpose is None else (file.c.purpose == purpose,)
        return read_page(
            self._db,
            file,
            limit,
            after,
            _stored_file,
            *conditions,
            visible=_ownership(tenant),
            oldest_first=oldest_first,
        )

    def content(self, file: StoredFile, position: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file that is stored here, from ``position`` on.

        Raises ``not_found`` when some of them are missing."""
        while position < file.bytes:
            data = self.read(file.id, position)
            if not data:
                raise missing(file.id)
            position += len(data)
            yield data

    def read(self, file_id: str, position: int) -> bytes:
        """Return some bytes of a file from ``position`` on; none at its end."""
        return self._db.read(lambda connection: read_chunk(connection, file_id, position))

    def delete(self, tenant: str, file_id: str) -> StoredFile:
        """Delete a tenant's file and return what it was; raises ``not_found``, and ``conflict`` while a batch reads it."""

        def work(connection: Connection) -> StoredFile:
            file = _stored_file(_row(connection, tenant, file_id))
            reader = select(batch.c.id).where(batch.c.input_file_id == file_id, BATCH_RUNNING).limit(1)
            busy = connection.execute(reader).scalar()
            if busy is not None:
                raise GatewayError(
                    "conflict",
                    f"The file is the input of the batch '{busy}', which has not ended; cancel that first.",
                    param="file_id",
                )
            drop_files(connection, [file_id])
            return file

        return self._db.write(work)


def begin(connection: Connection, new: NewFile) -> None:
    """Insert the row of a file that is not ready yet."""
    connection.execute(
        insert(file).values(
            id=new.id,
            tenant=new.tenant,
            purpose=new.purpose,
            bytes=0,
            provider=new.provider,
            realm=new.realm,
            upstream_id=new.upstream_id,
            created_at=db_now(),
            expires_at=None if new.expires_in is None else db_now() + new.expires_in,
            body=dumps(dict(new.members)),
        )
    )


def make_ready(connection: Connection, file_id: str, size: int, members: Mapping[str, Any]) -> None:
    """Let a file of ``size`` bytes exist for its owner."""
    values = {"ready": True, "bytes": size, "body": dumps(dict(members))}
    connection.execute(update(file).where(file.c.id == file_id).values(values))


def drop_old(connection: Connection, condition: ColumnElement[bool], limit: int) -> int:
    """Delete at most ``limit`` files that fit ``condition`` and that no running batch needs; return how many."""
    needed = exists().where(
        BATCH_RUNNING,
        or_(
            batch.c.input_file_id == file.c.id,
            batch.c.output_file_id == file.c.id,
            batch.c.error_file_id == file.c.id,
        ),
    )
    ids = list(connection.execute(select(file.c.id).where(condition, ~needed).limit(limit)).scalars())
    drop_files(connection, ids)
    return len(ids)


_UNREADY_KEPT: Final = 86_400.0


def is_over(older_than: float | None) -> ColumnElement[bool]:
    """Return the condition of files to be deleted: those that expired, those that were never made ready, and those that
    were stored here ``older_than`` seconds ago."""
    over = or_(file.c.expires_at < db_now(), (~file.c.ready) & (file.c.created_at < db_now() - _UNREADY_KEPT))
    if older_than is None:
        return over
    return or_(over, file.c.provider.is_(None) & (file.c.created_at < db_now() - older_than))


def _ownership(tenant: str) -> tuple[ColumnElement[bool], ...]:
    lives = or_(file.c.expires_at.is_(None), file.c.expires_at > db_now())
    return (file.c.tenant == tenant, file.c.ready, lives)


def _finish(connection: Connection, new: NewFile, size: int) -> StoredFile:
    make_ready(connection, new.id, size, new.members)
    return _stored_file(_row(connection, new.tenant, new.id))


def _row(connection: Connection, tenant: str, file_id: str) -> AnyRow:
    query = by_key(file, file_id, *_ownership(tenant))
    return require_row(connection, query, file_id, missing(file_id))


def _stored_file(row: AnyRow) -> StoredFile:
    return StoredFile(
        id=row.id,
        purpose=row.purpose,
        bytes=row.bytes,
        created_at=int(row.created_at),
        expires_at=None if row.expires_at is None else int(row.expires_at),
        members=loads_lenient(bytes(row.body)),
        provider=row.provider,
        realm=row.realm,
        upstream_id=row.upstream_id,
    )


# --- the bytes of files that are stored here -------------------------------------------------------


PIECE: Final = 1024 * 1024
"""The size of a chunk in bytes."""


def append_bytes(connection: Connection, file_id: str, position: int, data: bytes) -> None:
    """Store ``data`` as the bytes of a file from ``position`` on, which is its end."""
    if position // PIECE != (position + len(data)) // PIECE:
        position, data = _join_small_chunks(connection, file_id, position, data)
    for start in range(0, len(data), PIECE):
        some = data[start : start + PIECE]
        row = {"file_id": file_id, "position": position + start, "size": len(some), "body": some}
        connection.execute(insert(file_piece).values(row))


def read_chunk(connection: Connection, file_id: str, position: int) -> bytes:
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
    query = select(file_piece.c.position, file_piece.c.body).where(*small).order_by(file_piece.c.position)
    rows = connection.execute(query).all()
    if not rows:
        return position, data
    connection.execute(delete(file_piece).where(*small))
    return rows[0].position, b"".join([*(bytes(row.body) for row in rows), data])
