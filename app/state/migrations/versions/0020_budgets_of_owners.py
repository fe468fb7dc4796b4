"""An index of budgets by their owner, for rows of the ledger that are written after a budget was added."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_index("budget_owner", "budget", ["owner"], if_not_exists=True)
