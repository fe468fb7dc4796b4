"""Google's error body: ``{"error": {code, message, status, details}}``, sometimes in a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.failures import SCAN_LIMIT, status_of_code, upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_list, dicts, label, opt_str
from app.errors import GatewayError

_BAD_KEY: Final = "API_KEY_INVALID"
_TOO_LONG: Final = re.compile(r"input token count.*exceeds the maximum number of tokens", re.IGNORECASE)


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response with status 400 or above.

    An invalid key is a 400 with the reason API_KEY_INVALID. A prompt that is too long is a
    400 that only its message describes. The wait after a 429 is a RetryInfo (recorded traffic).
    """
    error = _error(body)
    message, code = opt_str(error.get("message")), opt_str(error.get("status"))
    details = dicts(error.get("details"))
    if any(detail.get("reason") == _BAD_KEY for detail in details):
        status = 401
    if status == 400 and _TOO_LONG.search((message or "")[:SCAN_LIMIT]):
        code = "context_length_exceeded"
    return upstream_failure(status, message, code=code, headers=_retry_headers(details, headers), raw=body)


def decode_error_body(body: Any) -> GatewayError:
    """Return the error of a chunk in a stream; its status is the ``code`` of the body."""
    return decode_error(status_of_code(label(_error(body).get("code"))), body, {})


def _error(body: Any) -> dict[str, Any]:
    """Return the member ``error``; in a stream without ``alt=sse`` Vertex sends it in a list."""
    items = as_list(body)
    return as_dict(as_dict(items[0] if items else body).get("error"))


def _retry_headers(details: list[dict[str, Any]], headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers, with RetryInfo's ``retryDelay`` (``"34.4s"``) as ``retry-after`` if they have none."""
    delay = next((opt_str(detail.get("retryDelay")) for detail in details if detail.get("retryDelay")), None)
    if delay is None or "retry-after" in headers:
        return headers
    return {**headers, "retry-after": delay.removesuffix("s")}
