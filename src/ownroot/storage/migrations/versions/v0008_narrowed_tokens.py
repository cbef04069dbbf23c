"""Access tokens that can do less than their login.

Revision ID: 0008

A server of the earlier schema goes on beside this one: it leaves the new column out, which is NULL then, and takes a
narrowed token for one of the whole login. It never could narrow one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add one column; every row stays."""
    op.add_column("oauth_tokens", sa.Column("scopes", TEXT, nullable=True))
