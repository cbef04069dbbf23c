"""Cohorts: devices that are alike in all that a listing may be narrowed to, counted as they come, change and go.

Revision ID: 0015

Triggers keep the counts, so that a server of an earlier schema keeps them as well. Of the indexes that end here it
needs none: it lists more slowly until it is replaced.
"""

import sqlalchemy as sa
from alembic import op

from ownroot.storage.migrations import cohort_triggers

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables, a column and two indexes for three; every row stays."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    is_sqlite = op.get_context().dialect.name == "sqlite"
    op.create_table(
        "device_cohorts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=False),
        sa.Column("owner", text, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("production", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("issuer_serial", text, nullable=False),
        sa.Column("target_name", text, nullable=False),
        sa.Column("tags", text, nullable=False),
        sa.Column("seen", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("rotating", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("suspected", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("devices", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="device_cohorts_factory_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="device_cohorts_pkey"),
    )
    op.create_index(
        "device_cohorts_facets", "device_cohorts", ["factory_id", "target_name", "group_id", "issuer_serial", "owner"]
    )
    op.create_table(
        "device_stretches",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("cohort", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("first_name", text, nullable=False),
        sa.Column("devices", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="device_stretches_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", "cohort", "first_name", name="device_stretches_pkey"),
    )
    op.add_column("devices", sa.Column("cohort", sa.BigInteger, nullable=False, server_default="0"))
    for index in ("devices_owner", "devices_issuer", "devices_last_seen"):
        op.drop_index(index, "devices")
    for statement in cohort_triggers.FILL:
        op.execute(statement)
    # SQLite has the id in every index.
    op.create_index("devices_cohort", "devices", ["cohort", "name"], postgresql_include=["id"])
    op.create_index(
        "devices_seen",
        "devices",
        ["factory_id", "last_seen", "name", "cohort"],
        postgresql_include=["id"],
        sqlite_where=sa.text("last_seen > 0"),
        postgresql_where=sa.text("last_seen > 0"),
    )
    for statement in cohort_triggers.SQLITE if is_sqlite else cohort_triggers.POSTGRES:
        op.execute(statement)
