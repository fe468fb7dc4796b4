"""The views of batches: create, list, retrieve and cancel those of the caller's tenant (OpenAI's Batch API)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, g

from app.errors import GatewayError
from app.gateway.batch_lines import endpoint_of, lines_of
from app.gateway.core import Gateway
from app.gateway.run import Run
from app.state.batches import NewBatch
from app.state.ids import new_id
from app.state.pagination import as_list
from app.state.records import StoredFile, missing
from app.surfaces.body import queries
from app.surfaces.body.schemas.batches import window_seconds
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.idempotency import claim_json
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.envelope import seal_bare
from app.surfaces.replies.runs import answer_object
from app.wire.fairness import Turns

_INPUT: Final = "input_file_id"
_MOST_ROWS: Final = 100
_ROWS: Final = 20  # without ``limit``
_MOST_LINES: Final = (
    1_000_000  # so many of 100 bytes, which no useful line is shorter than, fill the largest file
)


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a batch: the lines of a file, to be answered within a window."""
    body = read_body()
    gateway = current_gateway()
    call = make_call(mount, body, nameless=True)

    def create(run: Run) -> dict[str, Any]:
        return gateway.state().batches.create(_new(gateway, mount, body)).object

    return answer_object(mount, call, create)


def list_batches(mount: Mount, deployment: str | None = None) -> Response:
    """List batches: those of the tenant, the newest first."""
    limit, after = queries.limit(_ROWS, _MOST_ROWS), queries.cursor("after")
    page = current_gateway().state().batches.page(g.principal.tenant, limit, after)
    body = as_list([batch.object for batch in page.rows], page.has_more)
    return json_response(seal_bare(mount, "batch_list", body))


def retrieve(mount: Mount, batch_id: str, deployment: str | None = None) -> Response:
    """Retrieve a batch."""
    state = current_gateway().state()
    batch = state.batches.get(g.principal.tenant, batch_id)
    if batch.provider is not None and not batch.ended:
        state.remote_batches.poll_soon(batch_id)
    return json_response(seal_bare(mount, "batch_retrieve", batch.object, batch.provider))


def cancel(mount: Mount, batch_id: str, deployment: str | None = None) -> Response:
    """Cancel a batch: lines in flight end; a body, if any, is ignored."""
    gateway = current_gateway()
    claim_json(gateway, None, 0)
    batch = gateway.state().batches.cancel(g.principal.tenant, batch_id)
    return json_response(seal_bare(mount, "batch_cancel", batch.object, batch.provider))


def _new(gateway: Gateway, mount: Mount, body: dict[str, Any]) -> NewBatch:
    """Return the batch that a body describes; raise 404 for a file that is not the tenant's."""
    file = _input_file(gateway, body[_INPUT])
    expires = body.get("output_expires_after") or {}
    return NewBatch(
        id=new_id("batch"),
        tenant=g.principal.tenant,
        key_id=g.principal.identity,
        mount=mount.name,
        input_file_id=file.id,
        window=window_seconds(body["completion_window"]),
        members={
            "endpoint": endpoint_of(body["endpoint"]),
            "completion_window": body["completion_window"],
            "metadata": body.get("metadata"),
            "total": _count_lines(gateway, file),
            "output_keeps": expires.get("seconds"),
        },
    )


def _input_file(gateway: Gateway, file_id: str) -> StoredFile:
    try:
        file = gateway.state().files.get(g.principal.tenant, file_id)
    except GatewayError as error:
        raise missing(file_id, _INPUT) if error.kind.name == "not_found" else error from error
    if file.purpose != "batch":
        raise _invalid_file(f"The file's purpose is '{file.purpose}'; upload it with the purpose 'batch'.")
    return file


def _count_lines(gateway: Gateway, file: StoredFile) -> int:
    """Return the number of lines of a file; raise 400 for none or too many."""
    count, turns = 0, Turns()
    for _ in lines_of(gateway.state().files.content(file), max_bytes=gateway.settings.max_body_bytes):
        turns.take()
        count += 1
        if count > _MOST_LINES:
            raise _invalid_file(f"The file has more than {_MOST_LINES} lines; split them over several files.")
    if count == 0:
        raise _invalid_file("The file has no lines.")
    return count


def _invalid_file(message: str) -> GatewayError:
    return GatewayError("bad_request", message, param=_INPUT, code="invalid_value")
