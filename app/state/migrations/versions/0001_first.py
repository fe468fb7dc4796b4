"""The first schema: everything of docs/architecture.md, "Decided now"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _responses()
    _items_and_events()
    _conversations()
    _blobs()
    _ledger_and_vault()


def _text(name: str, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=null)


def _time(name: str, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Double(), nullable=null)


def _bytes(name: str, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary(), nullable=null)


def _number(name: str, kind: Any = sa.Integer) -> sa.Column[Any]:
    return sa.Column(name, kind(), nullable=False, autoincrement=False)


def _flag(name: str, default: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), server_default=default, nullable=False)


def _table(name: str, key: Sequence[str], *columns: sa.Column[Any]) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key))


def _responses() -> None:
    _table("thread", ["id"], _text("id"), _text("tenant"), _time("last_used_at"))
    op.create_index("thread_last_used_at", "thread", ["last_used_at"])
    nullable = ("parent_id", "conversation_id", "key_id", "mount", "api_version")
    _table(
        "response",
        ["id"],
        *(_text(name) for name in ("id", "tenant", "thread_id")),
        *(_text(name, null=True) for name in nullable),
        _flag("background", sa.false()),
        _flag("stream", sa.false()),
        _flag("store", sa.true()),
        _text("status"),
        _flag("cancel_requested", sa.false()),
        _flag("shown", sa.false()),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _text("lease_owner", null=True),
        _time("lease_until", null=True),
        *(_text(name, null=True) for name in ("realm", "provider", "model", "upstream_id")),
        _bytes("upstream_state", null=True),
        _time("created_at"),
        *(_time(name, null=True) for name in ("completed_at", "deleted_at", "expires_at")),
        *(_bytes(name, null=True) for name in ("request", "headers", "object", "extra")),
    )
    for column in ("thread_id", "parent_id", "conversation_id"):
        op.create_index(f"response_{column}", "response", [column])
    running = sa.text("status IN ('queued', 'in_progress')")
    for name, columns in (
        ("response_running", ["created_at"]),
        ("response_running_key", ["tenant", "key_id"]),
    ):
        op.create_index(name, "response", columns, sqlite_where=running, postgresql_where=running)


def _items_and_events() -> None:
    _table(
        "item",
        ["response_id", "seq"],
        _text("response_id"),
        _number("seq"),
        _text("tenant"),
        _text("direction"),
        _text("item_id"),
        _bytes("body"),
    )
    op.create_index("item_tenant_item_id", "item", ["tenant", "item_id"])
    _table(
        "event",
        ["response_id", "first_seq"],
        _text("response_id"),
        _number("first_seq"),
        _number("last_seq"),
        _bytes("body"),
    )


def _conversations() -> None:
    _table(
        "conversation",
        ["id"],
        _text("id"),
        _text("tenant"),
        _bytes("metadata"),
        _time("created_at"),
        _time("deleted_at", null=True),
    )
    _table(
        "conversation_item",
        ["conversation_id", "position"],
        _text("conversation_id"),
        _number("position", sa.BigInteger),
        _text("tenant"),
        _text("item_id"),
        _bytes("body"),
        _text("response_id", null=True),
    )
    op.create_index("conversation_item_tenant_item_id", "conversation_item", ["tenant", "item_id"])


def _blobs() -> None:
    _table(
        "blob",
        ["tenant", "sha256"],
        _text("tenant"),
        _text("sha256"),
        _text("media_type"),
        _bytes("bytes"),
    )
    _table("blob_use", ["owner_id", "sha256"], _text("owner_id"), _text("sha256"), _text("tenant"))
    op.create_index("blob_use_tenant_sha256", "blob_use", ["tenant", "sha256"])


def _ledger_and_vault() -> None:
    _table(
        "attempt",
        ["id"],
        _text("id"),
        _text("tenant"),
        _text("response_id", null=True),
        _text("call_id"),
        _text("target"),
        _text("realm", null=True),
        _text("status"),
        _text("error_kind", null=True),
        _bytes("usage", null=True),
        _time("started_at"),
        _time("ended_at", null=True),
    )
    op.create_index("attempt_response_id", "attempt", ["response_id"])
    op.create_index("attempt_started_at", "attempt", ["started_at"])
    _table(
        "vault",
        ["tenant", "call_id"],
        _text("tenant"),
        _text("call_id"),
        _bytes("body"),
        _time("created_at"),
    )
    op.create_index("vault_created_at", "vault", ["created_at"])
