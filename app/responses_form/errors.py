"""Errors of a response: its member ``error``, the members of an ``error`` event, and a message of OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.errors import GatewayError

_SERVER_ERROR: Final = "server_error"

SERVER_LOST: Final = {
    "code": "server_lost",
    "message": "The server that was producing this response was lost.",
}
SHUTDOWN: Final = {
    "code": "server_shutdown",
    "message": "The server was shut down while it was producing this response.",
}
INTERNAL: Final = {
    "code": _SERVER_ERROR,
    "message": "The server had an error while producing this response.",
}


def failure_body(error: GatewayError) -> dict[str, Any]:
    """Return the ``error`` member of a failed response."""
    return {"code": error.code or _SERVER_ERROR, "message": error.message}


def error_members(
    failure: Mapping[str, Any], *, kind: str = _SERVER_ERROR, param: str | None = None
) -> dict[str, Any]:
    """Return the members of an ``error`` event in both forms at once: flat (OpenAI's type of the event) and nested
    (recorded streams). ``kind`` is the error's type."""
    flat = {"code": failure["code"], "message": failure["message"], "param": param}
    return {**flat, "error": {"type": kind, **flat}}


def event_of_error(error: GatewayError) -> dict[str, Any]:
    """Return the members of the ``error`` event for ``error``."""
    return error_members(failure_body(error), kind=error.type, param=error.param)


def mutually_exclusive() -> GatewayError:
    """Return the error for a request that continues both a response and a conversation."""
    return GatewayError(
        "bad_request",
        "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. "
        "Ensure you are only providing one of them.",
        param="previous_response_id",
        code="mutually_exclusive_parameters",
    )
