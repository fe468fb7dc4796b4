"""Batches at a provider: create, find, retrieve and cancel them, and read their files, with one account.

Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from app.canonical.batches import BatchObject
from app.canonical.files import Content, FileUpload
from app.dialects import dialect_of
from app.dialects.uploads.base import FileDialect, FileRequest
from app.dialects.uploads.batches import PURPOSE, BatchDialect, BatchOptions
from app.errors import GatewayError
from app.gateway.account_requests import AccountRequests, open_attempt
from app.gateway.call import Attempt, Call, Target
from app.gateway.provider_files import context_of
from app.providers.base import Wire
from app.wire.json import dumps
from app.wire.paths import segment

if TYPE_CHECKING:
    from app.gateway.core import Gateway


_FILES: Final = "files_openai"
_ID_MEMBER: Final = "sluice_batch"  # of a batch's metadata; its value is the id that the gateway gave it
_MAX_PAGES: Final = 10
_PAGE: Final = {"limit": "100"}


def wire_of(target: Target) -> Wire | None:
    """Return the wire of batches of a target, None where its provider has none."""
    return target.provider.wire("batch_create", target.model)


def options_of(wire: Wire) -> BatchOptions:
    """Return the options of a wire of batches."""
    options: BatchOptions = wire.options
    return options


class ProviderBatches:
    """The batches of one account; their requests are attempts of ``call``."""

    def __init__(self, gateway: Gateway, call: Call, target: Target) -> None:
        self._gateway, self._call, self._target = gateway, call, target

    def upload(self, name: str, content: Content) -> str:
        """Upload the lines of a batch; return the provider's id of the file."""
        with self._open_attempt() as (account, wire, _, attempt):
            dialect, context = dialect_of(FileDialect, _FILES), context_of(attempt, wire)
            new = FileUpload(name, "application/jsonl", content, PURPOSE)
            path = options_of(wire).files

            def post(request: FileRequest) -> Any:
                return account.post(FileRequest(request.body, request.headers, path))

            return dialect.upload(new, context, f"sluice-{secrets.token_hex(16)}", post).id

    def create(self, input_id: str, endpoint: str, batch_id: str) -> BatchObject:
        """Make a batch of an uploaded file, with the gateway's id in its metadata."""
        with self._open_attempt() as (account, wire, row, _):
            url = options_of(wire).endpoints[endpoint]
            body = dumps(row.encode_create(input_id, url, {_ID_MEMBER: batch_id}))
            return row.decode_batch(account.json("POST", wire.path, body))

    def find(self, batch_id: str) -> BatchObject | None:
        """Return the batch with the gateway's id, None where the newest ones do not include it."""
        with self._open_attempt() as (account, wire, row, _):
            after: str | None = None
            for _ in range(_MAX_PAGES):
                query = _PAGE if after is None else {**_PAGE, "after": after}
                batches, after = row.decode_page(account.json("GET", wire.path, query=query))
                for batch in batches:
                    if (_ID_MEMBER, batch_id) in batch.metadata:
                        return batch
                if after is None:
                    break
            return None

    def retrieve(self, identity: str) -> BatchObject:
        """Return a batch as its provider shows it now."""
        with self._open_attempt() as (account, wire, row, _):
            return row.decode_batch(account.json("GET", f"{wire.path}/{segment(identity, name='batch id')}"))

    def cancel(self, identity: str) -> None:
        """Cancel a batch."""
        with self._open_attempt() as (account, wire, _, _):
            account.json("POST", f"{wire.path}/{segment(identity, name='batch id')}/cancel")

    def content(self, file_id: str) -> Iterator[bytes]:
        """Yield the bytes of a file of results."""
        with self._open_attempt() as (account, wire, _, _):
            with account.open("GET", f"{self._file(wire, file_id)}/content") as upstream:
                while data := upstream.read1():
                    yield data

    def delete_file(self, file_id: str) -> None:
        """Delete a file."""
        with (
            self._open_attempt() as (account, wire, _, _),
            account.open("DELETE", self._file(wire, file_id)) as upstream,
        ):
            upstream.read()

    def _file(self, wire: Wire, file_id: str) -> str:
        return f"{options_of(wire).files}/{segment(file_id, name='file id')}"

    @contextmanager
    def _open_attempt(self) -> Iterator[tuple[AccountRequests, Wire, BatchDialect, Attempt]]:
        """Open one attempt at the account: its requests, wire, dialect and attempt. Errors are redacted.

        Raises ``not_found`` where the provider answers 404."""
        wire = wire_of(self._target)
        if wire is None:
            raise GatewayError(
                "unsupported_operation", f"Provider '{self._target.provider.name}' has no batches."
            )
        row = dialect_of(BatchDialect, wire.dialect)
        with open_attempt(
            self._gateway, self._call, self._target, lambda message: GatewayError("not_found", message)
        ) as attempt:
            yield AccountRequests(self._gateway.settings, attempt, wire, row), wire, row, attempt
