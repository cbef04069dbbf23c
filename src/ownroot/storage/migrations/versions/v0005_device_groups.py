"""Device groups, and which one a device is in.

Revision ID: 0005

A server of the earlier schema goes on beside this one: it leaves the new column out, which is NULL then.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add one table, one column and its index; every row stays."""
    op.create_table(
        "device_groups",
        sa.Column("id", ID, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_by", TEXT, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="device_groups_factory_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="device_groups_pkey"),
    )
    op.create_index("device_groups_name", "device_groups", ["factory_id", "name"], unique=True)
    op.add_column("devices", sa.Column("group_id", sa.BigInteger, nullable=True))
    op.create_index(
        "devices_group",
        "devices",
        ["factory_id", "group_id"],
        unique=False,
        sqlite_where=sa.text("group_id IS NOT NULL"),
        postgresql_where=sa.text("group_id IS NOT NULL"),
    )
