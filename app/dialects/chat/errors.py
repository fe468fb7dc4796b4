"""Errors of chat completions, in all forms seen in recorded answers.

OpenAI's ``{"error": {…}}`` (also in a list, or with a string), the flat ``{"message", "type", "code"}``
with or without ``"object": "error"``, ``{"detail": …}`` as a string or FastAPI's list, and errors in
a 200 or in a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, label, opt_str
from app.errors import GatewayError

_STATUSES: Final[Mapping[tuple[int, str], int]] = {
    # a request above the per-minute token limit is a rate limit, not a size limit
    (413, "rate_limit_exceeded"): 429,
}

_CODES: Final[Mapping[str, str]] = {
    # codes of other servers, and the equivalent ones that ``failures`` knows
    "ResponsibleAIPolicyViolation": "content_filter",
    "request_quota_exceeded": "rate_limit_exceeded",
}


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of an answer: its status (400 or above), parsed body and lower-case headers."""
    error = _error_of(body)
    code, kind = label(error.get("code")), label(error.get("type")) or label(error.get("error_type"))
    status = _STATUSES.get((status, code or ""), status)
    if as_dict(error.get("metadata")).get("reasons"):  # OpenRouter's moderation, a 403
        status, code = 400, "content_filter"
    return upstream_failure(
        status,
        _message(error),
        code=None if code == str(status) else _CODES.get(code or "", code),
        type=kind,
        param=opt_str(error.get("param")),
        headers=headers,
        raw=body,
    )


def failure_in(body: Any) -> GatewayError | None:
    """Return the error in the body of a 200 or in a stream's frame, None if there is none.

    Its status is the error's own ``status_code``, ``status`` or code.
    """
    members = as_dict(body)
    error = members.get("error") or (members if _is_flat(members) else _choice_error(members))
    if not error:
        return None
    details = _error_of({"error": error})
    code = label(details.get("status_code") or details.get("status")) or label(details.get("code"))
    kind = label(details.get("type"))
    return decode_error(status_of_code(code, kind), {"error": error}, {})


def _is_flat(members: Mapping[str, Any]) -> bool:
    """Tell whether the object itself is an error: its type says so, or it has a message and no answer."""
    if members.get("choices") is not None:
        return False
    has_message = members.get("detail") is not None or isinstance(members.get("message"), str)
    return "error" in (members.get("object"), members.get("type")) or (has_message and not members.get("id"))


def _choice_error(members: Mapping[str, Any]) -> Any:
    """Return the error of a failed choice, which routers mark by ``error`` or by the finish reason alone."""
    for choice in dicts(members.get("choices")):
        if choice.get("error"):
            return choice["error"]
        if choice.get("finish_reason") == "error":
            return {"message": "The provider ended the answer with an error.", "code": 502}
    return None


def _error_of(body: Any) -> dict[str, Any]:
    """Return the object with message, type and code, without whatever wraps it."""
    if isinstance(body, list):
        body = body[0] if body else {}
    if isinstance(body, str):
        return {"message": body}
    members = as_dict(body)
    error = members.get("error")
    if isinstance(error, str):
        return {**members, "message": as_str(members.get("message"), error)}
    return error if isinstance(error, dict) else members


def _message(error: Mapping[str, Any]) -> str | None:
    message = error.get("message")
    if isinstance(message, dict):  # a FastAPI error wrapped as a message
        message = _details(message.get("detail"))
    text = opt_str(message) or _details(error.get("detail")) or opt_str(error.get("detail"))
    raw = opt_str(as_dict(error.get("metadata")).get("raw"))
    return f"{text}: {raw}" if text and raw and raw not in text else text


def _details(rows: Any) -> str | None:
    """Return FastAPI's list of faults as one line of ``path: message`` entries."""
    details = []
    for row in dicts(rows):
        path = ".".join(str(step) for step in as_list(row.get("loc")))
        details.append(f"{path}: {as_str(row.get('msg'))}" if path else as_str(row.get("msg")))
    return "; ".join(details) or None
