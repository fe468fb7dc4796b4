"""Files in pieces, and batches."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_RUNNING: Final = sa.text("status IN ('validating', 'in_progress', 'finalizing', 'cancelling')")
_COUNTS: Final = ("line", "position", "completed", "failed", "output_bytes", "error_bytes")


def upgrade() -> None:
    op.create_table(
        "file",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("provider", sa.Text),
        sa.Column("realm", sa.Text),
        sa.Column("upstream_id", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("file_tenant_created_at", "file", ["tenant", "created_at", "id"])
    op.create_table(
        "file_piece",
        sa.Column("file_id", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    _create_batch()


def _create_batch() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("mount", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("input_file_id", sa.Text, nullable=False),
        sa.Column("output_file_id", sa.Text, nullable=False),
        sa.Column("error_file_id", sa.Text, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", sa.Double),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0")) for name in _COUNTS),
        sa.Column("in_flight", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("waiting", sa.LargeBinary),
        sa.Column("provider", sa.Text),
        sa.Column("realm", sa.Text),
        sa.Column("upstream_id", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("batch_tenant_created_at", "batch", ["tenant", "created_at", "id"])
    op.create_index("batch_input_file_id", "batch", ["input_file_id"])
    op.create_index(
        "batch_running", "batch", ["created_at"], sqlite_where=_RUNNING, postgresql_where=_RUNNING
    )
