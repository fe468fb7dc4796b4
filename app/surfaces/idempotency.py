"""Idempotency-Key: a request claims its key before it is served, and its answer is stored before it is sent.

``body`` claims the key once the body is read and checked, so an invalid body claims nothing. The answer is stored whole, or
recorded chunk by chunk, before its last byte is sent (decision 44).

Tests: tests/governance/test_idempotency.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import gevent
from flask import Response, g, request

from app.errors import GatewayError
from app.gateway.call import Principal
from app.gateway.core import Gateway
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.state.records import LARGEST, FirstAnswer
from app.surfaces.context import request_context
from app.surfaces.rules import current_mount
from app.wire.json import with_whole_numbers
from app.wire.offload import aside

_LOG: Final = logging.getLogger(__name__)
HEADER: Final = "idempotency-key"
REPLAY_HEADER: Final = "idempotent-replayed"
_HEADER: Final = "HTTP_IDEMPOTENCY_KEY"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_REPEATABLE: Final = frozenset({400, 404, 413, 422})
"""Refusals that the same request would get again."""
_OF_ONE_REQUEST: Final = ("content-length", "server-timing", "vary", "connection", "transfer-encoding")
_OF_ONE_MOMENT: Final = ("x-ratelimit-", "anthropic-ratelimit-", "access-control-")
_ASKED: Final = ":asked"
"""Beside the headers of an answer: the model strings that led to it, in lines."""

Write = Callable[[Batch | Repetition], bytes]


class Replay(Exception):
    """Raised to answer a request with the stored answer to an earlier one."""

    def __init__(self, answer: FirstAnswer) -> None:
        super().__init__("answered before")
        self.answer = answer


class Claim:
    """The claim of one request on its key. ``outlasts``: if the client leaves, its answer is completed anyway."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._gateway = gateway
        self._name = name
        self._chunks: list[bytes] = []
        self._size = 0
        self._open = True
        self.outlasts = False
        self.response_id: str | None = None
        self.head: tuple[int, dict[str, str]] = (200, {})

    def record(self, chunk: bytes) -> None:
        """Record a chunk of a streamed answer, unless the answer has become too large to store."""
        self._size += len(chunk)
        if self._size <= LARGEST:
            self._chunks.append(chunk)

    def store(self, body: bytes | None = None) -> None:
        """Store the answer: ``body``, or the recorded chunks. Only the first call counts; raise ``store_unavailable``."""
        if not self._open:
            return
        self._open = False
        if body is None and self._size <= LARGEST:
            body = b"".join(self._chunks)
        answer = None if body is None else FirstAnswer(*self.head, body, self.response_id)
        self._gateway.state().first_answers.keep(self._name, answer)

    def release(self) -> None:
        """Let the next request claim the key, unless the answer is stored. If that cannot be written down now, the lease ends
        by itself, and the answer is not withheld for it."""
        if not self._open:
            return
        self._open = False
        try:
            self._gateway.state().first_answers.release(self._name)
        except GatewayError as error:
            _LOG.warning(
                "an Idempotency-Key is not free before its lease ends: %s", error.raw or error.message
            )


def claim_json(gateway: Gateway, body: Any, size: int) -> None:
    """Claim the key for a JSON body of ``size`` bytes; the order of its members does not matter, and 1.0 is 1."""
    if _HEADER in request_context().request.environ:
        _claim(gateway, aside(size, partial(_digest_of_json, body)))


def claim_form(gateway: Gateway, fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, Any]]) -> None:
    """Claim the key for the fields and files of a form; the files are read and rewound."""
    if _HEADER in request.environ:
        digests = [(name, _digest_of_file(file.stream)) for name, file in files]
        _claim(gateway, _digest_of_json([list(fields), digests]))


def outlast() -> bool:
    """Complete the current request's answer even if the client leaves; return False without a claim."""
    claim: Claim | None = g.get("claim")
    if claim is not None:
        claim.outlasts = True
    return claim is not None


def point_to(response_id: str) -> None:
    """Make the events of a background response the stored answer of the current request."""
    if "claim" in g:
        g.claim.response_id = response_id


