"""Kept answers that processes share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "cached_answer",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("meaning", sa.Text),
        sa.Column("made_at", sa.Double),
        sa.Column("vector", sa.LargeBinary),
    )
    op.create_index("cached_answer_expires_at", "cached_answer", ["expires_at"])
    op.create_index("cached_answer_meaning", "cached_answer", ["meaning", "made_at"])
    op.create_index("cached_answer_tenant", "cached_answer", ["tenant"])
    op.create_index("cached_answer_response_id", "cached_answer", ["response_id"])
