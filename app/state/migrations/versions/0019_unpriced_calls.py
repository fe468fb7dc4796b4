"""A sum of calls whose cost is unknown; older sums have none, because nobody counted them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("usage_hour")}
    if "unpriced" not in columns:  # as indexes are made: only if they are not there
        op.add_column("usage_hour", sa.Column("unpriced", sa.BigInteger, nullable=False, server_default="0"))
