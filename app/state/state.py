"""The state of the gateway: everything that it stores, behind one object.

state = open_state("sqlite:///sluice.db", environ)
state.start()                      # in each serving process
state.run_background(execute)      # in processes that run background work
...
state.stop(grace=20.0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gevent

from app.state import retention, rollups
from app.state.admin_queries import AdminQueries
from app.state.admins import Admins
from app.state.alerts import Alerts
from app.state.attempts import Attempts
from app.state.audit import Audit
from app.state.background import Queue, Work
from app.state.batch_queue import BatchQueue, BatchWork
from app.state.batches import Batches
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
from app.state.key_format import Hasher
from app.state.keys import Keys
from app.state.leases import LeaseRenewer
from app.state.ledger import Ledger
from app.state.listener import listen
from app.state.live_events import LiveEvents
from app.state.loops import Loop, PeriodicTask
from app.state.records import EXPANDED_MAX
from app.state.remote_batches import RemoteBatches
from app.state.runner import Job, Runner
from app.state.sessions import Sessions
from app.state.store import Responses
from app.state.tenants import Tenants
from app.state.vault import Vault


class State:
    """The parts of the state, each of all tenants, over one database."""

    def __init__(
        self, db: Database, operator_secrets: Sequence[str], expanded_max: int, *, seals: bool
    ) -> None:
        self.db = db
        self.cipher = Cipher(operator_secrets, seals=seals)
        self.sealer = Sealer(operator_secrets)
        self.listener = Loop(partial(listen, db))
        self.lease_renewer = LeaseRenewer(db)
        self.responses = Responses(db, self.lease_renewer)
        self.conversations = Conversations(db)
        self.history = History(db, limit=expanded_max)
        self.events = EventLog(db)
        self.queue = Queue(db)
        self.attempts = Attempts(db)
        self.vault = Vault(db)
        hasher = Hasher(operator_secrets)
        self.keys = Keys(db, hasher)
        self.tenants = Tenants(db)
        self.admins = Admins(db, hasher)
        self.sessions = Sessions(db, hasher)
        self.audit = Audit(db)
        self.call_log = CallLog(db, self.sealer)
        self.budgets = Budgets(db)
        self.alerts = Alerts(db)
        self.ledger = Ledger(db)
        self.live_events = LiveEvents(db)
        self.files = Files(db)
        self.batches = Batches(db)
        self.batch_queue = BatchQueue(db)
        self.remote_batches = RemoteBatches(db)
        self.first_answers = FirstAnswers(db)
        self.admin_queries = AdminQueries(db)
        self.answers = SharedAnswers(db)
        self.runners: list[Runner[Any]] = []
        self.tasks: list[Loop] = [self.listener, self.lease_renewer]
        db.seal(self.cipher)

    def start(
        self,
        *,
        retention_seconds: float | None = None,
        delete_outside: retention.DeleteOutside = retention.delete_nothing,
    ) -> None:
        """Begin to renew leases, sweep, listen, purge and roll up sums.

        Call it in the process that serves, after a fork: without it a synchronous response counts as lost after ten
        seconds. ``retention_seconds`` None keeps threads for ever; event logs are deleted an hour after their end all
        the same. ``delete_outside`` deletes what a deleted tenant has outside the database.
        """
        purge = partial(retention.purge, self.db, older_than=retention_seconds, delete_outside=delete_outside)
        self.tasks += [
            PeriodicTask(purge, retention.PURGE_SECONDS, "the purge stopped"),
            PeriodicTask(
                partial(rollups.roll_up_all, self.db), rollups.ROLL_UP_SECONDS, "the roll-up of sums stopped"
            ),
        ]
        for task in self.tasks:
            task.start()

    def run_background(self, execute: Callable[[Job[Work]], None]) -> None:
        """Begin to claim background responses and run them with ``execute``."""
        self._run(Runner(self.db, self.queue, execute))

    def run_batches(self, execute: Callable[[Job[BatchWork]], None]) -> None:
        """Begin to claim batches and run them with ``execute``."""
        self._run(Runner(self.db, self.batch_queue, execute))

    def stop_background(self, grace: float) -> None:
        """Stop claiming work, wait up to ``grace`` seconds for running work, and hand over the
        rest.

        A second caller waits as well: a process that closes must not overtake its own drain."""
        gevent.joinall([gevent.spawn(runner.stop, grace) for runner in self.runners], raise_error=True)

    def _run(self, runner: Runner[Any]) -> None:
        self.runners.append(runner)
        runner.start()

    def stop(self, grace: float = 0.0) -> None:
        """Finish or hand over background work within ``grace`` seconds and close everything."""
        self.stop_background(grace)
        for task in self.tasks:
            task.stop()
        self.first_answers.stop()
        self.db.close()

    def purge(self, older_than: float | None) -> int:
        """Delete what ``retention.purge`` deletes; return how many threads that were."""
        return retention.purge(self.db, older_than=older_than)


def open_state(
    database_url: str,
    environ: Mapping[str, str],
    *,
    access: Access | None = None,
    expanded_max: int = EXPANDED_MAX,
    encrypt: bool = False,
) -> State:
    """Migrate the database at ``database_url`` if need be, and open the state in it.

    ``environ`` has the secret keys (``SLUICE_SECRET_KEY``). ``expanded_max`` limits, in bytes, what a request may refer
    to. ``encrypt`` seals contents before they are stored. Raises ``ValueError`` for a URL or a key that cannot be used,
    and ``store_unavailable`` when the database does not answer.
    """
    db = Database.open(database_url, access)
    return State(db, load_keys(environ, db.url), expanded_max, seals=encrypt)
