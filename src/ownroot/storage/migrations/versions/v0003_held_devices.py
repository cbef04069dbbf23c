"""Restores of backups, and devices held for review after one.

Revision ID: 0003

Two tables and nothing else: a server of an earlier schema can go on beside one of this. It knows of no restore and
holds nothing, so after a restore its gateways must be stopped.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "restores",
        sa.Column("id", ID, nullable=False),
        sa.Column("backup_made_at", sa.BigInteger, nullable=False),
        sa.Column("restored_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="restores_pkey"),
    )
    op.create_table(
        "held_devices",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("uuid", TEXT, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary, nullable=False),
        sa.Column("certificate_der", sa.LargeBinary, nullable=False),
        sa.Column("issuer_serial", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("refused_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="held_devices_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", "uuid", "spki_sha256", name="held_devices_pkey"),
    )
    op.create_index("held_devices_issuer", "held_devices", ["factory_id", "issuer_serial"], unique=False)
