"""An index of the certificates that were given up, so that issued ones can be counted without reading them.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one index; every row stays."""
    op.create_index(
        "issuances_voided",
        "issuances",
        ["issuer_sha256"],
        unique=False,
        sqlite_where=sa.text("state = 2"),
        postgresql_where=sa.text("state = 2"),
    )