def record(run: Run, write: Write) -> Write:
    """Return ``write``, or a function that also records its bytes, if the current request has a claim.

    The answer is stored with its last frames, before they are sent, unless the run ended in an error."""
    claim: Claim | None = g.get("claim")
    if claim is None:
        return write

    def write_and_record(batch: Batch | Repetition) -> bytes:
        chunk = write(batch)
        claim.record(chunk)
        if batch.last and run.outcome.error is None:
            claim.store()
        return chunk

    return write_and_record


def settle(response: Response) -> Response:
    """Store the answer of the current request, or release its claim; called when all headers are set."""
    claim: Claim | None = g.pop("claim", None)
    if claim is None:
        return response
    claim.head = (response.status_code, _stored_headers(response))
    if claim.response_id is not None:
        claim.store(b"")
    elif response.status_code == 200 and response.is_streamed:
        response.response = _Stream(claim, response.response)  # type: ignore[arg-type]
    elif _is_final(response.status_code):
        claim.store(response.get_data())
    else:
        claim.release()
    return response


def replay(answer: FirstAnswer) -> Response:
    """Return a stored answer as a response."""
    return Response(answer.body, answer.status, {**answer.headers, REPLAY_HEADER: "true"})


def _claim(gateway: Gateway, digest: str) -> None:
    key = request.headers[HEADER]
    if not _KEY.fullmatch(key):
        raise GatewayError(
            "bad_request",
            "Invalid value for the header 'Idempotency-Key': 1 to 255 visible ASCII characters.",
            code="invalid_value",
        )
    owner = g.principal
    name = _digest_of_json([owner.tenant, owner.id or owner.key, request.path, key])
    query = sorted((name, value) for name, value in request.args.items(multi=True) if name != "key")
    answer = gateway.state().first_answers.claim(name, owner.tenant, _digest_of_json([digest, query]))
    if answer is not None:
        _check_model(owner, answer)
        raise Replay(answer)
    g.claim = Claim(gateway, name)


def _check_model(owner: Principal, answer: FirstAnswer) -> None:
    """Raise ``forbidden`` where the caller may not use the model that gave the answer any more."""
    names = answer.headers.pop(_ASKED, "").split("\n")
    provider, model = (answer.headers.get(f"x-sluice-{part}") for part in ("provider", "model"))
    label = f"{provider}/{model}"
    if provider is not None and not any(owner.allows(label, name) for name in names):
        raise GatewayError("forbidden", f"This key may not use the model '{label}'.", param="model")


def _is_final(status: int) -> bool:
    """Tell whether the same request would get the same answer: a success, or a refusal of an admitted call."""
    call = g.get("call")
    is_admitted = call is not None and call.progress.admitted
    return 200 <= status < 300 or (is_admitted and status in _REPEATABLE)


def _stored_headers(response: Response) -> dict[str, str]:
    """Return the headers of the answer, without those that depend on this request or on the time.

    Where errors say the request's id in their body, the header that must equal it stays."""
    call, mount = g.get("call"), current_mount()
    own = {} if call is None else {_ASKED: "\n".join(call.candidates)}
    same = mount.request_id if mount is not None and mount.error_id is not None else None
    return own | {
        name.lower(): value
        for name, value in response.headers.items()
        if (value != g.request_id or name == same)
        and name.lower() not in _OF_ONE_REQUEST
        and not name.lower().startswith(_OF_ONE_MOMENT)
    }


class _Stream:
    """The chunks of a streamed answer. If the client leaves and the claim outlasts it, the rest is read anyway."""

    def __init__(self, claim: Claim, source: Iterable[bytes]) -> None:
        self._claim = claim
        self._source = source
        self._chunks = iter(source)
        self._is_ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except BaseException:  # the end as well
            self._end()
            raise

    def close(self) -> None:
        """End the answer, or read its rest in a greenlet."""
        if self._is_ended:
            return
        if self._claim.outlasts:
            self._is_ended = True
            gevent.spawn(self._read_rest)
        else:
            self._end()

    def _read_rest(self) -> None:
        try:
            for _ in self._chunks:
                continue
        finally:
            self._is_ended = False
            self._end()

    def _end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            getattr(self._source, "close", lambda: None)()
            self._claim.release()


def _digest_of_json(value: Any) -> str:
    text = json.dumps(with_whole_numbers(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_file(stream: Any) -> str:
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    stream.seek(0)
    return digest
