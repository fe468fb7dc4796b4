"""Batches that a provider runs: made, looked at, ended, and their files read, by one account.

Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from app.canonical.batches import BatchObject
from app.canonical.files import Content, FileUpload
from app.config import Settings
from app.dialects import dialect_of
from app.dialects.uploads.base import FileDialect, FileRequest
from app.dialects.uploads.batches import PURPOSE, BatchDialect, BatchOptions
from app.errors import GatewayError
from app.gateway.account_requests import AccountRequests
from app.gateway.call import Attempt, Call, Target
from app.gateway.provider_files import context_of
from app.gateway.redaction import Redactor
from app.providers.base import Wire
from app.wire.json import dumps
from app.wire.paths import segment

_FILES: Final = "files_openai"
_OURS: Final = "sluice_batch"
_MOST_PAGES: Final = 10
_A_PAGE: Final = {"limit": "100"}


class Services(Protocol):
    """What batches at providers need of the gateway."""

    settings: Settings
    redactor: Redactor


def wire_of(target: Target) -> Wire | None:
    """Return the wire of batches of a target, None where its provider has none."""
    return target.provider.wire("batch_create", target.model)


def options_of(wire: Wire) -> BatchOptions:
    """Return what a wire of batches says of itself."""
    options: BatchOptions = wire.options
    return options


class ProviderBatches:
    """The batches of one account, asked for on behalf of ``call``."""

    def __init__(self, services: Services, call: Call, target: Target) -> None:
        self._services, self._call, self._target = services, call, target

    def upload(self, name: str, content: Content) -> str:
        """Put the lines of a batch there; return the provider's id of the file."""
        with self._accounts() as (asked, wire, _, attempt):
            dialect, context = dialect_of(FileDialect, _FILES), context_of(attempt, wire)
            new = FileUpload(name, "application/jsonl", content, PURPOSE)
            path = options_of(wire).files

            def post(request: FileRequest) -> Any:
                return asked.post(FileRequest(request.body, request.headers, path))

            return dialect.upload(new, context, f"sluice-{secrets.token_hex(16)}", post).id

    def create(self, input_id: str, endpoint: str, batch_id: str) -> BatchObject:
        """Make a batch of an uploaded file, which bears the id of ours."""
        with self._accounts() as (asked, wire, row, _):
            spoken = options_of(wire).endpoints[endpoint]
            body = dumps(row.encode_create(input_id, spoken, {_OURS: batch_id}))
            return row.decode_batch(asked.json("POST", wire.path, body))

    def find(self, batch_id: str) -> BatchObject | None:
        """Return the batch that bears an id of ours, looked for among the newest; None for none."""
        with self._accounts() as (asked, wire, row, _):
            after: str | None = None
            for _ in range(_MOST_PAGES):
                query = _A_PAGE if after is None else {**_A_PAGE, "after": after}
                found, after = row.decode_page(asked.json("GET", wire.path, query=query))
                for one in found:
                    if (_OURS, batch_id) in one.metadata:
                        return one
                if after is None:
                    break
            return None

    def retrieve(self, identity: str) -> BatchObject:
        """Return a batch as its provider tells of it now."""
        with self._accounts() as (asked, wire, row, _):
            return row.decode_batch(asked.json("GET", f"{wire.path}/{segment(identity, name='batch id')}"))

    def cancel(self, identity: str) -> None:
        """Ask for the end of a batch."""
        with self._accounts() as (asked, wire, _, _):
            asked.json("POST", f"{wire.path}/{segment(identity, name='batch id')}/cancel")

    def content(self, file_id: str) -> Iterator[bytes]:
        """Yield the bytes of a file of results."""
        with self._accounts() as (asked, wire, _, _):
            with asked.opened("GET", f"{self._file(wire, file_id)}/content") as upstream:
                while data := upstream.read1():
                    yield data

    def forget(self, file_id: str) -> None:
        """Delete a file."""
        with (
            self._accounts() as (asked, wire, _, _),
            asked.opened("DELETE", self._file(wire, file_id)) as upstream,
        ):
            upstream.read()

    def _file(self, wire: Wire, file_id: str) -> str:
        return f"{options_of(wire).files}/{segment(file_id, name='file id')}"

    @contextmanager
    def _accounts(self) -> Iterator[tuple[AccountRequests, Wire, BatchDialect, Attempt]]:
        """Give what asks the account, as one attempt; its errors are without our secrets.

        Raises ``not_found`` for what there is not."""
        wire = wire_of(self._target)
        if wire is None:
            raise GatewayError(
                "unsupported_operation", f"Provider '{self._target.provider.name}' has no batches."
            )
        row = dialect_of(BatchDialect, wire.dialect)
        attempt = Attempt(self._call, self._target)
        try:
            with self._target.provider.slots:
                yield AccountRequests(self._services.settings, attempt, wire, row), wire, row, attempt
        except GatewayError as error:
            attempt.fail(error)
            shown = self._services.redactor.error(error)
            if attempt.status == 404:
                raise GatewayError("not_found", shown.message) from error
            raise shown from error.__cause__
        finally:
            attempt.close()
