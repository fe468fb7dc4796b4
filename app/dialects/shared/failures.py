"""Errors of providers: the HTTP status and the vendor's error code mapped to one kind of error.

Each dialect reads message, type and code from its own error body and calls
``upstream_failure``. Only this module maps statuses and codes to kinds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, opt_str
from app.dialects.shared.rate_limits import reset_wait, seconds_until, wait_in
from app.errors import GatewayError

_SCAN_LIMIT: Final = 2000  # characters of a message that are looked through
_MAX_MESSAGE: Final = 500
_MAX_CATEGORIES: Final = 16
_MAX_RETRY_AFTER: Final = 86_400

_STATUS_KINDS: Final[Mapping[int, str]] = {
    400: "upstream_rejected",
    401: "upstream_auth",
    402: "upstream_quota",
    403: "upstream_auth",
    404: "upstream_rejected",
    405: "upstream_rejected",
    407: "egress_proxy",
    408: "upstream_timeout",
    409: "upstream_rejected",
    413: "upstream_rejected",
    415: "upstream_rejected",
    422: "upstream_rejected",
    424: "upstream_error",
    429: "upstream_rate_limited",
    498: "upstream_rate_limited",
    500: "upstream_error",
    502: "upstream_error",
    503: "upstream_overloaded",
    504: "upstream_timeout",
    529: "upstream_overloaded",
}

_FORWARDED_STATUSES: Final = frozenset({400, 404, 409, 413, 422, 500, 503, 504})

_CODE_KINDS: Final[Mapping[str, str]] = {
    "context_length_exceeded": "context_length",
    "TOO_MANY_TOKENS": "context_length",
    "insufficient_quota": "upstream_quota",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
}

_TOO_LONG_STATUSES: Final = frozenset({400, 413, 422})
_TOO_LONG: Final = re.compile(
    r"maximum context length|longer than the model'?s context|exceed\w* (?:the )?(?:max(?:imum)? )?context"
    r"|context (?:window|length|size) (?:is )?exceeded|(?:prompt|input|messages) (?:is )?too long"
    r"|too large for model with \d+ maximum context|too many (?:input )?tokens\b(?!, please)"
    r"|input token count.*exceeds the maximum number of tokens|number of input tokens exceeds",
    re.IGNORECASE,
)
"""How providers say that a prompt is too long, most of them without a code."""

_REQUEST_ERROR_CODES: Final = (
    "invalid_prompt",
    "data_residency_mismatch",
    "bio_policy",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_content_policy_violation",
    "invalid_image_mode",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
)
"""Values of OpenAI's ``response.error.code`` that blame the request (OpenAI's OpenAPI description)."""
_CODE_STATUSES: Final[Mapping[str, int]] = {
    **dict.fromkeys(_REQUEST_ERROR_CODES, 400),
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "rate_limited": 429,
    "too_many_requests_error": 429,
    "request_quota_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "internal_error": 500,
    "service_unavailable": 503,
    "timeout": 504,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "invalid_request_invalid_args": 400,
    "invalid_model": 400,
    "BadRequestError": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "billing_error": 402,
}

_SECRETS: Final = re.compile(
    r"(?:sk|pk|rk|gsk|xai|csk|pplx|AIza|ya29\.|AKIA|ASIA|key|token|bearer)[-_ :=\"']*[A-Za-z0-9][A-Za-z0-9._\-*]{11,}",
    re.IGNORECASE,
)


def scrub(text: str) -> str:
    """Return a provider's message as clients may see it: one line of at most 500 characters, without
    markup and without strings that look like keys."""
    if "<html" in text[:1000].lower() or "<!doctype" in text[:1000].lower():
        return "The provider answered with an HTML page."
    flat = " ".join(_SECRETS.sub("[redacted]", text[:_SCAN_LIMIT]).split())
    is_whole = len(text) <= _SCAN_LIMIT and len(flat) <= _MAX_MESSAGE
    return flat if is_whole else flat[: _MAX_MESSAGE - 1] + "…"


def upstream_failure(
    status: int,
    message: str | None,
    *,
    code: str | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
    raw: Any = None,
) -> GatewayError:
    """Return the error for an unsuccessful answer of a provider.

    ``status`` determines the kind, which ``code`` or ``type`` may refine. ``message`` None means
    that the body is not in the wire's own form. ``headers`` have lower-case names; the time to
    wait is read from them for 429 and 5xx, for 429 also from the message. ``raw`` is the body.
    """
    kind = _CODE_KINDS.get(code or "") or _CODE_KINDS.get(type or "") or _kind_of(status)
    message = message or _message_of(raw)
    if status in _TOO_LONG_STATUSES and _TOO_LONG.search((message or "")[:_SCAN_LIMIT]):
        kind = "context_length"
    text = scrub(message) if message else f"The provider answered with status {status}."
    if kind == "content_filter" and (categories := _filter_categories(raw)):
        text = f"{text} (Filtered: {categories}.)"
    shows_status = kind in {"upstream_rejected", "upstream_error"} and status in _FORWARDED_STATUSES
    return GatewayError(
        kind,
        text,
        param=param if kind in {"upstream_rejected", "context_length", "content_filter"} else None,
        code=code if kind in {"upstream_rejected", "content_filter"} else None,
        type=(type or None) if kind == "upstream_rejected" else None,
        status=status if shows_status else None,
        retry_after=_retry_after(status, headers or {}, (message or "")[:_SCAN_LIMIT]),
        raw=raw,
    )


def _message_of(raw: Any) -> str | None:
    """Return the message of a body in another form than its wire's own, such as a proxy's."""
    members = as_dict(raw)
    error = members.get("error")
    values = as_dict(error).get("message"), error, members.get("message"), members.get("detail"), raw
    return next((text for text in map(opt_str, values) if text), None)


def _filter_categories(raw: Any) -> str:
    """Return the categories of Azure's ``innererror.content_filter_result`` that were filtered or detected."""
    error = as_dict(as_dict(raw).get("error")) or as_dict(raw)
    results = as_dict(as_dict(error.get("innererror")).get("content_filter_result"))
    categories = []
    for category, result in [row for row in results.items() if isinstance(row[1], dict)][:_MAX_CATEGORIES]:
        if result.get("filtered") is True or result.get("detected") is True:
            severity = opt_str(result.get("severity"))
            categories.append(scrub(f"{category} ({severity})" if severity else str(category)))
    return ", ".join(categories)


