"""HTTP answers: JSON bytes, the headers every LLM answer has, and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flask import Response, g
from werkzeug.exceptions import HTTPException

from app.dialects import dialect
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.outcome import Outcome
from app.surfaces.minimal_flask import WholeResponse
from app.surfaces.mounts import Mount
from app.surfaces.replies.envelope import seal_error
from app.surfaces.rules import current_mount, current_operation, matched_rule
from app.wire.json import dumps, dumps_ascii

JSON: Final = "application/json"


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, parsed: bool = False
) -> Response:
    """Return ``value``, which may be ``parsed`` from JSON, as a JSON response."""
    body = dumps(value, parsed=parsed)
    framing = {"content-type": JSON, "content-length": str(len(body))}
    return WholeResponse(body, status, {**framing, **(headers or {})})


def outcome_headers(outcome: Outcome) -> dict[str, str]:
    """Return the headers that tell who answered, how and for how much."""
    call = outcome.call
    headers = {
        "x-sluice-attempts": str(max(1, len(call.attempts))),
        "x-sluice-cache": call.progress.cached,
        **call.progress.headers,
    }
    if outcome.target is not None:
        headers["x-sluice-provider"] = _header_value(outcome.target.provider.name)
        headers["x-sluice-model"] = _header_value(outcome.target.model)
    headers["server-timing"] = _timing_header(call, outcome.upstream_ms)
    if not call.stream and outcome.cost is not None and outcome.cost.get("total_cost") is not None:
        headers["x-sluice-cost"] = f"{outcome.cost['total_cost']:.10f}".rstrip("0").rstrip(".")
    return headers


def _timing_header(call: Call, upstream_ms: int | None) -> str:
    """Return the milliseconds so far, those of the provider apart."""
    whole = call.elapsed_ms()
    upstream = min(whole, upstream_ms or 0)
    return f"gateway;dur={whole - upstream}, upstream;dur={upstream}"


def _header_value(text: str) -> str:
    """Return ``text`` fit for a header: printable ASCII, other characters as ``?``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def surface_headers(mount: Mount, outcome: Outcome) -> dict[str, str]:
    """Return what a door tells in headers that others tell in bodies: warnings and the model that answered."""
    if mount.envelope not in ("headers", "provider"):
        return {}
    headers = _warning_headers(outcome.losses)
    if mount.envelope == "provider":
        model = outcome.target.model if outcome.target is not None else outcome.call.model
        headers["x-tfy-resolved-model"] = _header_value(model)
    return headers


_WARNINGS: Final = "x-sluice-warnings"
_MOST_WARNINGS: Final = 4096  # bytes of the header
_NOTE_ROOM: Final = 64  # of these, for saying how many were left out


def _warning_headers(losses: Sequence[Loss]) -> dict[str, str]:
    """Return the warnings as one ASCII JSON array; whole entries are left out from the end where
    it would grow past 4 KiB, and the last entry then says how many."""
    entries = [dumps_ascii({"param": loss.param, "message": loss.message}) for loss in losses]
    room = _MOST_WARNINGS - 2
    if sum(map(len, entries)) + len(entries) > room:
        taken, size = 0, _NOTE_ROOM
        while size + len(entries[taken]) + 1 <= room:
            size += len(entries[taken]) + 1
            taken += 1
        note = {"param": None, "message": f"and {len(entries) - taken} more"}
        entries = [*entries[:taken], dumps_ascii(note)]
    return {_WARNINGS: f"[{b','.join(entries).decode()}]"} if entries else {}


def no_websocket() -> GatewayError:
    """Return the refusal of an upgrade where there is none."""
    return GatewayError(
        "bad_request",
        "WebSocket connections are not supported here; POST to this path with 'stream': true.",
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
    return {name: value for name, value in error.get_headers() if name.lower() == "allow"}


def error_response(error: GatewayError, call: Call | None = None) -> Response:
    """Return the JSON error of the door that the current request came to."""
    mount, operation = current_mount(), call.operation if call else current_operation()
    headers = {"cache-control": "no-store", **retry_header(error)}
    if error.kind.should_retry is not None:
        headers["x-should-retry"] = "true" if error.kind.should_retry else "false"
    elif call is not None and len(call.attempts) > 1 and error.status >= 500:
        headers["x-should-retry"] = "false"
    if call is not None:
        headers |= _attempt_headers(call)
    error = error if mount is None else mount.with_own_status(error)
    if mount is not None and mount.dialect is not None:
        headers |= dialect(mount.dialect).error_headers(error)
    body = seal_error(mount, error, call, operation, g.request_id, plain=_is_plain(mount))
    return json_response(body, error.status, headers)


def _is_plain(mount: Mount | None) -> bool:
    """Tell whether the current request asked for a stored response at a door that shows them plainly."""
    rule = matched_rule()
    retrieves = rule is not None and rule.route.method == "GET" and "<response_id>" in rule.route.path
    return mount is not None and mount.plain_retrieve and retrieves


def _attempt_headers(call: Call) -> dict[str, str]:
    """Return the headers of a call that failed: how often it was tried, and where last."""
    headers = {"x-sluice-attempts": str(len(call.attempts)), "x-sluice-cache": call.progress.cached}
    headers |= call.progress.headers
    headers["server-timing"] = _timing_header(call, sum(attempt.latency or 0 for attempt in call.attempts))
    if call.attempts:
        headers["x-sluice-provider"] = _header_value(call.attempts[-1].provider)
        headers["x-sluice-model"] = _header_value(call.attempts[-1].model)
    return headers


def finish_headers(response: Response, request_id: str, mount: Mount | None) -> Response:
    """Add the headers every answer has: request id, also by its door's own name, no-store, and nosniff."""
    own = {"x-request-id": request_id, "x-content-type-options": "nosniff"}
    if mount is not None and mount.request_id is not None:
        own[mount.request_id] = request_id
    if isinstance(response, WholeResponse):
        response.add_headers(own, {"cache-control": "no-store"})
        return response
    for name, value in own.items():
        response.headers.set(name, value)
    response.headers.setdefault("cache-control", "no-store")
    return response
