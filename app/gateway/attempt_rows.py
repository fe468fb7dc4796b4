"""The attempts of a background response, written down before and after, and shown on GET.

An attempt without an end, under a run that another one followed, died with its process; a run of
which no attempt was written died before it reached a provider. Both are reported as ``server_lost``,
because a response that is run again after a crash must say so. Tests: tests/lifecycle/test_processes.py,
tests/lifecycle/test_kill_loop.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.errors import GatewayError
from app.gateway.call import Attempt
from app.state.records import NewAttempt, StoredResponse

if TYPE_CHECKING:
    from app.state.background import Work
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)
_SERVER_LOST: Final = "server_lost"


def writer(state: State, work: Work) -> Callable[[Attempt], None]:
    """Return what writes an attempt ahead of its request, and its end after."""

    def begin(attempt: Attempt) -> None:
        attempt_id, target = attempt.id, attempt.target
        state.attempts.begin(
            NewAttempt(
                id=attempt_id,
                tenant=work.tenant,
                response_id=work.id,
                call_id=attempt.call.id,
                target=target.label,
                realm=target.provider.realm(target.key),
                run=work.fence.attempt,
                key_name=attempt.key,
            )
        )
        attempt.on_close.append(lambda: _end(state, work.tenant, attempt_id, attempt))

    return begin


def _end(state: State, tenant: str, attempt_id: str, attempt: Attempt) -> None:
    """Write an attempt's end; trouble of the store leaves it open and disturbs nothing."""
    try:
        state.attempts.end(
            tenant,
            attempt_id,
            "ok" if attempt.error is None else "failed",
            error_kind=attempt.error,
            http_status=attempt.status,
            latency_ms=attempt.latency,
        )
    except GatewayError as error:
        _LOG.warning("the end of %s was not written: %s", attempt_id, error.message)


def attempts_of(state: State, stored: StoredResponse) -> list[dict[str, Any]]:
    """Return the rows of ``extra_fields.attempts`` of a stored response."""
    if not stored.background or stored.attempt == 0:
        return []
    rows = state.attempts.of_response(stored.tenant, stored.id)
    return [
        attempt
        for run in range(1, stored.attempt + 1)
        for attempt in _run_rows([row for row in rows if row["run"] == run], over=run < stored.attempt)
    ]


def _run_rows(rows: Sequence[Mapping[str, Any]], *, over: bool) -> list[dict[str, Any]]:
    if not rows and over:
        return [
            dict.fromkeys(("provider", "model", "key", "status"), None)
            | {"error": _SERVER_LOST, "latency": None}
        ]
    return [_row(row, over=over) for row in rows]


def _row(row: Mapping[str, Any], *, over: bool) -> dict[str, Any]:
    provider, _, model = row["target"].partition("/")
    lost = over and row["ended_at"] is None
    return {
        "provider": provider,
        "model": model,
        "key": row["key_name"],
        "status": row["http_status"],
        "error": _SERVER_LOST if lost else row["error_kind"],
        "latency": row["latency_ms"],
    }
