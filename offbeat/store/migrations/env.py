"""What Alembic runs: the connection comes from the one who opens the store, in a transaction of its own."""

from __future__ import annotations

from alembic import context

from offbeat.store.models import METADATA

configuration = context.config.attributes
context.configure(connection=configuration["connection"], version_table=configuration["version_table"], target_metadata=METADATA)
context.run_migrations()
