"""Renewals: when a next key was announced, keys that were replaced, and which factories let expired devices renew.

Revision ID: 0012

The new column may be NULL and the tables are nobody else's, so that a server of an earlier schema can go on writing
beside one of this. No schema before this one ever stored a next key, so nothing can be in the way of the new index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column with an index, and two tables; every row stays."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("devices", sa.Column("next_key_at", sa.BigInteger, nullable=True))
    op.create_index(
        "devices_next_key",
        "devices",
        ["factory_id", "next_spki_sha256"],
        unique=True,
        sqlite_where=sa.text("next_spki_sha256 IS NOT NULL"),
        postgresql_where=sa.text("next_spki_sha256 IS NOT NULL"),
    )
    op.create_table(
        "denied_keys",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary, nullable=False),
        sa.Column("uuid", text, nullable=False),
        sa.Column("denied_at", sa.BigInteger, nullable=False),
        sa.Column("shown_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="denied_keys_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", "spki_sha256", name="denied_keys_pkey"),
    )
    op.create_table(
        "recovery_policies",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("max_expired_days", sa.BigInteger, nullable=False),
        sa.Column("set_by", text, nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="recovery_policies_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", name="recovery_policies_pkey"),
    )
