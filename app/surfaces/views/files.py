"""The views of files: upload, list, retrieve, download and delete those of the caller's tenant (OpenAI's Files API)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

from flask import Response, g, request
from werkzeug.datastructures import FileStorage

from app.canonical.files import FileObject, FileUpload
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.provider_files import home_of, realm_of
from app.gateway.run import Run
from app.state.files import PIECE
from app.state.ids import new_file_id
from app.state.pagination import as_list
from app.state.records import NewFile, StoredFile
from app.surfaces.body import queries
from app.surfaces.body.forms import open_form, size_of_file, to_members
from app.surfaces.body.schemas.batches import LEAST_EXPIRY, MOST_EXPIRY
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.envelope import seal_bare
from app.surfaces.replies.runs import answer_object

LARGEST: Final = 100 * 1024 * 1024
"""Bytes of the largest file."""
_PER_SECOND: Final = 1_000_000.0  # bytes of a file for which the body's deadline grows by a second
_MOST_ROWS: Final = 10_000
_BATCH: Final = "batch"
_SECONDS: Final = "expires_after[seconds]"
_ANCHOR: Final = "expires_after[anchor]"


def upload(mount: Mount, deployment: str | None = None) -> Response:
    """Upload a file: a multipart form with the file and its purpose."""
    gateway = current_gateway()
    deadline = gateway.settings.body_deadline + (request.content_length or LARGEST) / _PER_SECOND
    fields, file = open_form(LARGEST, deadline)
    body = to_members(fields)
    call = make_call(mount, body, nameless=True)
    provider = request.headers.get("x-bf-provider") or request.args.get("provider") or body.get("provider")
    provider = home_of(gateway, call, provider, body.get("model") or deployment)
    purpose, content, seconds = _purpose(body), _require_file(file), _expiry(body)
    filename = (content.filename or "file")[:255]
    if purpose != _BATCH:
        media_type = (content.mimetype or "application/octet-stream")[:255]
        upload = FileUpload(filename, media_type, _Spooled(content), purpose, seconds)
        return _upload_to_provider(mount, call, provider, upload)
    members = {"filename": filename, "status": "processed"}
    row = NewFile(new_file_id(), g.principal.tenant, purpose, members, seconds)
    return answer_object(mount, call, lambda run: show(gateway.state().files.write(row, _chunks(content))))


def _upload_to_provider(mount: Mount, call: Call, provider: str | None, upload: FileUpload) -> Response:
    """Upload a file to the provider that the request names, else to the surface's own.

    Raises ``unsupported_operation`` if that provider stores no files."""
    gateway, provider = current_gateway(), provider or call.default_provider
    if provider is None or not gateway.files.keeps(provider):
        who = (
            "No provider that stores files is named"
            if provider is None
            else f"Provider '{provider}' does not store files"
        )
        raise GatewayError(
            "unsupported_operation",
            f"{who}; the gateway itself keeps those with the purpose 'batch'.",
            param="purpose",
        )

    def send(run: Run) -> dict[str, Any]:
        files = gateway.state().files  # the store must be open before the file is sent
        run.outcome.target, file = gateway.files.upload(call, provider, upload)
        return show(files.note(_file_row(run.outcome.target, file, upload), len(upload.content)))

    return answer_object(mount, call, send)


def _file_row(target: Target, file: FileObject, upload: FileUpload) -> NewFile:
    """Return the row of a file at a provider; it expires when the provider says."""
    return NewFile(
        new_file_id(),
        g.principal.tenant,
        upload.purpose,
        {"filename": upload.filename, "status": file.status, "reference": file.reference},
        upload.expires_in if file.expires_at is None else max(0, file.expires_at - int(time.time())),
        target.provider.name,
        realm_of(target),
        file.id,
    )


def list_files(mount: Mount, deployment: str | None = None) -> Response:
    """List files: those of the tenant, the newest first."""
    files = current_gateway().state().files
    page = files.page(
        g.principal.tenant,
        queries.limit(_MOST_ROWS, _MOST_ROWS),
        queries.cursor("after"),
        purpose=request.args.get("purpose") or None,
        oldest_first=queries.choice("order", ("desc", "asc"), "desc") == "asc",
    )
    body = as_list([show(file) for file in page.rows], page.has_more)
    return json_response(seal_bare(mount, "file_list", body))


def retrieve(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Retrieve a file; the status of a file at a provider comes from there."""
    file = _stored_file(file_id)
    if file.provider is None:
        return json_response(seal_bare(mount, "file_retrieve", show(file)))
    files = current_gateway().files
    return _answer_by_provider(mount, lambda call: show(file, files.retrieve(call, file).status))


