"""Sums of hours and days anew: their histograms are packed now."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Forget the joined sums, which are joined anew from the single ones."""
    op.execute("DELETE FROM usage_rollup")
