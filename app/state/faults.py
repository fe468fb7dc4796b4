"""Trouble of the database becomes one kind of error: 503 with ``Retry-After``.

Trouble is what an operator can mend and a caller may try again: the database is locked, down, too slow, read-only or damaged, the
disk is full, the gateway may not use its tables, or a trigger of the operator's refuses a row. A wrong statement or a broken constraint is a defect of ours and passes as it is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import exc
from sqlalchemy.engine import URL

from app.errors import GatewayError

_TROUBLE = (
    *(exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError, TimeoutError),
    *(sqlite3.OperationalError, sqlite3.InterfaceError, sqlite3.InternalError),
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REFUSED = frozenset({"42501", "42P01", "P0001"})
"""PostgreSQL's codes of a table that this user may not use, of one that is not there, and of what a trigger raises (its Appendix
A)."""
_RETRY_AFTER = 2


def is_trouble(error: BaseException) -> bool:
    """Tell whether ``error`` comes from the database's condition and not from a defect of ours."""
    is_cut = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    return is_cut or isinstance(error, _TROUBLE) or _is_damaged_or_refused(error)


def _is_damaged_or_refused(error: BaseException) -> bool:
    """Tell whether the database's file is damaged, or PostgreSQL refuses by a rule of the operator's."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the rest says more of the same
    return code in _DAMAGE or getattr(cause, "sqlstate", None) in _REFUSED


def unavailable(error: BaseException, cause: str | None = None) -> GatewayError:
    """Return the error that a client sees; ``raw`` has ``cause``, or the database's own words."""
    return GatewayError(
        "store_unavailable",
        "The response store is not available at the moment. Please try again.",
        retry_after=_RETRY_AFTER,
        raw=cause or str(error),
    )


def cause_of(error: BaseException, url: URL) -> str:
    """Return why the database at ``url`` cannot be opened, in a sentence without its password."""
    if url.get_backend_name() == "sqlite":
        return f"{url.database}: {_cause_in_file(error, Path(str(url.database)))}"
    words = " ".join(line.strip() for line in _driver_words(error).splitlines())
    return f"{url.host or 'the local socket'}, database {url.database!r}: {words}"


def _driver_words(error: BaseException) -> str:
    """Return the driver's own words, without the statement that SQLAlchemy adds."""
    return str(error.orig) if isinstance(error, exc.DBAPIError) else str(error)


def _cause_in_file(error: BaseException, path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    if path.is_dir():
        return "this is a folder, not a file"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "this process may not read and write the file"
    if not os.access(folder, os.W_OK):
        return f"this process may not write in the folder {folder}, where SQLite keeps its journal"
    return _driver_words(error)


@contextmanager
def opening(url: URL) -> Iterator[None]:
    """Turn whatever keeps a database from being opened into ``store_unavailable`` that says why."""
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise unavailable(error, cause_of(error, url)) from error


def refuse_trouble(error: BaseException) -> None:
    """Raise ``GatewayError('store_unavailable')`` where ``error`` is trouble of the database."""
    if is_trouble(error):
        raise unavailable(error) from error
