"""The lines of a batch as a provider takes them: rewritten where every one of them may run there, else left alone.

A batch goes to a provider only where that changes nothing but its price and its pace: one model of one
provider, nothing that the gateway does for a line, and no limit or budget that a line would be held by.
Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final, Protocol

from app.config import Settings
from app.dialects.uploads.batches import MOST_LINES
from app.errors import GatewayError
from app.gateway.batch_lines import Line, read_request
from app.gateway.budgets import charges as budget_charges
from app.gateway.call import Call, Principal, Target
from app.gateway.limits import charges as limit_charges
from app.gateway.operations import encode
from app.gateway.plan import plan_route
from app.gateway.provider_batches import options_of, wire_of
from app.gateway.router import Router
from app.wire.json import dumps, loads_lenient

LARGEST: Final = 200 * 1024 * 1024
"""Bytes that a provider takes at most."""
_LONGEST_ID: Final = 64  # characters
_CHUNK_BYTES: Final = 1024 * 1024
_FILES_OF_OURS: Final = re.compile(rb"file-[0-9a-f]{48}")
_NOT_OF_A_LINE: Final = frozenset({"store_unavailable", "server_lost"})
_SERVED_BY: Final = {"chat": "chat", "completion": "completions", "embedding": "embeddings_openai"}
"""The wires that answer as the endpoints of lines do, by operation."""


class Services(Protocol):
    """What the choice needs of the gateway."""

    settings: Settings
    router: Router

    def cache_of(self, call: Call) -> str: ...


class NativeFile:
    """The rewritten lines: bytes of known number, in a file that lies nowhere once it is closed."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever wrote it
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append some bytes."""
        self._file.write(data)
        self._size += len(data)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while data := self._file.read(_CHUNK_BYTES):
            yield data

    def close(self) -> None:
        """Let go of the bytes."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Native:
    """A batch that a provider may run: the account, and what it is sent."""

    target: Target
    content: NativeFile


def write_native(
    services: Services,
    principal: Principal,
    endpoint: str,
    lines: Iterable[Line],
    make: Callable[[Line], Call],
    longest: int,
) -> Native | None:
    """Return what a provider would be sent, None where some line must run here.

    ``make`` returns the call of a line, and raises the error of one that cannot run."""
    content = NativeFile()
    try:
        target = _write(_Chooser(services, principal, endpoint), content, lines, make, longest)
    except GatewayError as error:
        if error.kind.name in _NOT_OF_A_LINE:
            content.close()
            raise
        target = None  # the line tells its error where it is run
    if target is not None:
        return Native(target, content)
    content.close()
    return None


def _write(
    chooser: _Chooser, content: NativeFile, lines: Iterable[Line], make: Callable[[Line], Call], longest: int
) -> Target | None:
    """Write all lines as a provider takes them; return the account, None where some line must run here."""
    seen: set[str] = set()
    for line in lines:
        asked = read_request(line, chooser.endpoint, longest)
        name = asked.custom_id
        if asked.fault is not None or name is None or name in seen or len(name) > _LONGEST_ID:
            return None
        seen.add(name)
        body = chooser.body(make(line), line.data or b"")
        if body is None or len(seen) > MOST_LINES:
            return None
        row = {"custom_id": name, "method": "POST", "url": chooser.spoken, "body": body}
        content.write(dumps(row) + b"\n")
        if len(content) > LARGEST:
            return None
    return chooser.target


class _Chooser:
    """The account that the lines so far may go to."""

    def __init__(self, services: Services, principal: Principal, endpoint: str) -> None:
        self._services, self._principal, self.endpoint = services, principal, endpoint
        self._free: set[tuple[str, tuple[str, ...]]] = set()
        self.target: Target | None = None
        self.spoken = ""

    def body(self, call: Call, data: bytes) -> object | None:
        """Return what the provider is sent for a line, None for one that must run here."""
        if len(call.candidates) != 1 or call.left_out or _FILES_OF_OURS.search(data):
            return None
        target = self._target_of(call)
        if target is None or self._services.cache_of(call) != "off":
            return None
        (planned,) = plan_route(call, [target]).targets
        way = planned.way()
        if way.serves != call.operation or way.wire.dialect != _SERVED_BY.get(call.operation):
            return None
        exchange, sent = encode(call, planned)
        if exchange.losses.items or sent.headers or not isinstance(sent.body, bytes):
            return None
        return {**loads_lenient(sent.body), "model": target.model}

    def _target_of(self, call: Call) -> Target | None:
        """Return the account for a call: that of the lines before it, None where it is not for one alone."""
        targets = list(self._services.router.targets(call))
        found = [one for one in targets if isinstance(one, Target)]
        if not found or len(found) != len(targets):
            return None
        if len({one.label for one in found}) > 1 or any(one.members is not None for one in found):
            return None
        if self.target is None:
            self.target = self._chosen(found)
        if self.target is None or found[0].label != self.target.label:
            return None
        return self.target if self._is_free(call, self.target) else None

    def _chosen(self, found: list[Target]) -> Target | None:
        """Return one of a provider's accounts, drawn by weight, where it runs batches of this endpoint."""
        weights = [1.0 if one.key is None else one.key.weight for one in found]
        target = random.choices(found, weights)[0]
        wire = wire_of(target)
        if target.provider.name not in self._services.settings.native_batches or wire is None:
            return None
        self.spoken = options_of(wire).endpoints.get(self.endpoint, "")
        return target if self.spoken else None

    def _is_free(self, call: Call, target: Target) -> bool:
        """Tell whether no limit and no budget is about a call at its target."""
        place = (target.label, call.candidates)
        if place in self._free:
            return True
        settings, labels = self._services.settings, (target.label,)
        limits = limit_charges.touches_of_caller(self._principal, settings.limits)
        if any(limit_charges.fits(touch.limit, labels, call.candidates) for touch in limits):
            return False
        if limit_charges.touches_of_target(target):
            return False
        if budget_charges.touches_of_target(self._principal, settings.budgets, target.label, call.candidates):
            return False
        if len(self._free) < MOST_LINES:
            self._free.add(place)
        return True
