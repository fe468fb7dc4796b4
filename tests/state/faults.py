"""Faults of a database, provoked: a commit that happens but is said to have failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from app.errors import GatewayError
from app.state.state import State


def refusal(action: Any, *args: Any, **kwargs: Any) -> GatewayError:
    """The error that ``action`` raises."""
    with pytest.raises(GatewayError) as caught:
        action(*args, **kwargs)
    return caught.value


def writing_engine(state: State) -> Engine:
    """The engine that a store's writes go through."""
    backend: Any = state.db.backend
    return getattr(backend, "_writer", backend)._engine


@contextmanager
def lying_commits(state: State, times: int) -> Iterator[None]:
    """Let the next ``times`` commits happen and report failure."""
    dialect: Any = writing_engine(state).dialect
    honest = dialect.do_commit
    left = [times]

    def lie(connection: Any) -> None:
        honest(connection)
        if left[0] > 0:
            left[0] -= 1
            raise OperationalError("COMMIT", None, Exception("the server closed the connection"))

    dialect.do_commit = lie
    try:
        yield
    finally:
        dialect.do_commit = honest
