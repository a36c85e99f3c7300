"""The release after this one, as far as its schema goes: an expand step adds a column and an index."""

from pathlib import Path

from sqlalchemy import Column, Text

from deploy.migrations import upgrade
from shared.schema import customers

HEAD = "9000"
ENVIRONMENT = {"FAULTS_RELEASE": "next", "FAULTS_MIGRATES": "no"}
"""Of a process that is of the next release, and leaves the schema to the command that is there for it."""


def become() -> None:
    """From here on this process is of the next release; to be called before anything asks for the schema."""
    upgrade.HEAD = HEAD
    upgrade.VERSIONS = (*upgrade.VERSIONS, Path(__file__).parent / "versions")
    customers.append_column(Column("tier", Text))
