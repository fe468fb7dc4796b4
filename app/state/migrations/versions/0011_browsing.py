"""Indexes by age of responses and conversations, for administrators' lists."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0011"
down_revision = "0009"

_TABLES: Final = ("response", "conversation")


def upgrade() -> None:
    for table in _TABLES:
        op.create_index(f"{table}_created_at", table, ["created_at", "id"], if_not_exists=True)
        op.create_index(
            f"{table}_tenant_created_at", table, ["tenant", "created_at", "id"], if_not_exists=True
        )
