"""Alembic's environment: migrations run on a connection, and in a transaction, that the caller has opened."""

from __future__ import annotations

from alembic import context

from hansa_control.adapters.store_schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
