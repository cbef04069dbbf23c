"""TUF repositories: roots, sealed keys, a change under way, and what devices fetch.

Revision ID: 0010

A server of the earlier schema goes on beside this one: it knows none of these tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add tables; every row stays."""
    op.create_table(
        "tuf_repositories",
        _factory(),
        sa.Column("ci_version", sa.BigInteger, nullable=False),
        sa.Column("production_version", sa.BigInteger, nullable=False),
        *_keys("tuf_repositories", "factory_id"),
    )
    op.create_table(
        "tuf_roots",
        _factory(),
        sa.Column("version", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("production", sa.Boolean(create_constraint=False), nullable=False, autoincrement=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        *_keys("tuf_roots", "factory_id", "version", "production"),
    )
    op.create_table(
        "tuf_keys",
        _factory(),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("staged", sa.Boolean(create_constraint=False), nullable=False, autoincrement=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        *_keys("tuf_keys", "factory_id", "role", "staged"),
    )
    op.create_table(
        "tuf_updates",
        _factory(),
        sa.Column("txid_sha256", sa.LargeBinary, nullable=False),
        sa.Column("initiator", TEXT, nullable=False),
        sa.Column("first_time", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("ci_root", sa.LargeBinary, nullable=False),
        sa.Column("production_root", sa.LargeBinary, nullable=True),
        sa.Column("online_keys", TEXT, nullable=False),
        sa.Column("targets_signatures", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_by", TEXT, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        *_keys("tuf_updates", "factory_id"),
    )
    op.create_table(
        "tuf_documents",
        _factory(),
        sa.Column("production", sa.Boolean(create_constraint=False), nullable=False, autoincrement=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.LargeBinary, nullable=False),
        sa.Column("snapshot", sa.LargeBinary, nullable=False),
        sa.Column("targets", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        *_keys("tuf_documents", "factory_id", "production", "tag"),
    )
    op.create_index("tuf_documents_end", "tuf_documents", ["production", "expires_at"], unique=False)
    op.create_table(
        "tuf_targets",
        _factory(),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("entry", TEXT, nullable=False),
        *_keys("tuf_targets", "factory_id", "tag", "name"),
    )


def _factory() -> sa.Column[int]:
    return sa.Column("factory_id", sa.BigInteger, nullable=False, autoincrement=False)


def _keys(table: str, *primary: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name=f"{table}_factory_id_fkey"),
        sa.PrimaryKeyConstraint(*primary, name=f"{table}_pkey"),
    )
