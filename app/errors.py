"""Errors of the gateway: one exception with a kind, and one table of kinds.

The table says what a client sees (status, type, code) and what dispatch may do
(retry the same target, fall back to the next). Policy reads the table, never an
error's text. This module knows no wire and no framework.

Statuses and codes: docs/surfaces.md, "Errors".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of error means to the client and to dispatch.

    ``retryable``: the same target may be tried once more before content.
    ``falls_back``: the next target may be tried before content.
    ``retry_header``: value of ``x-should-retry`` when the SDK must not decide alone.
    """

    name: str
    status: int
    type: str
    code: str | None
    retryable: bool = False
    falls_back: bool = False
    should_retry: bool | None = None


_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"

_ROWS: Final = (
    # name, status, type, code, retryable, falls_back, should_retry
    Kind("bad_request", 400, _INVALID, None),
    Kind("unsupported_operation", 400, _INVALID, "unsupported_operation", falls_back=True),
    Kind("unsupported_parameter", 400, _INVALID, "unsupported_parameter", falls_back=True),
    Kind("provider_not_configured", 400, _INVALID, "provider_not_configured", falls_back=True),
    Kind("context_length", 400, _INVALID, "context_length_exceeded"),
    Kind("content_filter", 400, _INVALID, "content_filter"),
    Kind("unauthenticated", 401, _INVALID, "invalid_api_key"),
    Kind("forbidden", 403, _INVALID, "permission_denied"),
    Kind("not_found", 404, _INVALID, None),
    Kind("method_not_allowed", 405, _INVALID, "method_not_supported"),
    Kind("model_not_found", 400, _INVALID, "model_not_found", falls_back=True),
    Kind("conflict", 409, _INVALID, "conflict"),
    Kind("too_large", 413, _INVALID, "request_too_large"),
    Kind("unsupported_media", 415, _INVALID, "unsupported_media_type"),
    Kind("rate_limited", 429, "requests", "rate_limit_exceeded"),
    Kind("overloaded", 503, _SERVER, "overloaded", falls_back=True),
    Kind("budget_exceeded", 402, "insufficient_quota", "budget_exceeded"),
    Kind("upstream_unreachable", 502, _SERVER, "upstream_unreachable", True, True),
    Kind("upstream_dns", 502, _SERVER, "upstream_unreachable", False, True),
    Kind("upstream_tls", 502, _SERVER, "upstream_tls", False, True),
    Kind("egress_proxy", 502, _SERVER, "egress_proxy", False, True),
    Kind("upstream_timeout", 504, _SERVER, "upstream_timeout", False, True),
    Kind("upstream_idle", 504, _SERVER, "upstream_idle", False, True),
    Kind("upstream_invalid", 502, _SERVER, "upstream_invalid_response", False, True),
    Kind("upstream_cut", 502, _SERVER, "upstream_invalid_response", False, True),
    Kind("upstream_auth", 502, _SERVER, "upstream_auth", False, True, should_retry=False),
    Kind("upstream_quota", 429, "insufficient_quota", "insufficient_quota", False, True),
    Kind("upstream_rate_limited", 429, "requests", "rate_limit_exceeded", False, True),
    Kind("upstream_overloaded", 503, _SERVER, "upstream_overloaded", True, True),
    Kind("upstream_error", 502, _SERVER, "server_error", True, True),
    Kind("upstream_rejected", 400, _INVALID, None),
    Kind("store_unavailable", 503, _SERVER, "store_unavailable"),
    Kind("server_shutdown", 503, _SERVER, "server_shutdown"),
    Kind("server_lost", 500, _SERVER, "server_lost"),
    Kind("cancelled", 409, _INVALID, "cancelled"),
    Kind("client_gone", 499, _INVALID, "client_gone"),
    Kind("internal", 500, _SERVER, "internal_error"),
)

KINDS: Final[Mapping[str, Kind]] = {row.name: row for row in _ROWS}


class GatewayError(Exception):
    """An error that a client may see.

    ``kind`` names a row of ``KINDS``; ``status``, ``type`` and ``code`` override
    that row where an upstream's own status or a finer code is known (``code=""`` shows
    null). ``param`` is
    the client's own member path (``input[0].content``). ``retry_after`` is whole
    seconds. ``details`` lists every fault as ``{message, param, code}``. ``raw`` is
    the upstream's own error value for operators, never shown unscrubbed.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        raw: Any = None,
    ) -> None:
        super().__init__(message)
        self.kind = KINDS[kind]
        self.message = message
        self.param = param
        self.code = self.kind.code if code is None else (code or None)
        self.type = type or self.kind.type
        self.status = status or self.kind.status
        self.retry_after = retry_after
        self.details = tuple(details)
        self.raw = raw

    def with_status(self, status: int) -> GatewayError:
        """Return the same error with another HTTP status."""
        return GatewayError(
            self.kind.name,
            self.message,
            param=self.param,
            code=self.code or "",
            type=self.type,
            status=status,
            retry_after=self.retry_after,
            details=self.details,
            raw=self.raw,
        )

    def __repr__(self) -> str:
        return f"GatewayError({self.kind.name!r}, {self.message!r}, status={self.status})"

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error member: message, type, param, code (and details)."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.details:
            error["details"] = [dict(d) for d in self.details]
        return error
