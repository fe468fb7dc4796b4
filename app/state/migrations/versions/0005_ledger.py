"""Budgets, what calls reserved of them, the ledger and alerts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "budget",
        sa.Column("id", sa.Text, primary_key=True),
        *_required(sa.Text, "level", "owner", "per"),
        sa.Column("models", sa.Text),
        *_required(sa.BigInteger, "period", "spent", "reserved"),
        *_required(sa.Integer, "alerted"),
        *_required(sa.Double, "used_at"),
    )
    op.create_table(
        "reservation",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("budget_id", sa.Text, primary_key=True),
        *_required(sa.BigInteger, "amount", "most"),
        *_required(sa.Double, "lease_until"),
        *_required(sa.LargeBinary, "body"),
    )
    op.create_index("reservation_lease_until", "reservation", ["lease_until"])
    _create_ledger()
    op.create_table(
        "alert",
        sa.Column("budget_id", sa.Text, primary_key=True),
        sa.Column("threshold", sa.Integer, primary_key=True, autoincrement=False),
        *_required(sa.Double, "created_at"),
        sa.Column("due_at", sa.Double),
        *_required(sa.Integer, "tries"),
        *_required(sa.LargeBinary, "body"),
    )
    op.create_index("alert_due_at", "alert", ["due_at"])


def _create_ledger() -> None:
    texts = ("attempt_id", "call_id", "tenant", "key", "asked", "provider", "model", "provider_key")
    counts = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost")
    op.create_table(
        "ledger",
        sa.Column("id", sa.Text, primary_key=True),
        *_required(sa.Double, "created_at", "period_at"),
        *(sa.Column(name, sa.Text) for name in (*texts, "request_type")),
        *(sa.Column(name, sa.BigInteger) for name in counts),
        sa.Column("cost_details", sa.LargeBinary),
        *_required(sa.Text, "state"),
        sa.Column("corrects", sa.Text),
        sa.Column("reason", sa.Text),
    )
    op.create_index("ledger_created_at", "ledger", ["created_at", "id"])
    op.create_index("ledger_owner", "ledger", ["tenant", "key", "created_at"])
    op.create_index("ledger_call_id", "ledger", ["call_id"])
    op.create_table(
        "ledger_charge",
        sa.Column("ledger_id", sa.Text, primary_key=True),
        sa.Column("budget_id", sa.Text, primary_key=True),
    )


def _required(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]
