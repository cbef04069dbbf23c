"""Private keys that lie on a token: where to find them, and which are being made there.

Revision ID: 0006

The new column may be NULL and the table is nobody else's, so that a server of an earlier schema can go on writing
beside one of this. It cannot use a key that lies on a token.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column with its index, and one table; every row stays."""
    op.add_column("sealed_keys", sa.Column("token_key_id", sa.LargeBinary, nullable=True))
    op.create_index("sealed_keys_token_key", "sealed_keys", ["token_key_id"], unique=True)
    op.create_table(
        "token_key_intents",
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="token_key_intents_pkey"),
    )
