"""The views of batches: made, looked at, listed and cancelled by their tenant."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from flask import Response, g

from app.errors import GatewayError
from app.gateway.batch_lines import endpoint_of, lines_of
from app.gateway.core import Gateway
from app.gateway.exchange import Answer
from app.gateway.run import Batch, Run
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
from app.surfaces.replies.runs import answer_whole
from app.wire.fairness import Turns

_INPUT: Final = "input_file_id"
_MOST_LISTED: Final = 100
_MOST_LINES: Final = (
    1_000_000  # each of 100 bytes, and none that means anything is shorter, they fill the largest file
)
_LISTED: Final = 20


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a batch: the lines of a file, to be answered within a window."""
    body = read_body()
    gateway = current_gateway()
    call = g.call = make_call(mount, body, nameless=True)

    def source(run: Run) -> Generator[Batch, None, None]:
        made = gateway.state().batches.create(_new(gateway, mount, body))
        yield Batch([], last=True, answer=Answer(made.object))

    return answer_whole(mount, gateway.answer(call, source).result())


def listed(mount: Mount, deployment: str | None = None) -> Response:
    """List batches: those of the tenant, the newest first."""
    limit = queries.limit(_LISTED, _MOST_LISTED)
    page = current_gateway().state().batches.page(g.principal.tenant, limit, queries.cursor("after"))
    body = as_list([one.object for one in page.rows], page.has_more)
    return json_response(seal_bare(mount, "batch_list", body))


def retrieve(mount: Mount, batch_id: str, deployment: str | None = None) -> Response:
    """Retrieve a batch."""
    state = current_gateway().state()
    stored = state.batches.get(g.principal.tenant, batch_id)
    if stored.provider is not None and not stored.ended:
        state.remote_batches.poll_soon(batch_id)
    return json_response(seal_bare(mount, "batch_retrieve", stored.object, stored.provider))


def cancel(mount: Mount, batch_id: str, deployment: str | None = None) -> Response:
    """Cancel a batch: lines in flight end; a body, if any, is ignored."""
    claim_json(current_gateway(), None, 0)
    stored = current_gateway().state().batches.cancel(g.principal.tenant, batch_id)
    return json_response(seal_bare(mount, "batch_cancel", stored.object, stored.provider))


def _new(gateway: Gateway, mount: Mount, body: dict[str, Any]) -> NewBatch:
    """Return the batch that a body asks for; raises 404 for a file that is not the tenant's."""
    stored = _input(gateway, body[_INPUT])
    expires = body.get("output_expires_after") or {}
    return NewBatch(
        id=new_id("batch"),
        tenant=g.principal.tenant,
        key_id=g.principal.key,
        mount=mount.name,
        input_file_id=stored.id,
        window=window_seconds(body["completion_window"]),
        members={
            "endpoint": endpoint_of(body["endpoint"]),
            "completion_window": body["completion_window"],
            "metadata": body.get("metadata"),
            "total": _lines(gateway, stored),
            "output_keeps": expires.get("seconds"),
        },
    )


def _input(gateway: Gateway, file_id: str) -> StoredFile:
    try:
        stored = gateway.state().files.get(g.principal.tenant, file_id)
    except GatewayError as error:
        raise missing(file_id, _INPUT) if error.kind.name == "not_found" else error from error
    if stored.purpose != "batch":
        raise _invalid_file(f"The file's purpose is '{stored.purpose}'; upload it with the purpose 'batch'.")
    return stored


def _lines(gateway: Gateway, stored: StoredFile) -> int:
    """Count the lines of a file; raises 400 for one that has none, or too many."""
    content = gateway.state().files.content(stored)
    count, turns = 0, Turns()
    for _ in lines_of(content, longest=gateway.settings.max_body_bytes):
        turns.take()
        count += 1
        if count > _MOST_LINES:
            raise _invalid_file(
                f"The file has more than {_MOST_LINES} lines; share them out over several files."
            )
    if count == 0:
        raise _invalid_file("The file has no lines.")
    return count


def _invalid_file(message: str) -> GatewayError:
    return GatewayError("bad_request", message, param=_INPUT, code="invalid_value")
