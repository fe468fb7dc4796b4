"""Vectors of kept answers' questions as numbers, where the database itself compares them.

On PostgreSQL they stay in the row (storage ``main``): a scan of 2,000 then reads no second table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    numbers = sa.ARRAY(sa.REAL).with_variant(sa.LargeBinary, "sqlite")
    op.add_column("cached_answer", sa.Column("numbers", numbers))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE cached_answer ALTER COLUMN numbers SET STORAGE MAIN")
