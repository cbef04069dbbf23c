"""Signed commands on device CAs: what was applied when, what was revoked, and when a change was announced.

Revision ID: 0002

Every new column has a default, so that a server of the first schema can go on writing beside one of this.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add columns, one table and one index; every row stays."""
    op.add_column("device_cas", _number_since("commanded_at"))
    op.add_column("revoked_serials", sa.Column("certificate_der", sa.LargeBinary, nullable=True))
    op.add_column("revoked_serials", sa.Column("holder", TEXT, nullable=False, server_default="local"))
    op.add_column("revoked_serials", _number_since("revoked_at"))
    op.add_column("revoked_serials", _number_since("commanded_at"))
    op.add_column("changes", _number_since("announced_at_us"))
    op.create_table(
        "applied_commands",
        sa.Column("scope", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("signed_part_sha256", sa.LargeBinary, nullable=False),
        sa.Column("usable_until", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["scope"], ["pki_states.scope"], name="applied_commands_scope_fkey"),
        sa.PrimaryKeyConstraint("scope", "signed_part_sha256", name="applied_commands_pkey"),
    )
    op.create_index("devices_issuer", "devices", ["factory_id", "issuer_serial"], unique=False)


def _number_since(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
