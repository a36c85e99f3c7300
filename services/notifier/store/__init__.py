"""Tasks, deliveries and their trail in the database: SQLAlchemy Core, the same on SQLite and PostgreSQL.

Every function works on a connection whose transaction is its caller's.
"""
