"""The expand step of a column to come: nullable, so that whoever does not know it goes on as before."""

from alembic import op
from sqlalchemy import Column, Text, text

revision = "9000"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("customers", Column("tier", Text()))
    op.create_index("customers_tier", "customers", ["tier"], postgresql_where=text("tier IS NOT NULL"))
