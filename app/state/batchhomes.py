"""Batches that a provider runs: where each is, and when it is looked at again.

Such a batch is a row of the one queue (`app.state.batch_queue`) all the same: a claim looks at it once, and parks it
until the next look. What is about to be made at the provider is written down before it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, case, select, update

from app.state.records import JSON, Fence
from app.state.signals import Signals
from app.state.tables import BATCH_RUNNING, AnyRow, batch, db_now
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

PARKED: Final = "parked"
"""The holder of a batch that nobody looks at now; its lease ends when it is time to."""

_SOON: Final = 1.0


@dataclass(frozen=True, slots=True)
class Home:
    """Where a batch runs that does not run here. ``input`` is the provider's id of the lines, None until they are
    there; ``begun``: a batch was asked for, and may be there although nobody knows its ``id``."""

    provider: str
    realm: str
    model: str
    input: str | None = None
    begun: bool = False
    id: str | None = None


class BatchHomes:
    """The homes of all batches."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._db = signals.db

    def move(self, batch_id: str, fence: Fence, home: Home | None) -> bool:
        """Write down where a batch runs, None for here, for good; return false where it is not this fence's any
        more."""
        members: dict[str, Any] = {"home": None if home is None else asdict(home), "here": home is None}
        columns = {
            "provider": None if home is None else home.provider,
            "realm": None if home is None else home.realm,
            "upstream_id": None if home is None else home.id,
        }
        return self._change(batch_id, fence, members, columns)

    def park(
        self, batch_id: str, fence: Fence, seconds: float, told: Mapping[str, int] | None = None
    ) -> bool:
        """Leave a batch alone for some seconds; ``told`` are its provider's counts of requests."""
        members = {} if told is None else {"told": dict(told)}
        columns = {"lease_owner": PARKED, "lease_until": db_now() + seconds}
        return self._change(batch_id, fence, members, columns)

    def wish(self, batch_id: str) -> None:
        """Have a parked batch looked at soon, since somebody asks for it."""
        parked = (batch.c.id == batch_id, batch.c.lease_owner == PARKED)
        late = batch.c.lease_until > db_now() + _SOON
        if self._db.read(
            lambda connection: connection.execute(select(batch.c.id).where(*parked, late)).first()
        ):
            soon = update(batch).where(*parked, late).values(lease_until=db_now() + _SOON)
            self._signals.write(lambda connection: connection.execute(soon), [QUEUE])

    def _change(
        self, batch_id: str, fence: Fence, members: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> bool:
        held = (
            batch.c.id == batch_id,
            BATCH_RUNNING,
            batch.c.lease_owner == fence.owner,
            batch.c.attempt == fence.attempt,
        )

        def run(connection: Connection) -> bool:
            row = connection.execute(select(batch).where(*held).with_for_update()).first()
            if row is None:
                return False
            body = dumps({**loads_lenient(bytes(row.body)), **members})
            connection.execute(update(batch).where(batch.c.id == batch_id).values(body=body, **columns))
            return True

        return self._db.write(run)


def home_of(members: JSON) -> Home | None:
    """Return the home that a batch's members tell of, None for one that runs here."""
    told = members.get("home")
    return None if told is None else Home(**told)


def at_once() -> Any:
    """Return the end of a lease that lets a parked batch be looked at now."""
    return case((batch.c.lease_owner == PARKED, db_now()), else_=batch.c.lease_until)


def is_elsewhere(row: AnyRow) -> bool:
    """Tell whether a batch runs at a provider."""
    return row.provider is not None


ELSEWHERE: Final = and_(BATCH_RUNNING, batch.c.provider.is_not(None))
"""The batches that run at a provider now."""
