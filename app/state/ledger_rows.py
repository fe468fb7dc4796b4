"""A row of the ledger: one attempt and its cost, or the correction of another row.

The id of a row follows from what it records, so that writing it twice leaves one row.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from app.config import NANO
from app.wire.json import dumps, loads_lenient

if TYPE_CHECKING:
    from app.state.tables import AnyRow

State = Literal["settled", "estimated", "lost", "cached"]

FREE: Final = frozenset({"count_tokens"})
"""Operations that no provider charges for."""

COUNTS: Final = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


class Entry(NamedTuple):
    """One row: the columns of the table, in its order.

    ``period_at`` is when the attempt began, ``created_at`` when it ended, both in Unix seconds; ``asked`` is the model as
    the client wrote it. ``key`` is the name that the key had then; ``key_id`` is None for keys of the file. ``cost`` is in
    nano-dollars, None where the price is unknown; its details are JSON. Tokens are None where the usage is unknown."""

    id: str
    created_at: float
    period_at: float
    attempt_id: str
    call_id: str
    tenant: str
    key: str
    asked: str
    provider: str | None
    model: str | None
    provider_key: str | None
    request_type: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: int | None
    cost_details: bytes | None
    state: State
    corrects: str | None = None
    reason: str | None = None
    key_id: str | None = None

    @property
    def owner(self) -> str:
        """Return how budgets identify the key."""
        return f"{self.tenant}/{self.key_id or self.key}"

    def at(self, now: float) -> Entry:
        """Return the entry as it is written ``now``."""
        return self._replace(created_at=max(now, self.period_at))

    def as_json(self) -> bytes:
        """Return the entry as JSON."""
        details = None if self.cost_details is None else loads_lenient(self.cost_details)
        return dumps({**self._asdict(), "cost_details": details}, parsed=True)  # no cost is a NaN


def from_json(body: bytes) -> Entry:
    """Return the entry that ``as_json`` wrote, without members that only a later version knows; raises ValueError or
    TypeError for anything else."""
    members = {**loads_lenient(bytes(body))}
    details, counts = members.get("cost_details"), members.get("usage") or dict.fromkeys(COUNTS)
    older = {**counts, "created_at": members.get("period_at")}  # one that a former version wrote
    members = older | members | {"cost_details": None if details is None else dumps(details, parsed=True)}
    return Entry(**{name: members[name] for name in members if name in Entry._fields})


def row_id(attempt_id: str) -> str:
    """Return the id of an attempt's row."""
    return f"led_{attempt_id.removeprefix('att_')}"  # in the order of time, as attempts' ids are


def correction_id(row_id: str) -> str:
    """Return the id of the only row that may correct the row ``row_id``."""
    return _id(f"correction:{row_id}")


def joined_id(label: str) -> str:
    """Return the id of a row that replaces many."""
    return _id(f"joined:{label}")


def _id(text: str) -> str:
    return f"led_{hashlib.sha256(text.encode()).hexdigest()[:48]}"


def show(row: AnyRow) -> dict[str, Any]:
    """Return a row as an administrator sees it."""
    entry = Entry._make(row)
    details = entry.cost_details
    return {
        "id": entry.id,
        "object": "ledger.entry",
        "attempt_id": entry.attempt_id,
        "call_id": entry.call_id,
        "created_at": int(entry.created_at),
        "tenant": entry.tenant,
        "key": entry.key,
        "key_id": entry.key_id,
        "provider": entry.provider,
        "model": entry.model,
        "provider_key": entry.provider_key,
        "request_type": entry.request_type,
        "usage": {name: getattr(entry, name) or 0 for name in COUNTS},
        "cost": None if entry.cost is None else entry.cost / NANO,
        "cost_details": None if details is None else loads_lenient(bytes(details)),
        "state": entry.state,
        "corrects": entry.corrects,
        "reason": entry.reason,
    }
