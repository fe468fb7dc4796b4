"""Google's error body: ``{"error": {code, message, status, details}}``, sometimes in a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.failures import SCAN_LIMIT, status_of_code, upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, label, opt_str
from app.errors import GatewayError

_BAD_KEY: Final = "API_KEY_INVALID"
_TOO_LONG: Final = re.compile(r"input token count.*exceeds the maximum number of tokens", re.IGNORECASE)


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the GatewayError of an answer that was no success.

    An invalid key comes as 400 with the reason API_KEY_INVALID; a prompt that is too long
    as 400 in words only; the wait after a 429 as RetryInfo (recorded traffic).
    """
    error = as_dict(as_dict(_unwrap_list(body)).get("error"))
    message = as_str(error.get("message")) or None
    details = dicts(error.get("details"))
    code = opt_str(error.get("status"))
    if any(detail.get("reason") == _BAD_KEY for detail in details):
        status = 401
    if status == 400 and _TOO_LONG.search((message or "")[:SCAN_LIMIT]):
        code = "context_length_exceeded"
    return upstream_failure(status, message, code=code, headers=_retry_headers(details, headers), raw=body)


def decode_error_body(body: Any) -> GatewayError:
    """Return the error of a chunk inside a stream: its status is the body's own code."""
    error = as_dict(as_dict(_unwrap_list(body)).get("error"))
    return decode_error(status_of_code(label(error.get("code"))), body, {})


def _unwrap_list(body: Any) -> Any:
    """Vertex wraps the error of a stream asked for without ``alt=sse`` in a list."""
    items = as_list(body)
    return items[0] if items else body


def _retry_headers(details: list[dict[str, Any]], headers: Mapping[str, str]) -> Mapping[str, str]:
    """Add RetryInfo's ``retryDelay`` (``"34.4s"``) as a retry-after where no header gives one."""
    delay = next((opt_str(detail.get("retryDelay")) for detail in details if detail.get("retryDelay")), None)
    if delay is None or "retry-after" in headers:
        return headers
    return {**headers, "retry-after": delay.removesuffix("s")}
