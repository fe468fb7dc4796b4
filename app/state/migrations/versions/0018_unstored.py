"""An index of responses that were not to be stored, for the sweep that ends them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_WHERE = sa.text("NOT store")


def upgrade() -> None:
    op.create_index(
        "response_unstored",
        "response",
        ["expires_at"],
        if_not_exists=True,
        sqlite_where=_WHERE,
        postgresql_where=_WHERE,
    )
