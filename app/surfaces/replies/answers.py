"""HTTP answers: JSON bodies, the headers of every answer, and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

from flask import Response, request
from werkzeug.exceptions import HTTPException

from app.dialects import dialect
from app.dialects.shared.losses import Loss, warning_rows
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.outcome import Outcome
from app.surfaces.context import app_context
from app.surfaces.minimal_flask import WholeResponse
from app.surfaces.mounts import Mount
from app.surfaces.replies.envelope import last_attempt, seal_error
from app.surfaces.rules import current_mount, current_operation, matched_rule
from app.wire.json import dumps, dumps_ascii

JSON: Final = "application/json"


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, parsed: bool = False
) -> WholeResponse:
    """Return ``value`` as a JSON response; ``parsed``: it was parsed from JSON, so it needs no checks."""
    body = dumps(value, parsed=parsed)
    fields = {"content-type": JSON, "content-length": str(len(body)), **(headers or {})}
    return WholeResponse(body, status, fields)


def outcome_headers(outcome: Outcome) -> dict[str, str]:
    """Return the headers with the provider, the model, the attempts, the cache, the times and the cost of a call."""
    call, target = outcome.call, outcome.target
    provider, model = (None, "") if target is None else (target.provider.name, target.model)
    headers = _call_headers(call, max(1, len(call.attempts)), outcome.upstream_ms or 0, provider, model)
    if not call.stream and outcome.cost is not None and outcome.cost.get("total_cost") is not None:
        headers["x-sluice-cost"] = f"{outcome.cost['total_cost']:.10f}".rstrip("0").rstrip(".")
    return headers


def _call_headers(
    call: Call, attempts: int, upstream_ms: int, provider: str | None, model: str
) -> dict[str, str]:
    """Return the headers of answers and errors of a call; ``upstream_ms`` is the provider's part of its time."""
    headers = {
        "x-sluice-attempts": str(attempts),
        "x-sluice-cache": call.progress.cached,
        **call.progress.headers,
    }
    if provider is not None:
        headers["x-sluice-provider"] = _header_value(provider)
        headers["x-sluice-model"] = _header_value(model)
    total = call.elapsed_ms()
    upstream = min(total, upstream_ms)
    headers["server-timing"] = f"gateway;dur={total - upstream}, upstream;dur={upstream}"
    return headers


@lru_cache(maxsize=256)
def _header_value(text: str) -> str:
    """Return ``text`` in printable ASCII; other characters become ``?``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def surface_headers(mount: Mount, outcome: Outcome) -> dict[str, str]:
    """Return the headers of surfaces without ``extra_fields``: warnings, and on TrueFoundry's the model that answered."""
    if mount.envelope == "extra_fields":
        return {}
    headers = _warning_headers(outcome.losses)
    if mount.envelope == "provider":
        model = outcome.target.model if outcome.target is not None else outcome.call.model
        headers["x-tfy-resolved-model"] = _header_value(model)
    return headers


_WARNINGS: Final = "x-sluice-warnings"
_MOST_WARNINGS: Final = 4096  # bytes of the header
_NOTE_ROOM: Final = 64  # of these, for the number of omitted warnings


def _warning_headers(losses: Sequence[Loss]) -> dict[str, str]:
    """Return the warnings as an ASCII JSON array of at most 4 KiB; the last entry says how many are omitted, if any."""
    entries = [dumps_ascii(row) for row in warning_rows(losses)]
    room = _MOST_WARNINGS - 2
    if sum(map(len, entries)) + len(entries) > room:
        ends = accumulate((len(entry) + 1 for entry in entries), initial=_NOTE_ROOM)
        count = sum(end <= room for end in ends) - 1
        note = {"param": None, "message": f"and {len(entries) - count} more"}
        entries = [*entries[:count], dumps_ascii(note)]
    return {_WARNINGS: f"[{b','.join(entries).decode()}]"} if entries else {}


def no_websocket() -> GatewayError:
    """Return the error for an upgrade of a path that does not support it."""
    return GatewayError(
        "bad_request",
        "WebSocket connections are not supported here, only by GET of an API's 'responses'.",
        status=426,
        code="websocket_not_supported",
    )


def retry_header(error: GatewayError) -> dict[str, str]:
    """Return ``retry-after`` in seconds for an error that says when to retry, and for every 503."""
    if error.retry_after is None and error.status != 503:
        return {}
    return {"retry-after": str(error.retry_after or 1)}


def allow_header(error: HTTPException) -> dict[str, str]:
    """Return the header ``Allow`` of a 405, with the methods of its path."""
    return {name.lower(): value for name, value in error.get_headers() if name.lower() == "allow"}


def error_response(error: GatewayError, call: Call | None = None) -> WholeResponse:
    """Return an error as the JSON answer of the current request's surface."""
    mount, operation = current_mount(), call.operation if call else current_operation()
    headers = {"cache-control": "no-store", **retry_header(error)}
    if error.kind.should_retry is not None:
        headers["x-should-retry"] = "true" if error.kind.should_retry else "false"
    elif call is not None and len(call.attempts) > 1 and error.status >= 500:
        headers["x-should-retry"] = "false"
    if call is not None:
        upstream_ms = sum(attempt.latency or 0 for attempt in call.attempts)
        provider, model = last_attempt(call)
        headers |= _call_headers(call, len(call.attempts), upstream_ms, provider, model or "")
    error = error if mount is None else mount.with_own_status(error)
    if mount is not None and mount.dialect is not None:
        headers |= dialect(mount.dialect).error_headers(error)
    listed_provider = request.args.get("provider") if operation == "models" else None
    request_id, plain = app_context().g.request_id, _is_plain(mount)
    body = seal_error(
        mount, error, call, operation, request_id, provider=listed_provider or None, plain=plain
    )
    return json_response(body, error.status, headers)


def _is_plain(mount: Mount | None) -> bool:
    """Tell whether the current request retrieves a stored response on a surface that has no envelope for that."""
    rule = matched_rule()
    retrieves = rule is not None and rule.route.method == "GET" and "<response_id>" in rule.route.path
    return mount is not None and mount.plain_retrieve and retrieves


def finish_headers(response: Response, request_id: str, mount: Mount | None) -> Response:
    """Add the headers of every answer: the request id, also under the surface's own name, no-store and nosniff."""
    own = {"x-request-id": request_id, "x-content-type-options": "nosniff"}
    if mount is not None and mount.request_id is not None:
        own[mount.request_id] = request_id
    if isinstance(response, WholeResponse):
        response.add_headers(own, {"cache-control": "no-store"})
        return response
    for name, value in own.items():
        if (
            mount is None or name != mount.request_id or name not in response.headers
        ):  # a replay names its first
            response.headers.set(name, value)
    response.headers.setdefault("cache-control", "no-store")
    return response
