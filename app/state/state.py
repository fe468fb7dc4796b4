"""The store, opened: everything the gateway keeps, behind one object.

state = open_state("sqlite:///sluice.db", environ)
state.start()                      # in each serving process
state.run_background(execute)      # where background work is to be done
...
state.stop(grace=20.0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent

from app.state import retention
from app.state.admin_queries import AdminQueries
from app.state.admins import Admins
from app.state.alerts import Alerts
from app.state.attempts import Attempts
from app.state.audit import Audit
from app.state.background import Queue, Work
from app.state.batch_queue import BatchQueue, BatchWork
from app.state.batches import Batches
from app.state.batchhomes import BatchHomes
from app.state.budgets import Budgets
from app.state.cache import SharedAnswers
from app.state.call_log import CallLog
from app.state.cipher import Cipher
from app.state.conversations import Conversations
from app.state.crypto import Sealer, load_keys
from app.state.database import Access, Database
from app.state.event_log import EventLog
from app.state.files import Files
from app.state.history import History
from app.state.idempotency import FirstAnswers
from app.state.joiner import Joiner
from app.state.key_format import Hasher
from app.state.keys import Keys
from app.state.leases import Keeper
from app.state.ledger import Ledger
from app.state.live_events import News
from app.state.records import EXPANDED_MAX
from app.state.retention import Purger
from app.state.runner import CONCURRENCY, Job, Runner
from app.state.sessions import Sessions
from app.state.signals import Signals
from app.state.store import Responses
from app.state.tenants import Tenants
from app.state.vault import Vault
from app.state.wakeups import Wakeups


@dataclass(slots=True)
class State:
    """The parts of the store; each method of each part takes the tenant."""

    db: Database
    cipher: Cipher
    sealer: Sealer
    signals: Signals
    keeper: Keeper
    responses: Responses
    conversations: Conversations
    history: History
    events: EventLog
    queue: Queue
    attempts: Attempts
    vault: Vault
    keys: Keys
    call_log: CallLog
    tenants: Tenants
    admins: Admins
    sessions: Sessions
    audit: Audit
    budgets: Budgets
    alerts: Alerts
    news: News
    ledger: Ledger
    files: Files
    batches: Batches
    batch_queue: BatchQueue
    batch_homes: BatchHomes
    first_answers: FirstAnswers
    admin_queries: AdminQueries
    answers: SharedAnswers
    runners: list[Runner[Any]] = field(default_factory=list)
    purger: Purger | None = None
    joiner: Joiner | None = None

    def start(
        self,
        *,
        retention_seconds: float | None = None,
        elsewhere: Callable[[str], None] = retention.nothing,
    ) -> None:
        """Begin to renew leases, sweep, listen, purge and join old sums.

        Call it in the process that serves, after a fork: without it a synchronous
        response counts as lost after ten seconds. ``retention_seconds`` None keeps
        threads for ever; event logs go an hour after their end all the same. ``elsewhere`` deletes what a
        tenant that was deleted has outside the database.
        """
        self.keeper.start()
        self.signals.start()
        self.purger = Purger(self.db, older_than=retention_seconds, elsewhere=elsewhere)
        self.purger.start()
        self.joiner = Joiner(self.db)
        self.joiner.start()

    def run_background(self, execute: Callable[[Job[Work]], None], *, concurrency: int = CONCURRENCY) -> None:
        """Begin to run background responses with ``execute``."""
        self._run(Runner(self.signals, self.queue, execute, concurrency=concurrency))

    def run_batches(self, execute: Callable[[Job[BatchWork]], None]) -> None:
        """Begin to run batches with ``execute``."""
        self._run(Runner(self.signals, self.batch_queue, execute))

    def stop_background(self, grace: float) -> None:
        """Claim no more work; wait up to ``grace`` seconds for what runs, hand over the rest.

        Who calls it a second time waits, too: a closing process must not overtake its own drain."""
        gevent.joinall([gevent.spawn(runner.stop, grace) for runner in self.runners], raise_error=True)

    def _run(self, runner: Runner[Any]) -> None:
        self.runners.append(runner)
        runner.start()

    def stop(self, grace: float = 0.0) -> None:
        """Finish or hand over background work within ``grace`` seconds and close everything."""
        self.stop_background(grace)
        for loop in (self.purger, self.joiner):
            if loop is not None:
                loop.stop()
        self.signals.stop()
        self.keeper.stop()
        self.first_answers.stop()
        self.db.close()

    def purge(self, older_than: float | None) -> int:
        """Delete threads unused for ``older_than`` seconds, and old event logs; return how many threads."""
        return retention.purge(self.db, older_than=older_than)


def open_state(
    database_url: str,
    environ: Mapping[str, str],
    *,
    access: Access | None = None,
    expanded_max: int = EXPANDED_MAX,
    encrypt: bool = False,
) -> State:
    """Open, and migrate, the store at ``database_url``.

    ``expanded_max`` bounds, in bytes, what a request may refer to. ``encrypt``: contents are
    sealed before they are stored. Raises ``ValueError`` for a URL or a secret that cannot serve, and
    ``GatewayError("store_unavailable")`` when the database does not answer.
    """
    db = Database.open(database_url, access)
    secrets = load_keys(environ, db.url)
    cipher = Cipher(secrets, seals=encrypt)
    db.seal(cipher)
    sealer, hasher = Sealer(secrets), Hasher(secrets)
    signals = Signals(db, Wakeups())
    keeper = Keeper(signals)
    return State(
        db=db,
        cipher=cipher,
        sealer=sealer,
        signals=signals,
        keeper=keeper,
        responses=Responses(signals, keeper),
        conversations=Conversations(db),
        history=History(db, limit=expanded_max),
        events=EventLog(signals),
        queue=Queue(signals),
        attempts=Attempts(db),
        vault=Vault(db),
        keys=Keys(signals, hasher),
        call_log=CallLog(signals, sealer),
        tenants=Tenants(signals),
        admins=Admins(signals, hasher),
        sessions=Sessions(db, hasher),
        audit=Audit(db),
        budgets=Budgets(db),
        alerts=Alerts(db),
        news=News(signals),
        ledger=Ledger(db),
        files=Files(db),
        batches=Batches(signals),
        batch_queue=BatchQueue(signals),
        batch_homes=BatchHomes(signals),
        first_answers=FirstAnswers(db),
        admin_queries=AdminQueries(db),
        answers=SharedAnswers(signals),
    )
