"""The views of files: uploaded, listed, looked at, downloaded and deleted by their tenant."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final

from flask import Response, g, request
from werkzeug.datastructures import FileStorage

from app.errors import GatewayError
from app.gateway.exchange import Answer
from app.gateway.file_homes import home_of
from app.gateway.run import Batch, Run
from app.state.files import NewFile, StoredFile
from app.state.ids import new_file_id
from app.state.paging import as_list
from app.state.pieces import PIECE
from app.surfaces.body import queries
from app.surfaces.body.forms import members, open_form, size_of_file
from app.surfaces.body.schemas.batches import LEAST_KEPT, MOST_KEPT
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.envelope import seal_bare
from app.surfaces.replies.runs import answer_whole

LARGEST: Final = 100 * 1024 * 1024
"""Bytes of a file at most."""
_PER_SECOND: Final = 1_000_000.0  # bytes of a file for which a second is added to the body's deadline
_MOST_LISTED: Final = 10_000
_BATCH: Final = "batch"
_KEPT_FOR: Final = "expires_after[seconds]"
_COUNTED_FROM: Final = "expires_after[anchor]"


def upload(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST files``: a multipart form with the file and its purpose."""
    gateway = current_gateway()
    deadline = gateway.settings.body_deadline + (request.content_length or LARGEST) / _PER_SECOND
    fields, file = open_form(LARGEST, deadline)
    body = members(fields)
    call = g.call = make_call(mount, body, nameless=True)
    home = home_of(gateway, call, _named(body), body.get("model") or deployment)
    purpose, content, keeps = _purpose(body), _present(file), _keeps(body)
    if purpose != _BATCH:
        raise _nobody_keeps(home)
    new = NewFile(
        new_file_id(), g.principal.tenant, purpose, {"filename": _name(content), "status": "processed"}, keeps
    )

    def source(run: Run) -> Generator[Batch, None, None]:
        stored = gateway.state().files.write(new, _pieces(content))
        yield Batch([], last=True, answer=Answer(shown(stored)))

    return answer_whole(mount, gateway.answer(call, source).result())


def listed(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``GET files``: those of the tenant, the newest first."""
    page = (
        current_gateway()
        .state()
        .files.page(
            g.principal.tenant,
            queries.bounded("limit", _MOST_LISTED, _MOST_LISTED),
            queries.cursor("after"),
            purpose=request.args.get("purpose") or None,
            oldest_first=queries.choice("order", ("desc", "asc")) == "asc",
        )
    )
    body = as_list([shown(one) for one in page.rows], page.has_more)
    return json_response(seal_bare(mount, "file_list", body))


def retrieve(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Serve ``GET files/{id}``."""
    stored = _stored(file_id)
    return json_response(seal_bare(mount, "file_retrieve", shown(stored), stored.provider))


def delete(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Serve ``DELETE files/{id}``."""
    stored = current_gateway().state().files.delete(g.principal.tenant, file_id)
    body = {"id": file_id, "object": "file", "deleted": True}
    return json_response(seal_bare(mount, "file_delete", body, stored.provider))


def content(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Serve ``GET files/{id}/content``: the file's bytes."""
    stored = _stored(file_id)
    pieces = current_gateway().state().files.content(stored)
    first = next(pieces, b"")
    headers = {"content-type": "application/octet-stream", "content-length": str(stored.bytes)}
    return Response(_joined(first, pieces), 200, headers, direct_passthrough=True)


def _nobody_keeps(home: str | None) -> GatewayError:
    """Return the refusal of a file that only a provider could keep."""
    who = "No provider is named that keeps files" if home is None else f"Provider '{home}' keeps no files"
    return GatewayError(
        "unsupported_operation",
        f"{who}; the gateway itself keeps those with the purpose 'batch'.",
        param="purpose",
    )


def shown(stored: StoredFile) -> dict[str, Any]:
    """Return a file as its owner sees it."""
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.bytes,
        "created_at": stored.created_at,
        "expires_at": stored.expires_at,
        "filename": stored.members.get("filename", "file"),
        "purpose": stored.purpose,
        "status": stored.members.get("status", "processed"),
        "status_details": None,
    }


def _stored(file_id: str) -> StoredFile:
    return current_gateway().state().files.get(g.principal.tenant, file_id)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
        yield from rest


def _named(body: dict[str, Any]) -> str | None:
    """Return the provider that a request names: by its header, its query, or a form field."""
    return request.headers.get("x-bf-provider") or request.args.get("provider") or body.get("provider")


def _purpose(body: dict[str, Any]) -> str:
    purpose = body.get("purpose")
    if not purpose:
        raise _missing("purpose")
    if len(purpose) > 64:
        raise _wrong("purpose", purpose, "a word such as 'batch' or 'user_data'")
    return str(purpose)


def _present(file: FileStorage | None) -> FileStorage:
    if file is None:
        raise _missing("file")
    if size_of_file(file) == 0:
        raise GatewayError("bad_request", "The file is empty.", param="file", code="invalid_value")
    return file


def _keeps(body: dict[str, Any]) -> float | None:
    """Return the seconds after which a file shall go, where its form says."""
    anchor, seconds = body.get(_COUNTED_FROM), body.get(_KEPT_FOR)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise _wrong(_COUNTED_FROM, anchor, "'created_at'")
    if not (str(seconds).isascii() and str(seconds).isdigit() and len(str(seconds)) < 10):
        raise _wrong(_KEPT_FOR, seconds, f"whole seconds from {LEAST_KEPT} to {MOST_KEPT}")
    if not LEAST_KEPT <= int(seconds or 0) <= MOST_KEPT:
        raise _wrong(_KEPT_FOR, seconds, f"whole seconds from {LEAST_KEPT} to {MOST_KEPT}")
    return float(seconds or 0)


def _name(file: FileStorage) -> str:
    return (file.filename or "file")[:255]


def _pieces(file: FileStorage) -> Iterator[bytes]:
    while data := file.read(PIECE):
        yield data


def _missing(name: str) -> GatewayError:
    message = f"Missing required parameter: '{name}'."
    return GatewayError("bad_request", message, param=name, code="missing_required_parameter")


def _wrong(name: str, value: Any, supported: str) -> GatewayError:
    message = f"Invalid value: '{str(value)[:64]}'. Supported values are: {supported}."
    return GatewayError("bad_request", message, param=name, code="invalid_value")
