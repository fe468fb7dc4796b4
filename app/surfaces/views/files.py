"""The views of files: uploaded, listed, looked at, downloaded and deleted by their tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

from flask import Response, g, request
from werkzeug.datastructures import FileStorage

from app.canonical.files import FileObject, FileUpload
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.exchange import Answer
from app.gateway.file_location import home_of
from app.gateway.provider_files import realm_of
from app.gateway.run import Batch, Run
from app.state.file_chunks import PIECE
from app.state.ids import new_file_id
from app.state.pagination import as_list
from app.state.records import NewFile, StoredFile
from app.surfaces.body import queries
from app.surfaces.body.forms import members, open_form, size_of_file
from app.surfaces.body.schemas.batches import LEAST_EXPIRY, MOST_EXPIRY
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
    """Upload a file: a multipart form with the file and its purpose."""
    gateway = current_gateway()
    deadline = gateway.settings.body_deadline + (request.content_length or LARGEST) / _PER_SECOND
    fields, file = open_form(LARGEST, deadline)
    body = members(fields)
    call = g.call = make_call(mount, body, nameless=True)
    home = home_of(gateway, call, _provider_name(body), body.get("model") or deployment)
    purpose, content, keeps = _purpose(body), _require_file(file), _expiry(body)
    if purpose != _BATCH:
        made = FileUpload(_name(content), _type(content), _Spooled(content), purpose, keeps)
        return _upload_to_provider(mount, call, home, made)
    new = NewFile(
        new_file_id(), g.principal.tenant, purpose, {"filename": _name(content), "status": "processed"}, keeps
    )

    def source(run: Run) -> Generator[Batch, None, None]:
        stored = gateway.state().files.write(new, _pieces(content))
        yield Batch([], last=True, answer=Answer(show(stored)))

    return answer_whole(mount, gateway.answer(call, source).result())


def _upload_to_provider(mount: Mount, call: Call, home: str | None, upload: FileUpload) -> Response:
    """Put a file to the provider that is named, else to the door's own; raises ``unsupported_operation``
    where that keeps none."""
    gateway, home = current_gateway(), home or call.default_provider
    if home is None or not gateway.files.keeps(home):
        raise _unsupported_error(home)

    def source(run: Run) -> Generator[Batch, None, None]:
        files = gateway.state().files  # before anything goes out
        run.outcome.target, made = gateway.files.upload(call, home, upload)
        stored = files.note(_file_row(run.outcome.target, made, upload), len(upload.content))
        yield Batch([], last=True, answer=Answer(show(stored)))

    return answer_whole(mount, gateway.answer(call, source).result())


def _file_row(target: Target, made: FileObject, upload: FileUpload) -> NewFile:
    """Return the row of a file that an account holds; it ends when the provider says."""
    members = {"filename": upload.filename, "status": made.status, "reference": made.reference}
    return NewFile(
        new_file_id(),
        g.principal.tenant,
        upload.purpose,
        members,
        upload.keeps if made.expires_at is None else max(0, made.expires_at - int(time.time())),
        target.provider.name,
        realm_of(target),
        made.id,
    )


def listed(mount: Mount, deployment: str | None = None) -> Response:
    """List files: those of the tenant, the newest first."""
    page = (
        current_gateway()
        .state()
        .files.page(
            g.principal.tenant,
            queries.limit(_MOST_LISTED, _MOST_LISTED),
            queries.cursor("after"),
            purpose=request.args.get("purpose") or None,
            oldest_first=queries.choice("order", ("desc", "asc")) == "asc",
        )
    )
    body = as_list([show(one) for one in page.rows], page.has_more)
    return json_response(seal_bare(mount, "file_list", body))


def retrieve(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Retrieve a file: a provider is asked how its file is."""
    stored = _stored_file(file_id)
    if stored.provider is None:
        return json_response(seal_bare(mount, "file_retrieve", show(stored)))
    return _ask_provider(
        mount, lambda call: show(stored, current_gateway().files.retrieve(call, stored).status)
    )


