"""Configuration of factories, groups and devices.

Revision ID: 0011

Two tables nobody else knows, and two columns that are 0 for a server of an earlier schema, which goes on beside this
one. It delivers no configuration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add both tables and both columns; every row stays."""
    op.create_table(
        "config_changes",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("scope_name", TEXT, nullable=False),
        sa.Column("config_time", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("files", sa.LargeBinary, nullable=False),
        sa.Column("applied_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="config_changes_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", "scope", "scope_name", "config_time", name="config_changes_pkey"),
    )
    op.create_table(
        "config_clocks",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("newest", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="config_clocks_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", name="config_clocks_pkey"),
    )
    op.add_column("devices", sa.Column("config_time", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("devices", sa.Column("fetch_config_anew", sa.BigInteger, nullable=False, server_default="0"))
