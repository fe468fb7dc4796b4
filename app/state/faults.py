"""What a database's trouble becomes: one kind of error, 503 with ``Retry-After``.

Trouble is what an operator can cure and a caller may try again: locked, down, timed
out, disk full, read-only. A wrong statement or a broken constraint is a defect of
ours and passes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from app.errors import GatewayError

_TROUBLE = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError, TimeoutError)
_RETRY_AFTER = 2


def is_trouble(error: BaseException) -> bool:
    """Say whether ``error`` is the database's state and not a defect of ours."""
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, _TROUBLE)


def unavailable(error: BaseException) -> GatewayError:
    """Make the error a client sees; the database's own words stay in ``raw``."""
    return GatewayError(
        "store_unavailable",
        "The response store is not available at the moment. Please try again.",
        retry_after=_RETRY_AFTER,
        raw=str(error),
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn database trouble inside the block into ``GatewayError('store_unavailable')``."""
    try:
        yield
    except Exception as error:
        if not is_trouble(error):
            raise
        raise unavailable(error) from error
