"""Idempotency-Key: the claim of a request before it is served, and its answer, kept before it goes out.

A body is claimed where it was read and checked (``body``), so a malformed one claims nothing. What answers it is
kept whole, or recorded piece by piece, before its last byte is sent (decision 44, contract/governance.md 8).

Tests: tests/governance/test_idempotency.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import gevent
from flask import Response, g, request

from app.errors import GatewayError
from app.gateway.core import Gateway
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.state.records import LARGEST, FirstAnswer
from app.surfaces.context import request_context
from app.wire.offload import aside

HEADER: Final = "idempotency-key"
REPLAYED: Final = "idempotent-replayed"
_HEADER: Final = "HTTP_IDEMPOTENCY_KEY"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_REPEATABLE: Final = frozenset({400, 404, 413, 422})
"""Refusals that the same request would meet again."""
_OF_ONE_REQUEST: Final = ("content-length", "server-timing", "vary", "connection", "transfer-encoding")
_OF_ONE_MOMENT: Final = ("x-ratelimit-", "anthropic-ratelimit-", "access-control-")

Write = Callable[[Batch | Repetition], bytes]


class Replay(Exception):
    """Ends the serving of a request that was answered before."""

    def __init__(self, answer: FirstAnswer) -> None:
        super().__init__("answered before")
        self.answer = answer


class Claim:
    """The claim of one request on its key. ``outlasts``: its answer is made to the end when the client leaves."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._gateway = gateway
        self._name = name
        self._pieces: list[bytes] = []
        self._size = 0
        self._open = True
        self.outlasts = False
        self.response_id: str | None = None
        self.head: tuple[int, dict[str, str]] = (200, {})

    def record(self, piece: bytes) -> None:
        """Take a piece of a streamed answer; what is larger than can be kept is only counted."""
        self._size += len(piece)
        if self._size <= LARGEST:
            self._pieces.append(piece)

    def keep(self, body: bytes | None = None) -> None:
        """Keep the answer: ``body``, or what was recorded. Raises ``store_unavailable``; later calls change nothing."""
        if not self._open:
            return
        self._open = False
        status, headers = self.head
        whole = body if body is not None else b"".join(self._pieces) if self._size <= LARGEST else None
        answer = None if whole is None else FirstAnswer(status, headers, whole, self.response_id)
        self._gateway.state().first_answers.keep(self._name, answer)

    def release(self) -> None:
        """Let the next request have the key; later calls change nothing."""
        if self._open:
            self._open = False
            self._gateway.state().first_answers.release(self._name)


def claim_json(gateway: Gateway, body: Any, size: int) -> None:
    """Claim the request for a JSON body of ``size`` bytes, whose members may come in any order."""
    if _HEADER in request_context().request.environ:
        _claim(gateway, aside(size, partial(_digest_of_json, body)))


def claim_form(gateway: Gateway, fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, Any]]) -> None:
    """Claim the request for the fields and files of a form; the files are read, and set back to their start."""
    if _HEADER in request.environ:
        digests = [(name, _digest_of_file(file.stream)) for name, file in files]
        _claim(gateway, _digest_of_json([list(fields), digests]))


def outlast() -> bool:
    """Have the answer of the current request made to its end when the client leaves; False without a claim."""
    claim: Claim | None = g.get("claim")
    if claim is not None:
        claim.outlasts = True
    return claim is not None


def point_to(response_id: str) -> None:
    """Have the events of a background response for the answer of the current request."""
    if "claim" in g:
        g.claim.response_id = response_id


def record(run: Run, write: Write) -> Write:
    """Return ``write`` with what it makes recorded for the claim of the current request, if there is one.

    The answer is kept with its last frames, before they go out, unless the run ended in an error."""
    claim: Claim | None = g.get("claim")
    if claim is None:
        return write

    def write_and_record(batch: Batch | Repetition) -> bytes:
        piece = write(batch)
        claim.record(piece)
        if batch.last and run.outcome.error is None:
            claim.keep()
        return piece

    return write_and_record


def settle(response: Response) -> Response:
    """Keep or release what the current request claimed, now that its answer is known; after all headers."""
    claim: Claim | None = g.pop("claim", None)
    if claim is None:
        return response
    claim.head = (response.status_code, _stored_headers(response))
    if claim.response_id is not None:
        claim.keep(b"")
    elif response.status_code == 200 and response.is_streamed:
        response.response = _Stream(claim, response.response)  # type: ignore[arg-type]
    elif _is_kept(response.status_code):
        claim.keep(response.get_data())
    else:
        claim.release()
    return response


def replay(answer: FirstAnswer) -> Response:
    """Return an answer once more."""
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})


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
        raise Replay(answer)
    g.claim = Claim(gateway, name)


def _is_kept(status: int) -> bool:
    """Tell whether an answer is the first of all: a success, or a refusal of a call that was admitted."""
    call = g.get("call")
    admitted = call is not None and call.progress.admitted
    return 200 <= status < 300 or (admitted and status in _REPEATABLE)


def _stored_headers(response: Response) -> dict[str, str]:
    """Return the headers that belong to the answer, without those of this request and this moment."""
    request_id = g.request_id
    return {
        name.lower(): value
        for name, value in response.headers.items()
        if value != request_id
        and name.lower() not in _OF_ONE_REQUEST
        and not name.lower().startswith(_OF_ONE_MOMENT)
    }


class _Stream:
    """The pieces of a streamed answer. When its client leaves, they are read on for a claim that outlasts it."""

    def __init__(self, claim: Claim, pieces: Iterable[bytes]) -> None:
        self._claim = claim
        self._source = pieces
        self._pieces = iter(pieces)
        self._is_ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:  # its end, too
            self._end()
            raise

    def close(self) -> None:
        """Let go of the client."""
        if self._is_ended:
            return
        if self._claim.outlasts:
            self._is_ended = True
            gevent.spawn(self._read_on)
        else:
            self._end()

    def _read_on(self) -> None:
        try:
            for _ in self._pieces:
                continue
        finally:
            self._is_ended = False
            self._end()

    def _end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
            self._claim.release()


def _digest_of_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_file(stream: Any) -> str:
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    stream.seek(0)
    return digest
