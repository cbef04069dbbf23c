"""When a device's certificate ends, and how often the device is seen.

Revision ID: 0013

A server of an earlier schema goes on beside this one: it leaves the new columns alone. Where they were left alone, ends
are not known (NULL) or as they were, until the device's next visit; they are written on every visit that tells another.
Ends are not filled in from the issuance log: each of them is inside a certificate, and parsing a million of those is
not for the start of a server.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add three columns and an index that has all one needs to count them; every row stays."""
    op.add_column("devices", sa.Column("not_after", sa.BigInteger, nullable=True))
    op.add_column("devices", sa.Column("seen_day", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("devices", sa.Column("absence", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE devices SET seen_day = last_seen / 86400 WHERE last_seen > 0")
    op.create_index(
        "devices_ends", "devices", ["factory_id", "issuer_serial", "not_after", "seen_day", "absence"], unique=False
    )
