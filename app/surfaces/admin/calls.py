"""The views of ``/admin/calls``: the call log, and its exports."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

from flask import Response

from app.errors import GatewayError
from app.state.call_log import FILTERS, Members
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response
from app.wire.json import dumps

_COLUMNS: Final = (
    *("id", "created_at", "request_id", "tenant", "key", "door", "request_type", "model_requested", "model"),
    *("provider", "provider_key", "status", "error_code", "finish_reason", "usage", "cost", "cost_details"),
    *("latency", "first_content", "queued", "attempts", "cache", "warnings", "user", "metadata"),
    *("response_id", "warned", "key_id"),
)


def index() -> Response:
    """List the calls, the newest first."""
    log = requests.state().call_log
    return requests.list_response(log.page(*requests.page_query(), _filters(), requests.span()))


def get(call_id: str) -> Response:
    """Show a call, with its bodies if they are stored."""
    log = requests.state().call_log
    row, bodies = log.get(call_id), log.bodies(call_id)
    contents = {} if bodies is None else {"bodies": requests.gateway().redactor.value(bodies)}
    return json_response({**row, **contents})


def as_csv() -> Response:
    """Stream the calls as CSV; the last line counts them."""
    return _export(_csv, "text/csv; charset=utf-8")


def as_jsonl() -> Response:
    """Stream the calls as one JSON object a line; the last one counts them."""
    return _export(_jsonl, "application/jsonl")


def _export(write: Callable[[Iterable[Members]], Iterator[bytes]], media_type: str) -> Response:
    rows = requests.state().call_log.all(_filters(), requests.span())
    first = list(islice(rows, 1))  # while the status can still be 503
    return Response(write(chain(first, rows)), 200, {"content-type": media_type}, direct_passthrough=True)


def _csv(rows: Iterable[Members]) -> Iterator[bytes]:
    yield _line(_COLUMNS)
    count = 0
    for row in rows:
        count += 1
        yield _line([_cell(row.get(name)) for name in _COLUMNS])
    yield f"# rows,{count}\n".encode()


def _jsonl(rows: Iterable[Members]) -> Iterator[bytes]:
    count = 0
    for row in rows:
        count += 1
        yield dumps(dict(row)) + b"\n"
    yield dumps({"object": "end", "rows": count}) + b"\n"


def _line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return the value of a cell: JSON for lists and objects; text that a spreadsheet would compute is escaped."""
    if isinstance(value, dict | list):
        return dumps(value).decode()
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _filters() -> dict[str, Any]:
    filters: dict[str, Any] = requests.filters(FILTERS)
    if "status" in filters:
        if not filters["status"].isdecimal():
            raise GatewayError(
                "bad_request",
                "Invalid 'status': expected an HTTP status.",
                param="status",
                code="invalid_value",
            )
        filters["status"] = int(filters["status"][:9])
    return filters
