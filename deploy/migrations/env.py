"""Runs the revisions on the connection, and in the transaction, that `upgrade.py` has opened."""

from alembic import context

from shared.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite rolls schema changes back like any other; alembic only has to be told.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
