"""Rewrite the lines of a batch for a provider, where every one of them may run there.

A batch goes to a provider only where that changes nothing but its price and its speed: all lines are for one
model of one provider, the gateway does nothing else for them, and no limit or budget applies to them.
Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Final

from app.dialects.uploads.batches import MOST_LINES
from app.errors import GatewayError
from app.gateway.batch_lines import Line, read_request
from app.gateway.budgets import charges as budget_charges
from app.gateway.call import Call, Principal, Target
from app.gateway.limits import charges as limit_charges
from app.gateway.operations import encode
from app.gateway.plan import plan_route
from app.gateway.provider_batches import options_of, wire_of
from app.wire.json import dumps, loads_lenient

if TYPE_CHECKING:
    from app.gateway.core import Gateway


MAX_BYTES: Final = 200 * 1024 * 1024
"""Bytes that a provider takes at most."""
_MAX_ID: Final = 64  # characters
_CHUNK_BYTES: Final = 1024 * 1024
_OUR_FILE_IDS: Final = re.compile(rb"file-[0-9a-f]{48}")
_OUTAGES: Final = frozenset({"store_unavailable", "server_lost"})
_DIALECTS: Final = {"chat": "chat", "completion": "completions", "embedding": "embeddings_openai"}
"""The dialects whose answers have the form of the endpoints of lines, by operation."""


class NativeFile:
    """The rewritten lines, in a temporary file that is gone once it is closed."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._size += len(data)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while data := self._file.read(_CHUNK_BYTES):
            yield data

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


def write_native(
    content: NativeFile,
    gateway: Gateway,
    principal: Principal,
    endpoint: str,
    lines: Iterable[Line],
    make: Callable[[Line], Call],
    max_bytes: int,
) -> Target | None:
    """Write all lines for a provider; return the account, None where some line must run here.

    ``make`` returns the call of a line, and raises the error of a line that cannot run. Raises the error of
    a store that is away, or of a batch that another process runs."""
    try:
        return _write(_AccountChooser(gateway, principal, endpoint), content, lines, make, max_bytes)
    except GatewayError as error:
        if error.kind.name in _OUTAGES:
            raise
        return None  # the line gets its error where it is run


def _write(
    chooser: _AccountChooser,
    content: NativeFile,
    lines: Iterable[Line],
    make: Callable[[Line], Call],
    max_bytes: int,
) -> Target | None:
    seen: set[str] = set()
    for line in lines:
        request = read_request(line, chooser.endpoint, max_bytes)
        name = request.custom_id
        if request.fault is not None or name is None or name in seen or len(name) > _MAX_ID:
            return None
        seen.add(name)
        body = chooser.body(make(line), line.data or b"")
        if body is None or len(seen) > MOST_LINES:
            return None
        row = {"custom_id": name, "method": "POST", "url": chooser.url, "body": body}
        content.write(dumps(row) + b"\n")
        if len(content) > MAX_BYTES:
            return None
    return chooser.target


class _AccountChooser:
    """Finds the account that all lines so far may go to."""

    def __init__(self, gateway: Gateway, principal: Principal, endpoint: str) -> None:
        self._gateway, self._principal, self.endpoint = gateway, principal, endpoint
        self._unlimited: set[tuple[str, tuple[str, ...]]] = set()
        self.target: Target | None = None
        self.url = ""

    def body(self, call: Call, data: bytes) -> object | None:
        """Return the body of a line for the provider, None for a line that must run here."""
        if len(call.candidates) != 1 or call.left_out or _OUR_FILE_IDS.search(data):
            return None
        target = self._target_of(call)
        if target is None or self._gateway.cache_of(call) != "off":
            return None
        (planned,) = plan_route(call, [target]).targets
        plan = planned.way()
        if plan.serves != call.operation or plan.wire.dialect != _DIALECTS.get(call.operation):
            return None
        exchange, sent = encode(call, planned)
        if exchange.losses.items or sent.headers or not isinstance(sent.body, bytes):
            return None
        return {**loads_lenient(sent.body), "model": target.model}

    def _target_of(self, call: Call) -> Target | None:
        """Return the account for a call, None where that is not the one of the lines before it."""
        steps = self._gateway.router.targets(call)
        targets = [step for step in steps if isinstance(step, Target) and step.members is None]
        if len(targets) != len(steps) or len({target.label for target in targets}) != 1:
            return None
        if self.target is None:
            self.target = self._draw(targets)
        if self.target is None or targets[0].label != self.target.label:
            return None
        return self.target if self._is_unlimited(call, self.target) else None

    def _draw(self, targets: list[Target]) -> Target | None:
        """Return one of a provider's accounts, drawn by weight, where it runs batches of this endpoint."""
        weights = [1.0 if target.key is None else target.key.weight for target in targets]
        target = random.choices(targets, weights)[0]
        wire = wire_of(target)
        if target.provider.name not in self._gateway.settings.native_batches or wire is None:
            return None
        self.url = options_of(wire).endpoints.get(self.endpoint, "")
        return target if self.url else None

    def _is_unlimited(self, call: Call, target: Target) -> bool:
        """Tell whether no limit and no budget applies to a call at its target."""
        place = (target.label, call.candidates)
        if place in self._unlimited:
            return True
        settings, labels = self._gateway.settings, (target.label,)
        limits = limit_charges.touches_of_caller(self._principal, settings.limits)
        if any(limit_charges.fits(touch.limit, labels, call.candidates) for touch in limits):
            return False
        if limit_charges.touches_of_target(target):
            return False
        if budget_charges.touches_of_target(self._principal, settings.budgets, target.label, call.candidates):
            return False
        if len(self._unlimited) < MOST_LINES:
            self._unlimited.add(place)
        return True
