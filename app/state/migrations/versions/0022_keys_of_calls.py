"""The id of the key in each row of the call log, so that calls are found under any name that the key had.

Rows that exist have none: adding the column changes no row, and takes as long in a large table as in a small one. A test
that writes calls during a migration leaves the column in place.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    columns = sa.inspect(op.get_bind()).get_columns("call_log")
    if "key_id" not in [column["name"] for column in columns]:
        op.add_column("call_log", sa.Column("key_id", sa.Text))
