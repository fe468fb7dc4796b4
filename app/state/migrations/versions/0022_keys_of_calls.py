"""The id of the key in each row of the call log, so that calls are found under any name that the key had; indexes of keys
and tenants by age, and of keys by name, so that a page or a name costs the same however many there are.

Rows that exist have none: adding the column changes no row, and takes as long in a large table as in a small one. Column and
indexes may exist: SQLite keeps what an interrupted migration made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_INDEXES = (
    ("client_key_created_at", "client_key", ("created_at", "id")),
    ("client_key_tenant_created_at", "client_key", ("tenant", "created_at", "id")),
    ("client_key_name", "client_key", ("name",)),
    ("tenant_created_at", "tenant", ("created_at", "name")),
)


def upgrade() -> None:
    found = sa.inspect(op.get_bind()).get_columns("call_log")
    if "key_id" not in [column["name"] for column in found]:
        op.add_column("call_log", sa.Column("key_id", sa.Text))
    for name, table, columns in _INDEXES:
        op.create_index(name, table, list(columns), if_not_exists=True)
