"""OpenAI's batches, and those of its likes: a file of requests, answered into files.

Members: ``Batch`` of openai 3.51, ``BatchCreateResponse`` of groq 1.4. All of them take 50,000 requests in a file
and a window of ``24h`` (https://platform.openai.com/docs/guides/batch, https://console.groq.com/docs/batch,
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.canonical.batches import BatchObject
from app.canonical.record import record
from app.dialects.base import Row
from app.dialects.chat.errors import decode_error
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, opt_str
from app.errors import GatewayError

NAME: Final = "batches_openai"
PURPOSE: Final = "batch"
WINDOW: Final = "24h"
MOST_LINES: Final = 50_000


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """``files`` is the path of the files that its batches read and write; ``endpoints`` map ours to a wire's
    words for what lines may ask for."""

    files: str
    endpoints: Mapping[str, str]


@record(kw_only=True)
class BatchDialect(Row):
    """The row of a wire of batches."""

    encode_create: Callable[[str, str, Mapping[str, str]], dict[str, Any]]
    decode_batch: Callable[[Any], BatchObject]
    decode_page: Callable[[Any], tuple[list[BatchObject], str | None]]


def encode_create(input_file_id: str, endpoint: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the body that makes a batch of a file."""
    return {
        "input_file_id": input_file_id,
        "endpoint": endpoint,
        "completion_window": WINDOW,
        "metadata": dict(metadata),
    }


def decode_batch(body: Any) -> BatchObject:
    """Read a batch; raises ``upstream_invalid`` for one without id or status."""
    told = as_dict(body)
    identity, status = opt_str(told.get("id")), opt_str(told.get("status"))
    if identity is None or status is None:
        raise GatewayError("upstream_invalid", "The provider's answer names no batch.")
    counts = as_dict(told.get("request_counts"))
    return BatchObject(
        identity,
        status,
        opt_str(told.get("output_file_id")),
        opt_str(told.get("error_file_id")),
        count(counts.get("completed")) or 0,
        count(counts.get("failed")) or 0,
        tuple(_faults(told.get("errors"))),
        tuple((name, as_str(value)) for name, value in as_dict(told.get("metadata")).items()),
    )


def decode_page(body: Any) -> tuple[list[BatchObject], str | None]:
    """Read a page of batches; return them with the id to go on after, None for the last page."""
    told = as_dict(body)
    found = [decode_batch(one) for one in dicts(told.get("data"))]
    return found, found[-1].id if found and told.get("has_more") is True else None


def _faults(value: Any) -> Iterator[dict[str, object]]:
    listed = value if isinstance(value, list) else as_dict(value).get("data")
    for one in dicts(listed):
        yield {
            "code": opt_str(one.get("code")) or "invalid_request",
            "message": as_str(one.get("message")),
            "param": opt_str(one.get("param")),
            "line": count(one.get("line")),
        }


DIALECT: Final = BatchDialect(
    name=NAME,
    decode_error=decode_error,
    encode_create=encode_create,
    decode_batch=decode_batch,
    decode_page=decode_page,
)
