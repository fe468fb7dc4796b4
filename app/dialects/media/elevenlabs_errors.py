"""Decode ElevenLabs' errors: ``{"detail": {"status", "message"}}``, a text, or FastAPI's list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.failures import upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, opt_str
from app.errors import GatewayError

_STATUSES: Final[Mapping[str, int]] = {
    "quota_exceeded": 429,
    "too_many_concurrent_requests": 429,
    "system_busy": 503,
    "voice_not_found": 404,
    "model_not_found": 404,
}
"""The HTTP status of errors that ElevenLabs sends with another one (an exhausted quota with 401)."""

_CODES: Final[Mapping[str, str]] = {"quota_exceeded": "insufficient_quota"}


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response with status 400 or above."""
    detail = as_dict(body).get("detail", body)
    members = as_dict(detail)
    word = opt_str(members.get("status")) or opt_str(members.get("code"))
    message = opt_str(members.get("message")) or opt_str(detail) or _faults(detail)
    return upstream_failure(
        _STATUSES.get(word or "", status),
        message,
        code=_CODES.get(word or "", word),
        param=opt_str(members.get("param")),
        headers=headers,
        raw=body,
    )


def _faults(detail: Any) -> str | None:
    """Return the messages of FastAPI's list of errors with their paths, None for anything else."""
    rows = [(".".join(map(str, as_list(row.get("loc")))), as_str(row.get("msg"))) for row in dicts(detail)]
    return "; ".join(f"{path}: {message}" for path, message in rows) or None
