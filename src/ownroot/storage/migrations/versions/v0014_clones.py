"""Signs of copied device keys: where a key was used, who is under suspicion, and what a factory's owner makes of it.

Revision ID: 0014

The new columns may be NULL and the table is nobody else's, so a server of an earlier schema goes on beside this one. It
neither notes networks nor minds a quarantine: gateways of the earlier version let quarantined devices in until they are
upgraded too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with an index of the few rows under suspicion, and a table; every row stays."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for name in ("network4", "network6", "returns", "suspicion", "suspicion_detail"):
        op.add_column("devices", sa.Column(name, text, nullable=True))
    for name in ("suspected_at", "quarantined_at", "released_at"):
        op.add_column("devices", sa.Column(name, sa.BigInteger, nullable=True))
    op.create_index(
        "devices_suspected",
        "devices",
        ["factory_id", "name"],
        unique=False,
        sqlite_where=sa.text("suspected_at IS NOT NULL"),
        postgresql_where=sa.text("suspected_at IS NOT NULL"),
    )
    op.create_table(
        "clone_policies",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("quarantines", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("set_by", text, nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="clone_policies_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", name="clone_policies_pkey"),
    )
