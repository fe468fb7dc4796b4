"""What ``extra_fields.attempts`` tells of a try: its run, key, the upstream's status, its time."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS: Final = (
    ("run", sa.Integer),
    ("key_name", sa.Text),
    ("http_status", sa.Integer),
    ("latency_ms", sa.Integer),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("attempt", sa.Column(name, kind(), nullable=True))