def status_of_code(code: str | None, type: str | None = None) -> int:
    """Return the HTTP status that corresponds to the code or type of an error event; 502 if neither is known.

    A numeric code from 400 to 599 is the status itself.
    """
    for word in (code or "", type or ""):
        if word.isdigit() and 400 <= int(word) <= 599:
            return int(word)
        if word in _CODE_STATUSES:
            return _CODE_STATUSES[word]
    return 502


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the whole seconds to wait, 1 to 86,400, None without a valid header.

    Headers in order: ``retry-after-ms`` and ``x-ms-retry-after-ms`` (OpenAI, Azure), and
    ``retry-after`` in seconds or as an HTTP date, relative to the ``date`` header.
    """
    for name, scale in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        if name in headers and (wait := _parse_wait(headers[name], scale, headers.get("date"))) is not None:
            return _whole_seconds(wait)
    return None


def _whole_seconds(wait: float) -> int:
    return max(1, min(_MAX_RETRY_AFTER, math.ceil(wait)))


def _retry_after(status: int, headers: Mapping[str, str], message: str) -> int | None:
    """Return the seconds to wait: by the retry headers, or for 429 by the reset of exhausted rate limits or the message."""
    if status != 429 and status < 500:
        return None
    seconds = retry_after(headers)
    if seconds is not None or status != 429:
        return seconds
    wait = reset_wait(headers)
    wait = wait_in(message) if wait is None else wait
    return None if wait is None else _whole_seconds(wait)


def _parse_wait(value: str, scale: float, date: str | None) -> float | None:
    try:
        number = float(value) * scale
    except ValueError:
        return seconds_until(lambda: parsedate_to_datetime(value), date)
    return number if math.isfinite(number) and number >= 0 else None


def _kind_of(status: int) -> str:
    if status in _STATUS_KINDS:
        return _STATUS_KINDS[status]
    return "upstream_error" if status >= 500 else "upstream_invalid" if status < 400 else "upstream_rejected"
