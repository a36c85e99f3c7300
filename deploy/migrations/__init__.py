"""The schema's history, by alembic; `deploy.migrations.upgrade` brings a database up to it."""
