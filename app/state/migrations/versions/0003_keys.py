"""Tenants, clients' and administrators' keys made at run time, and the audit of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _create_tenants()
    _create_keys()
    op.create_table(
        "audit",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False),
        *(_text(name) for name in ("admin", "role", "address", "action", "subject")),
        sa.Column("before", sa.LargeBinary),
        sa.Column("after", sa.LargeBinary),
    )
    op.create_index("audit_created_at", "audit", ["created_at", "id"])


def _create_tenants() -> None:
    op.create_table(
        "revision",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tenant",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("members", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_table(
        "gone_tenant",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("gone_at", sa.Double, nullable=False),
    )


def _create_keys() -> None:
    op.create_table(
        "client_key",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name) for name in ("tenant", "name", "prefix")),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("members", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("last_used_at", sa.Double),
        sa.Column("rotated_at", sa.Double),
    )
    op.create_index("client_key_tenant_name", "client_key", ["tenant", "name"], unique=True)
    op.create_table(
        "admin_key",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name) for name in ("name", "role", "prefix")),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("admin_key_name", "admin_key", ["name"], unique=True)
    op.create_table(
        "key_secret",
        sa.Column("digest", sa.Text, primary_key=True),
        *(_text(name) for name in ("owner_id", "mark")),
        sa.Column("until", sa.Double),
    )
    op.create_index("key_secret_owner_id", "key_secret", ["owner_id"])
    op.create_table(
        "key_ending",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        _text("key_id"),
        sa.Column("digest", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("key_ending_revision", "key_ending", ["revision"])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)
