"""Passwords and sessions of people, OAuth clients with their tokens, devices that wait to be allowed.

Revision ID: 0007

Only new tables: a server of an earlier schema goes on beside one of this, and knows no token of these.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add six tables; every row stays."""
    _people()
    _clients()
    _devices()


def _people() -> None:
    op.create_table(
        "passwords",
        _text("polis_id"),
        _text("phc"),
        _number("set_at"),
        _reference("passwords", "polis_id", "users.polis_id"),
        sa.PrimaryKeyConstraint("polis_id", name="passwords_pkey"),
    )
    op.create_table(
        "sessions",
        _id(),
        _text("polis_id"),
        _bytes("secret_sha256"),
        _number("created_at"),
        _number("expires_at"),
        _reference("sessions", "polis_id", "users.polis_id"),
        sa.PrimaryKeyConstraint("id", name="sessions_pkey"),
    )
    op.create_index("sessions_secret", "sessions", ["secret_sha256"], unique=True)
    op.create_index("sessions_user", "sessions", ["polis_id"])
    op.create_index("sessions_end", "sessions", ["expires_at"])


def _clients() -> None:
    op.create_table(
        "oauth_clients",
        _id(),
        _text("client_id"),
        _bytes("secret_sha256"),
        _number("factory_id"),
        _text("polis_id"),
        _text("scopes"),
        _number("created_at"),
        sa.Column("expires_at", sa.BigInteger),
        _reference("oauth_clients", "factory_id", "factories.id"),
        _reference("oauth_clients", "polis_id", "users.polis_id"),
        sa.PrimaryKeyConstraint("id", name="oauth_clients_pkey"),
    )
    op.create_index("oauth_clients_name", "oauth_clients", ["client_id"], unique=True)
    op.create_index("oauth_clients_factory", "oauth_clients", ["factory_id", "polis_id"])
    op.create_table(
        "oauth_grants",
        _id(),
        _number("client"),
        _text("scopes"),
        _number("created_at"),
        _reference("oauth_grants", "client", "oauth_clients.id"),
        sa.PrimaryKeyConstraint("id", name="oauth_grants_pkey"),
    )
    op.create_index("oauth_grants_client", "oauth_grants", ["client"])
    op.create_table(
        "oauth_tokens",
        _id(),
        _number("grant_id"),
        _text("kind"),
        _bytes("token_sha256"),
        _number("expires_at"),
        _number("replaced_at"),
        _reference("oauth_tokens", "grant_id", "oauth_grants.id"),
        sa.PrimaryKeyConstraint("id", name="oauth_tokens_pkey"),
    )
    op.create_index("oauth_tokens_hash", "oauth_tokens", ["token_sha256"], unique=True)
    op.create_index("oauth_tokens_grant", "oauth_tokens", ["grant_id"])
    op.create_index("oauth_tokens_end", "oauth_tokens", ["expires_at"])


def _devices() -> None:
    op.create_table(
        "device_authorizations",
        _id(),
        _number("factory_id"),
        _text("uuid"),
        _bytes("code_sha256"),
        _text("user_code"),
        _text("peer"),
        _text("state"),
        _number("created_at"),
        _number("expires_at"),
        sa.Column("decided_by", TEXT),
        sa.Column("token_sha256", sa.LargeBinary),
        sa.Column("spki_sha256", sa.LargeBinary),
        _reference("device_authorizations", "factory_id", "factories.id"),
        _reference("device_authorizations", "decided_by", "users.polis_id"),
        sa.PrimaryKeyConstraint("id", name="device_authorizations_pkey"),
    )
    for name, columns in (("code", "code_sha256"), ("user_code", "user_code"), ("token", "token_sha256")):
        op.create_index(f"device_authorizations_{name}", "device_authorizations", [columns], unique=True)
    op.create_index("device_authorizations_peer", "device_authorizations", ["peer"])
    op.create_index("device_authorizations_factory", "device_authorizations", ["factory_id", "uuid"])
    op.create_index("device_authorizations_end", "device_authorizations", ["expires_at"])


def _id() -> sa.Column[int]:
    return sa.Column("id", ID, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"{table}_{column}_fkey")
