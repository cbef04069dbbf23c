"""Run by alembic: migrate over the connection that `migrations.migrate` has opened, inside its transaction."""

from alembic import context

from ownroot.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
