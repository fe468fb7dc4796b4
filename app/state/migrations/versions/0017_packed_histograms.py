"""Sums of hours and days anew: their histograms are packed now."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    _forget_joined_sums()


def downgrade() -> None:
    _forget_joined_sums()


def _forget_joined_sums() -> None:
    """They are joined anew, from the single sums."""
    op.execute("DELETE FROM usage_rollup")