def delete(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Delete a file, at its provider first, which may refuse."""
    file = _stored_file(file_id)
    body = {"id": file_id, "object": "file", "deleted": True}
    gateway, tenant = current_gateway(), g.principal.tenant
    if file.provider is None:
        gateway.state().files.delete(tenant, file_id)
        return json_response(seal_bare(mount, "file_delete", body))

    def delete(call: Call) -> dict[str, Any]:
        gateway.files.delete(call, file)
        gateway.state().files.delete(tenant, file_id)
        return body

    return _answer_by_provider(mount, delete)


def _answer_by_provider(mount: Mount, ask: Callable[[Call], dict[str, Any]]) -> Response:
    """Answer with the object that ``ask`` returns after a request to the file's provider."""
    call = make_call(mount, {}, nameless=True)

    def make(run: Run) -> dict[str, Any]:
        body = ask(call)
        run.outcome.target = call.attempts[-1].target
        return body

    return answer_object(mount, call, make)


def content(mount: Mount, file_id: str, deployment: str | None = None) -> Response:
    """Retrieve a file's bytes."""
    file, gateway = _stored_file(file_id), current_gateway()
    headers = {"content-type": "application/octet-stream"}
    if file.provider is None:
        chunks = gateway.state().files.content(file)
        headers["content-length"] = str(file.bytes)
    else:
        chunks = gateway.files.content(make_call(mount, {}, nameless=True), file)
        g.pop("call")  # it ends with its first bytes; the log shows the request
    first = [chunk] if (chunk := next(chunks, b"")) else []  # read now, so that a failure has its status
    return Response(chain(first, chunks), 200, headers, direct_passthrough=True)


def show(file: StoredFile, status: str | None = None) -> dict[str, Any]:
    """Return OpenAI's file object of a file, with the ``status`` that its provider reports."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.members.get("filename", "file"),
        "purpose": file.purpose,
        "status": status or file.members.get("status", "processed"),
        "status_details": None,
    }


def _stored_file(file_id: str) -> StoredFile:
    return current_gateway().state().files.get(g.principal.tenant, file_id)


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
    """Return the seconds after which a file expires, None if its form does not say."""
    anchor, seconds = body.get(_ANCHOR), body.get(_SECONDS)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise _invalid_value(_ANCHOR, anchor, "'created_at'")
    is_number = str(seconds).isascii() and str(seconds).isdigit() and len(str(seconds)) < 10
    if not is_number or not LEAST_EXPIRY <= int(seconds or 0) <= MOST_EXPIRY:
        raise _invalid_value(_SECONDS, seconds, f"whole seconds from {LEAST_EXPIRY} to {MOST_EXPIRY}")
    return int(seconds or 0)


def _chunks(file: FileStorage) -> Iterator[bytes]:
    while data := file.read(PIECE):
        yield data


class _Spooled:
    """The bytes of an uploaded file; each iteration reads it from its start."""

    def __init__(self, file: FileStorage) -> None:
        self._file = file
        self._size = size_of_file(file)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return _chunks(self._file)


def _missing(name: str) -> GatewayError:
    return GatewayError(
        "bad_request",
        f"Missing required parameter: '{name}'.",
        param=name,
        code="missing_required_parameter",
    )


def _invalid_value(name: str, value: Any, options: str) -> GatewayError:
    message = f"Invalid value: '{str(value)[:64]}'. Supported values are: {options}."
    return GatewayError("bad_request", message, param=name, code="invalid_value")