def delete(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Delete a file: at its provider first, which may refuse."""
    stored = _stored_file(file_id)
    body = {"id": file_id, "object": "file", "deleted": True}
    gateway, tenant = current_gateway(), g.principal.tenant
    if stored.provider is None:
        gateway.state().files.delete(tenant, file_id)
        return json_response(seal_bare(mount, "file_delete", body))

    def deleted(call: Call) -> dict[str, Any]:
        gateway.files.delete(call, stored)
        gateway.state().files.delete(tenant, file_id)
        return body

    return _ask_provider(mount, deleted)


def _ask_provider(mount: Mount, ask: Callable[[Call], dict[str, Any]]) -> Response:
    """Answer with what ``ask`` has of a file's provider."""
    gateway = current_gateway()
    call = g.call = make_call(mount, {}, nameless=True)

    def source(run: Run) -> Generator[Batch, None, None]:
        answer = Answer(ask(call))
        run.outcome.target = call.attempts[-1].target
        yield Batch([], last=True, answer=answer)

    return answer_whole(mount, gateway.answer(call, source).result())


def content(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Retrieve a file's bytes."""
    stored, gateway = _stored_file(file_id), current_gateway()
    headers = {"content-type": "application/octet-stream"}
    if stored.provider is None:
        pieces = gateway.state().files.content(stored)
        headers["content-length"] = str(stored.bytes)
    else:
        pieces = gateway.files.content(make_call(mount, {}, nameless=True), stored)
    first = next(pieces, b"")
    return Response(_join(first, pieces), 200, headers, direct_passthrough=True)


def _unsupported_error(home: str | None) -> GatewayError:
    """Return the refusal of a file that only a provider could keep."""
    who = "No provider is named that keeps files" if home is None else f"Provider '{home}' keeps no files"
    return GatewayError(
        "unsupported_operation",
        f"{who}; the gateway itself keeps those with the purpose 'batch'.",
        param="purpose",
    )


def show(stored: StoredFile, status: str | None = None) -> dict[str, Any]:
    """Return a file as its owner sees it, with the ``status`` that its provider tells."""
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.bytes,
        "created_at": stored.created_at,
        "expires_at": stored.expires_at,
        "filename": stored.members.get("filename", "file"),
        "purpose": stored.purpose,
        "status": status or stored.members.get("status", "processed"),
        "status_details": None,
    }


def _stored_file(file_id: str) -> StoredFile:
    return current_gateway().state().files.get(g.principal.tenant, file_id)


def _join(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
        yield from rest


def _provider_name(body: dict[str, Any]) -> str | None:
    """Return the provider that a request names: by its header, its query, or a form field."""
    return request.headers.get("x-bf-provider") or request.args.get("provider") or body.get("provider")


def _purpose(body: dict[str, Any]) -> str:
    purpose = body.get("purpose")
    if not purpose:
        raise _missing("purpose")
    if len(purpose) > 64:
        raise _invalid_value("purpose", purpose, "a word such as 'batch' or 'user_data'")
    return str(purpose)


def _require_file(file: FileStorage | None) -> FileStorage:
    if file is None:
        raise _missing("file")
    if size_of_file(file) == 0:
        raise GatewayError("bad_request", "The file is empty.", param="file", code="invalid_value")
    return file


def _expiry(body: dict[str, Any]) -> int | None:
    """Return the seconds after which a file shall go, where its form says."""
    anchor, seconds = body.get(_COUNTED_FROM), body.get(_KEPT_FOR)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise _invalid_value(_COUNTED_FROM, anchor, "'created_at'")
    if not (str(seconds).isascii() and str(seconds).isdigit() and len(str(seconds)) < 10):
        raise _invalid_value(_KEPT_FOR, seconds, f"whole seconds from {LEAST_EXPIRY} to {MOST_EXPIRY}")
    if not LEAST_EXPIRY <= int(seconds or 0) <= MOST_EXPIRY:
        raise _invalid_value(_KEPT_FOR, seconds, f"whole seconds from {LEAST_EXPIRY} to {MOST_EXPIRY}")
    return int(seconds or 0)


def _name(file: FileStorage) -> str:
    return (file.filename or "file")[:255]


def _type(file: FileStorage) -> str:
    return (file.mimetype or "application/octet-stream")[:255]


def _pieces(file: FileStorage) -> Iterator[bytes]:
    while data := file.read(PIECE):
        yield data


class _Spooled:
    """The bytes of an uploaded file, read from its start each time."""

    def __init__(self, file: FileStorage) -> None:
        self._file = file
        self._size = size_of_file(file)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return _pieces(self._file)


def _missing(name: str) -> GatewayError:
    message = f"Missing required parameter: '{name}'."
    return GatewayError("bad_request", message, param=name, code="missing_required_parameter")


def _invalid_value(name: str, value: Any, supported: str) -> GatewayError:
    message = f"Invalid value: '{str(value)[:64]}'. Supported values are: {supported}."
    return GatewayError("bad_request", message, param=name, code="invalid_value")
