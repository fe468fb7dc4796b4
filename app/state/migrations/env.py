"""Alembic's entry: run the scripts over the connection that ``upgrade`` opened."""

from __future__ import annotations

from alembic import context

from app.state.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
