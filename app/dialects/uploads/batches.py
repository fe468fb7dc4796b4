"""OpenAI's batches, also the format of other providers: a file of requests, and files with their responses.

A file may have 50,000 requests, the window is ``24h``. Sources: ``Batch`` of openai 3.51, ``BatchCreateResponse`` of
groq 1.4, the providers' guides (https://platform.openai.com/docs/guides/batch, https://console.groq.com/docs/batch,
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
    """``files``: the path of the files that batches read and write. ``endpoints``: the provider's names of
    OpenAI's endpoints."""

    files: str
    endpoints: Mapping[str, str]


@record(kw_only=True)
class BatchDialect(Row):
    """A dialect of batches."""

    encode_create: Callable[[str, str, Mapping[str, str]], dict[str, Any]]
    decode_batch: Callable[[Any], BatchObject]
    decode_page: Callable[[Any], tuple[list[BatchObject], str | None]]


def encode_create(input_file_id: str, endpoint: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the request that creates a batch of a file."""
    return {
        "input_file_id": input_file_id,
        "endpoint": endpoint,
        "completion_window": WINDOW,
        "metadata": dict(metadata),
    }


def decode_batch(body: Any) -> BatchObject:
    """Return a batch; raises ``upstream_invalid`` without id or status."""
    batch = as_dict(body)
    batch_id, status = opt_str(batch.get("id")), opt_str(batch.get("status"))
    if batch_id is None or status is None:
        raise GatewayError("upstream_invalid", "The provider's answer names no batch.")
    counts = as_dict(batch.get("request_counts"))
    return BatchObject(
        batch_id,
        status,
        opt_str(batch.get("output_file_id")),
        opt_str(batch.get("error_file_id")),
        count(counts.get("completed")) or 0,
        count(counts.get("failed")) or 0,
        tuple(_errors(batch.get("errors"))),
        tuple((name, as_str(value)) for name, value in as_dict(batch.get("metadata")).items()),
    )


def decode_page(body: Any) -> tuple[list[BatchObject], str | None]:
    """Return the batches of a page, and the id after which the next page begins (None for the last page)."""
    page = as_dict(body)
    batches = [decode_batch(entry) for entry in dicts(page.get("data"))]
    return batches, batches[-1].id if batches and page.get("has_more") is True else None


def _errors(value: Any) -> Iterator[dict[str, object]]:
    for error in dicts(value if isinstance(value, list) else as_dict(value).get("data")):
        yield {
            "code": opt_str(error.get("code")) or "invalid_request",
            "message": as_str(error.get("message")),
            "param": opt_str(error.get("param")),
            "line": count(error.get("line")),
        }


DIALECT: Final = BatchDialect(
    name=NAME,
    decode_error=decode_error,
    encode_create=encode_create,
    decode_batch=decode_batch,
    decode_page=decode_page,
)
