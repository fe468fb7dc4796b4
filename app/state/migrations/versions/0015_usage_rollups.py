"""Sums of hours and days that ended, by one member at a time, and indexes for filters of the call log."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_FILTERS: Final = ("tenant", "key", "provider", "model", "status", "request_type")
_IDS: Final = ("request_id", "response_id")


def upgrade() -> None:
    op.create_table(
        "usage_rollup",
        sa.Column("seconds", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.LargeBinary) for name in ("whole", "provider", "model", "key", "tenant")),
    )
    for name in _FILTERS:
        op.create_index(f"call_log_{name}", "call_log", [name, "created_at"], if_not_exists=True)
    for name in _IDS:
        op.create_index(f"call_log_{name}", "call_log", [name], if_not_exists=True)
