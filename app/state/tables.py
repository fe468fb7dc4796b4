"""The tables, as SQLAlchemy Core metadata: one schema for SQLite and PostgreSQL.

BLOB columns contain JSON (``blob.bytes``: the file itself), sealed where the operator asks for it. Times are Unix seconds
as doubles by the database's clock (`db_now`), so that leases of several machines can be compared. The migrations create
the tables; a test keeps both equal. Every row belongs to a tenant: the table has the column, or its key begins with an id
that was looked up under a tenant.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    text,
    true,
)

from app.state.cache_tables import cached_answer as cached_answer
from app.state.encryption import SealedBytes
from app.state.schema import AnyRow as AnyRow
from app.state.schema import db_now as db_now
from app.state.schema import metadata as metadata

#: The rows that are not terminal. A literal, so that both planners see the partial index.
RUNNING = text("response.status IN ('queued', 'in_progress')")
_RUNNING_INDEX = text("status IN ('queued', 'in_progress')")

#: The rows that were not to be stored, few at any time; a literal for the same reason.
UNSTORED = text("NOT response.store")
_UNSTORED_INDEX = text("NOT store")

#: The batches that have not ended, spelled so for the same reason.
BATCH_RUNNING = text("batch.status IN ('validating', 'in_progress', 'finalizing', 'cancelling')")
BATCH_COUNTS = ("line", "position", "completed", "failed", "output_bytes", "error_bytes")
_BATCH_RUNNING_INDEX = text("status IN ('validating', 'in_progress', 'finalizing', 'cancelling')")


thread = Table(
    "thread",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("last_used_at", Double, nullable=False),
    Index("thread_last_used_at", "last_used_at"),
)

response = Table(
    "response",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("parent_id", Text),
    Column("conversation_id", Text),
    Column("key_id", Text),
    Column("mount", Text),
    Column("api_version", Text),
    Column("background", Boolean, nullable=False, server_default=false()),
    Column("stream", Boolean, nullable=False, server_default=false()),
    Column("store", Boolean, nullable=False, server_default=true()),
    Column("status", Text, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    # True once a reader may have seen output: such work is never run again.
    Column("shown", Boolean, nullable=False, server_default=false()),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("lease_owner", Text),
    Column("lease_until", Double),
    Column("realm", Text),
    Column("provider", Text),
    Column("model", Text),
    Column("upstream_id", Text),
    Column("upstream_state", SealedBytes),
    Column("created_at", Double, nullable=False),
    Column("completed_at", Double),
    Column("deleted_at", Double),
    Column("expires_at", Double),
    Column("request", SealedBytes),
    Column("headers", SealedBytes),
    Column("object", SealedBytes),
    Column("extra", SealedBytes),
    Index("response_thread_id", "thread_id"),
    Index("response_parent_id", "parent_id"),
    Index("response_conversation_id", "conversation_id"),
    Index(
        "response_running",
        "created_at",
        sqlite_where=_RUNNING_INDEX,
    ),
    Index(
        "response_unstored",
        "expires_at",
        sqlite_where=_UNSTORED_INDEX,
    ),
    Index(
        "response_running_key",
        "tenant",
        "key_id",
        sqlite_where=_RUNNING_INDEX,
    ),
)

item = Table(
    "item",
    metadata,
    Column("response_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("tenant", Text, nullable=False),
    Column("direction", Text, nullable=False),  # "input" or "output"
    Column("item_id", Text, nullable=False),
    Column("body", SealedBytes, nullable=False),
    Index("item_tenant_item_id", "tenant", "item_id"),
)

conversation = Table(
    "conversation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("metadata", SealedBytes, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
)

conversation_item = Table(
    "conversation_item",
    metadata,
    Column("conversation_id", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant", Text, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("body", SealedBytes, nullable=False),
    Column("response_id", Text),
    Index("conversation_item_tenant_item_id", "tenant", "item_id"),
)

event = Table(
    "event",
    metadata,
    Column("response_id", Text, primary_key=True),
    Column("first_seq", Integer, primary_key=True, autoincrement=False),
    Column("last_seq", Integer, nullable=False),
    Column("body", SealedBytes, nullable=False),
)

blob = Table(
    "blob",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("bytes", SealedBytes, nullable=False),
)

# Which response or conversation needs which blob: a blob without a use is deleted.
blob_use = Table(
    "blob_use",
    metadata,
    Column("owner_id", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Index("blob_use_tenant_sha256", "tenant", "sha256"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("response_id", Text),
    Column("call_id", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("realm", Text),
    Column("status", Text, nullable=False),
    Column("error_kind", Text),
    Column("usage", SealedBytes),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("run", Integer),
    Column("key_name", Text),
    Column("http_status", Integer),
    Column("latency_ms", Integer),
    Index("attempt_response_id", "response_id"),
    Index("attempt_started_at", "started_at"),
)

vault = Table(
    "vault",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("call_id", Text, primary_key=True),
    Column("body", SealedBytes, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("vault_created_at", "created_at"),
)

# One row for each name: its number grows with every change, so that processes see that something changed.
revision = Table(
    "revision",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

tenant = Table(
    "tenant",
    metadata,
    Column("name", Text, primary_key=True),
    Column("members", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("tenant_created_at", "created_at", "name"),
)

# Deleted tenants, of which the next purge deletes everything that was stored until then.
gone_tenant = Table(
    "gone_tenant",
    metadata,
    Column("name", Text, primary_key=True),
    Column("gone_at", Double, nullable=False),
)

client_key = Table(
    "client_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("expires_at", BigInteger),
    Column("members", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double),
    Column("rotated_at", Double),
    Index("client_key_tenant_name", "tenant", "name", unique=True),
    Index("client_key_name", "name"),
    Index("client_key_created_at", "created_at", "id"),
    Index("client_key_tenant_created_at", "tenant", "created_at", "id"),
)

admin_key = Table(
    "admin_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("admin_key_name", "name", unique=True),
)

# The secrets of keys, as keyed hashes. ``mark`` names the secret key that hashed; ``until`` is None
# for as long as its key lasts.
key_secret = Table(
    "key_secret",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("owner_id", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("until", Double),
    Index("key_secret_owner_id", "owner_id"),
)

# Keys, or one secret of a key, whose running calls end at once.
key_ending = Table(
    "key_ending",
    metadata,
    Column("id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("digest", Text),
    Column("created_at", Double, nullable=False),
    Index("key_ending_revision", "revision"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("admin", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", LargeBinary),
    Column("after", LargeBinary),
    Index("audit_created_at", "created_at", "id"),
)

#: What the list of calls is filtered by, and ordered by age.
CALL_FILTERS = ("tenant", "key", "provider", "model", "status", "request_type")

# One row for each call: ``body`` is the rest of the row as JSON. ``key`` is the name that the key had then; ``key_id`` is
# None for keys of the file, and in rows from before version 0022.
call_log = Table(
    "call_log",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("request_type", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("response_id", Text),
    Column("key_id", Text),
    Column("body", SealedBytes, nullable=False),
    Index("call_log_created_at", "created_at", "id"),
    *(Index(f"call_log_{name}", name, "created_at") for name in CALL_FILTERS),
    *(Index(f"call_log_{name}", name) for name in ("request_id", "response_id")),
)

# Sums of the calls of an hour that agree in all of ``members``; cost in nano-dollars.
usage_hour = Table(
    "usage_hour",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hour", BigInteger, nullable=False),
    Column("members", SealedBytes, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("cache_hits", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False, server_default="0"),
    Index("usage_hour_hour", "hour"),
)

# How many of these calls took how long: a bucket is 5 % longer than the one before.
usage_latency = Table(
    "usage_latency",
    metadata,
    Column("usage_id", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
)

# The balance of a budget in one of its periods, in nano-dollars; ``period`` is the period's start in Unix seconds.
# ``alerted`` is the highest threshold (per cent) with an alert; ``used_at`` is when a call last used the budget.
budget = Table(
    "budget",
    metadata,
    Column("id", Text, primary_key=True),
    Column("level", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("per", Text, nullable=False),
    Column("models", Text),
    Column("period", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("alerted", Integer, nullable=False),
    Column("used_at", Double, nullable=False),
    Index("budget_owner", "owner"),
)

# What a running attempt has reserved from a budget, and the members of its ledger row.
reservation = Table(
    "reservation",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("budget_id", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("most", BigInteger, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("reservation_lease_until", "lease_until"),
)

# One row for each attempt, never changed. ``period_at`` is when it began, which decides the period; ``asked`` is the
# model as the client wrote it. Cost is in nano-dollars, None where the price is unknown. ``key`` is the name that the key
# had then; ``key_id`` is None for keys of the file, and in rows from before version 0021.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("period_at", Double, nullable=False),
    Column("attempt_id", Text),
    Column("call_id", Text),
    Column("tenant", Text),
    Column("key", Text),
    Column("asked", Text),
    Column("provider", Text),
    Column("model", Text),
    Column("provider_key", Text),
    Column("request_type", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("cost", BigInteger),
    Column("cost_details", LargeBinary),
    Column("state", Text, nullable=False),
    Column("corrects", Text),
    Column("reason", Text),
    Column("key_id", Text),
    Index("ledger_created_at", "created_at", "id"),
    Index("ledger_owner", "tenant", "key", "created_at"),
    Index("ledger_call_id", "call_id"),
)

# The budgets, each in a period, to which a ledger row was charged.
ledger_charge = Table(
    "ledger_charge",
    metadata,
    Column("ledger_id", Text, primary_key=True),
    Column("budget_id", Text, primary_key=True),
)

# A threshold that a budget reached; ``due_at`` is when its message is to be sent, NULL once it was sent.
alert = Table(
    "alert",
    metadata,
    Column("budget_id", Text, primary_key=True),
    Column("threshold", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double),
    Column("tries", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("alert_due_at", "due_at"),
)

# A tenant's file, which exists for its owner once it is ``ready``: in chunks here, or at the provider of ``realm``.
file = Table(
    "file",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("ready", Boolean, nullable=False, server_default=false()),
    Column("provider", Text),
    Column("realm", Text),
    Column("upstream_id", Text),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("body", SealedBytes, nullable=False),
    Index("file_tenant_created_at", "tenant", "created_at", "id"),
)

# A chunk of a file: ``position`` is that of its first byte in the file, ``size`` its length in bytes.
file_piece = Table(
    "file_piece",
    metadata,
    Column("file_id", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("body", SealedBytes, nullable=False),
)

# A batch, with its cursor: ``line`` lines are done, the next begins at byte ``position`` of the input.
# ``in_flight`` counts how often each line past it was begun; ``waiting`` are results past it.
batch = Table(
    "batch",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text),
    Column("mount", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("input_file_id", Text, nullable=False),
    Column("output_file_id", Text, nullable=False),
    Column("error_file_id", Text, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("lease_owner", Text),
    Column("lease_until", Double),
    *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in BATCH_COUNTS),
    Column("in_flight", Text, nullable=False, server_default=text("'{}'")),
    Column("waiting", SealedBytes),
    Column("provider", Text),
    Column("realm", Text),
    Column("upstream_id", Text),
    Column("created_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("body", SealedBytes, nullable=False),
    Index("batch_tenant_created_at", "tenant", "created_at", "id"),
    Index("batch_input_file_id", "input_file_id"),
    Index(
        "batch_running",
        "created_at",
        sqlite_where=_BATCH_RUNNING_INDEX,
    ),
)
