"""The lines of a batch: split its input, read its requests, and write its results.

OpenAI's forms (https://platform.openai.com/docs/guides/batch, read 2026-11): a line of the input is
``{custom_id, method, url, body}``, a line of the output ``{id, custom_id, response, error}``, whose
``response`` is ``{status_code, request_id, body}``. Tests: tests/lifecycle/test_batches.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.canonical.record import record
from app.dialects.base import encode_error
from app.dialects.shared.faults import MISSING, wrong_type, wrong_value
from app.dialects.shared.losses import Loss, warning_rows
from app.errors import GatewayError
from app.state.ids import new_id
from app.wire.json import dumps, loads
from app.wire.offload import aside

ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/messages",
)
"""What the lines of a batch may call."""

_BLANK: Final = re.compile(rb"\s*\n")  # all blank lines in a row
_BOM: Final = b"\xef\xbb\xbf"
_UNSUPPORTED: Final = ("stream", "background")
"""Members that, when true, want an answer that a line cannot hold."""


@record
class Line:
    """One line of the input: its number among those that are not blank, from 0, and the byte after it.

    ``data`` is None for a line that is too long."""

    number: int
    data: bytes | None
    end: int


@record
class Request:
    """The request of a line; ``fault`` says why it cannot run."""

    custom_id: str | None
    body: Mapping[str, Any]
    size: int
    fault: GatewayError | None = None


def lines_of(
    content: Iterable[bytes], *, number: int = 0, position: int = 0, max_bytes: int
) -> Iterator[Line]:
    """Yield the lines of ``content`` that are not blank, the first with ``number``.

    ``content`` comes in pieces, from the byte ``position`` on; a line of more than ``max_bytes``
    comes without its data."""
    pending, is_long, end = bytearray(), False, position
    for data in content:
        start = 0
        while True:
            if not pending and not is_long and (blank := _BLANK.match(data, start)):
                start = blank.end()
            if (stop := data.find(b"\n", start)) < 0:
                break
            pending += data[start:stop]
            line = _line(number, pending, is_long or len(pending) > max_bytes, end + stop + 1)
            pending, is_long, start = bytearray(), False, stop + 1
            if line is not None:
                yield line
                number += 1
        pending += data[start:]
        end += len(data)
        if len(pending) > max_bytes:
            pending, is_long = bytearray(), True
    if (last := _line(number, pending, is_long, end)) is not None:
        yield last


def _line(number: int, data: bytearray, is_long: bool, end: int) -> Line | None:
    """Return a line, None for a blank one."""
    if is_long:
        return Line(number, None, end)
    text = bytes(data).strip()
    if number == 0:
        text = text.removeprefix(_BOM)
    return Line(number, text, end) if text else None


def endpoint_of(url: Any) -> str | None:
    """Return the endpoint of a URL, with or without ``/v1``; None for any other URL."""
    if not isinstance(url, str):
        return None
    path = url if url.startswith("/v1/") else f"/v1/{url.removeprefix('/')}"
    return path if path in ENDPOINTS else None


def read_request(line: Line, endpoint: str, max_bytes: int) -> Request:
    """Return the request of a line, or why it cannot run."""
    if line.data is None:
        return Request(None, {}, 0, GatewayError("too_large", f"The line is longer than {max_bytes} bytes."))
    size = len(line.data)
    try:
        value = aside(size, partial(loads, line.data, strict=True))
    except GatewayError as error:
        return Request(None, {}, size, error)
    if not isinstance(value, dict):
        return Request(None, {}, size, wrong_type("an object", value).error("line"))
    custom_id = value.get("custom_id")
    name = custom_id if isinstance(custom_id, str) else None
    fault = _fault_of(value, endpoint)
    return Request(name, value["body"] if fault is None else {}, size, fault)


def _fault_of(value: Mapping[str, Any], endpoint: str) -> GatewayError | None:
    """Return why a line cannot run, None where it can."""
    for name, kind, words in (("custom_id", str, "a string"), ("body", dict, "an object")):
        if value.get(name) is None:
            return MISSING.error(name)
        if not isinstance(value[name], kind):
            return wrong_type(words, value[name]).error(name)
    if value.get("method", "POST") != "POST":
        return wrong_value(value["method"], ("POST",)).error("method")
    if value.get("url") is None:
        return MISSING.error("url")
    if endpoint_of(value["url"]) != endpoint:
        return wrong_value(value["url"], (endpoint,)).error("url")
    unsupported = next((name for name in _UNSUPPORTED if value["body"].get(name) is True), None)
    return None if unsupported is None else wrong_value("true", ("false",)).error(f"body.{unsupported}")


def answer_line(
    custom_id: str | None, call_id: str, status: int, body: Any, losses: Sequence[Loss] = ()
) -> str:
    """Return the line of a request that was answered; its warnings go beside the answer."""
    response = {"status_code": status, "request_id": call_id, "body": body}
    warnings = warning_rows(losses)
    return _encode_line(custom_id, response, None, {"warnings": warnings} if warnings else {})


def error_line(custom_id: str | None, error: GatewayError) -> str:
    """Return the line of a request that could not be run."""
    error_members = {name: value for name, value in encode_error(error)["error"].items() if name != "details"}
    error_members["code"] = error_members["code"] or "invalid_request"
    return _encode_line(custom_id, None, error_members, {})


def _encode_line(custom_id: str | None, response: Any, error: Any, more: Mapping[str, Any]) -> str:
    row = {"id": new_id("batch_req"), "custom_id": custom_id, "response": response, "error": error}
    return dumps({**row, **more}).decode() + "\n"
