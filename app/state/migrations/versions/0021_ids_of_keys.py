"""The id of the key in each row of the ledger, so that a key is charged exactly whatever its names are and were.

Rows that exist have none: adding the column changes no row, and takes as long in a large table as in a small one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("ledger", sa.Column("key_id", sa.Text))
