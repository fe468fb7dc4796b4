"""Requests for files and batches at one account. They are attempts without layers.

Tests: tests/lifecycle/test_provider_files.py, tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from app.config import Settings
from app.dialects.base import Row
from app.dialects.uploads.base import FileAnswer, FileRequest
from app.errors import GatewayError
from app.gateway.call import Attempt, Call, Target
from app.gateway.exchange import Sent
from app.gateway.translation import parse_upstream
from app.gateway.upstreams import OpenRequest
from app.providers.base import Wire
from app.wire.upstream import Upstream

if TYPE_CHECKING:
    from app.gateway.core import Gateway


@contextmanager
def open_attempt(
    gateway: Gateway, call: Call, target: Target, not_found: Callable[[str], GatewayError] | None
) -> Iterator[Attempt]:
    """Open an attempt of ``call`` at an account, within its provider's slots; its errors are redacted.

    ``not_found`` returns the error for a 404 of the provider, from the redacted message."""
    attempt = Attempt(call, target)
    call.attempts.append(attempt)
    try:
        with target.provider.slots:
            yield attempt
    except GatewayError as error:
        attempt.fail(error)
        redacted = gateway.redactor.error(error)
        if not_found is not None and attempt.status == 404:
            raise not_found(redacted.message) from error
        raise redacted from error.__cause__
    finally:
        attempt.close()


class AccountRequests:
    """The requests of one attempt at an account; ``row`` is the dialect of ``wire``."""

    def __init__(self, settings: Settings, attempt: Attempt, wire: Wire, row: Row) -> None:
        self.wire = wire
        self._row = row
        self._settings, self._attempt = settings, attempt

    def post(self, request: FileRequest) -> FileAnswer:
        """Send one step of an upload; return the answer."""
        headers = {**request.headers, "content-length": str(len(request.body))}
        sent = Sent(request.body, headers, wire=self._resolve_path(request))
        with OpenRequest(self._settings, self._attempt, self, sent, stream=False) as upstream:
            body = upstream.read()
            return FileAnswer(upstream.headers, parse_upstream(body) if body.strip() else None)

    @contextmanager
    def open(
        self, method: str, path: str, body: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> Iterator[Upstream]:
        """Send a request to a path and open the answer."""
        wire = replace(self.wire, method=method, path=path, query=query or {})
        with OpenRequest(
            self._settings, self._attempt, self, Sent(body, wire=wire), stream=False
        ) as upstream:
            yield upstream

    def json(
        self, method: str, path: str, body: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Send a request to a path and return the JSON of the answer."""
        with self.open(method, path, body, query) as upstream:
            return parse_upstream(upstream.read())

    def _resolve_path(self, request: FileRequest) -> Wire:
        if request.url is None:
            return self.wire if request.path is None else replace(self.wire, path=request.path)
        base, url = urlsplit(self._attempt.target.provider.base_url), urlsplit(request.url)
        if (url.scheme, url.netloc) != (base.scheme, base.netloc):
            raise GatewayError("upstream_invalid", "The provider sent an upload URL at another host.")
        origin = f"{url.scheme}://{url.netloc}"
        return replace(self.wire, base=origin, path=url.path, query=dict(parse_qsl(url.query)))

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the provider's error body."""
        return self._row.decode_error(status, body, headers)
