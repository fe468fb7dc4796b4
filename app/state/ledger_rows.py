"""A row of the ledger: one attempt and its cost, or the correction of another row.

The id of a row follows from what it records, so that writing it twice leaves one row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from app.config import NANO
from app.wire.json import dumps, loads_lenient

if TYPE_CHECKING:
    from app.state.tables import AnyRow

State = Literal["settled", "estimated", "lost", "cached"]

FREE: Final = frozenset({"count_tokens"})
"""Operations that no provider charges for."""

COUNTS: Final = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_UNCOUNTED: Final[Mapping[str, int | None]] = dict.fromkeys(COUNTS)


class Entry(NamedTuple):
    """One row. ``cost`` is in nano-dollars, None where the price is unknown; ``usage`` has the members of ``COUNTS``, None
    where it is unknown. ``period_at`` is when the attempt began, in Unix seconds; ``asked`` is the model as the client
    wrote it. ``key`` is the name that the key had then; ``key_id`` is None for keys of the file."""

    id: str
    attempt_id: str
    call_id: str
    period_at: float
    tenant: str
    key: str
    asked: str
    provider: str | None
    model: str | None
    provider_key: str | None
    request_type: str
    state: State
    cost: int | None = None
    usage: Mapping[str, int] | None = None
    cost_details: Mapping[str, Any] | None = None
    corrects: str | None = None
    reason: str | None = None
    key_id: str | None = None

    @property
    def owner(self) -> str:
        """Return what budgets know the key by."""
        return f"{self.tenant}/{self.key_id or self.key}"

    def as_json(self) -> bytes:
        """Return the entry as JSON."""
        return dumps(self._asdict(), parsed=True)  # no cost is a NaN


def from_json(body: bytes) -> Entry:
    """Return the entry that ``as_json`` wrote, without members that only a later version knows; raises ValueError or
    TypeError for anything else."""
    members = loads_lenient(bytes(body))
    return Entry(**{name: members[name] for name in members if name in Entry._fields})


def row_id(attempt_id: str) -> str:
    """Return the id of an attempt's row."""
    return f"led_{attempt_id.removeprefix('att_')}"  # in the order of time, as attempts' ids are


def correction_id(corrected: str) -> str:
    """Return the id of the only row that may correct the row ``corrected``."""
    return _id(f"correction:{corrected}")


def joined_id(label: str) -> str:
    """Return the id of a row that replaces many."""
    return _id(f"joined:{label}")


def _id(text: str) -> str:
    return f"led_{hashlib.sha256(text.encode()).hexdigest()[:48]}"


NAMES: Final = (
    *(
        "id",
        "created_at",
        "period_at",
        "attempt_id",
        "call_id",
        "tenant",
        "key",
        "asked",
        "provider",
        "model",
    ),
    *(
        "provider_key",
        "request_type",
        *COUNTS,
        "cost",
        "cost_details",
        "state",
        "corrects",
        "reason",
        "key_id",
    ),
)
"""The columns of the table, in its order."""


def values_of(entry: Entry, now: float) -> tuple[Any, ...]:
    """Return the values of ``NAMES`` of an entry that is written ``now``."""
    (
        label,
        attempt_id,
        call_id,
        began,
        *who_and_where,
        state,
        cost,
        usage,
        details,
        corrects,
        reason,
        key_id,
    ) = entry
    count = (usage or _UNCOUNTED).get
    return (
        *(label, max(now, began), began, attempt_id, call_id, *who_and_where),
        *(count("input_tokens", 0), count("output_tokens", 0)),
        *(count("cached_tokens", 0), count("reasoning_tokens", 0)),
        *(cost, None if details is None else dumps(details, parsed=True), state, corrects, reason, key_id),
    )


def columns_of(entry: Entry, now: float) -> dict[str, Any]:
    """Return the values of an entry that is written ``now``, by the names of their columns."""
    return dict(zip(NAMES, values_of(entry, now), strict=True))


def entry_of(row: AnyRow) -> Entry:
    """Return the entry of a row as it was read."""
    usage = None if row.input_tokens is None else {name: getattr(row, name) or 0 for name in COUNTS}
    details = None if row.cost_details is None else loads_lenient(bytes(row.cost_details))
    names = ("id", "attempt_id", "call_id", "period_at", "tenant", "key", "asked", "provider", "model")
    more = ("provider_key", "request_type", "state", "cost", "corrects", "reason", "key_id")
    members = {name: getattr(row, name) for name in (*names, *more)}
    return Entry(**members, usage=usage, cost_details=details)


def show(row: AnyRow) -> dict[str, Any]:
    """Return a row as an administrator sees it."""
    entry = entry_of(row)
    return {
        "id": entry.id,
        "object": "ledger.entry",
        "attempt_id": entry.attempt_id,
        "call_id": entry.call_id,
        "created_at": int(row.created_at),
        "tenant": entry.tenant,
        "key": entry.key,
        "key_id": entry.key_id,
        "provider": entry.provider,
        "model": entry.model,
        "provider_key": entry.provider_key,
        "request_type": entry.request_type,
        "usage": entry.usage or dict.fromkeys(COUNTS, 0),
        "cost": None if entry.cost is None else entry.cost / NANO,
        "cost_details": entry.cost_details,
        "state": entry.state,
        "corrects": entry.corrects,
        "reason": entry.reason,
    }
