"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make every table, and the one row of `heads`."""
    op.create_table(
        "factories",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("gateway_name", TEXT, nullable=False),
        sa.Column("is_default", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="factories_pkey"),
    )
    op.create_index(
        "factories_default",
        "factories",
        ["is_default"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.create_index("factories_name", "factories", ["name"], unique=True)
    op.create_table(
        "facts",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="facts_pkey"),
    )
    op.create_table(
        "heads",
        sa.Column("id", ID, nullable=False),
        sa.Column("audit_size", sa.BigInteger, nullable=False),
        sa.Column("audit_frontier", sa.LargeBinary, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("trust_generation", sa.BigInteger, nullable=False),
        sa.Column("forgotten_generation", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="heads_pkey"),
    )
    op.create_table(
        "pki_states",
        sa.Column("scope", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("factory_name", TEXT, nullable=False),
        sa.Column("root_der", sa.LargeBinary, nullable=True),
        sa.Column("gateway_tls_der", sa.LargeBinary, nullable=True),
        sa.Column("est_tls_der", sa.LargeBinary, nullable=True),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_by", TEXT, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pki_states_pkey"),
    )
    op.create_table(
        "sealed_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("scope", sa.BigInteger, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("kind", TEXT, nullable=True),
        sa.Column("dns_names", TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=True),
        sa.Column("expires_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="sealed_keys_pkey"),
    )
    op.create_index("sealed_keys_key", "sealed_keys", ["spki_sha256"], unique=True)
    op.create_index("sealed_keys_scope", "sealed_keys", ["scope", "kind"], unique=False)
    op.create_table(
        "users",
        sa.Column("polis_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("polis_id", name="users_pkey"),
    )
    op.create_index("users_name", "users", ["name"], unique=True)
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="audit_events_factory_id_fkey"),
        sa.PrimaryKeyConstraint("sequence", name="audit_events_pkey"),
    )
    op.create_index("audit_events_factory", "audit_events", ["factory_id", "sequence"], unique=False)
    op.create_table(
        "changes",
        sa.Column("generation", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=True),
        sa.Column("uuid", TEXT, nullable=True),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="changes_factory_id_fkey"),
        sa.PrimaryKeyConstraint("generation", name="changes_pkey"),
    )
    op.create_table(
        "denied_devices",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("uuid", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary, nullable=False),
        sa.Column("denied_at", sa.BigInteger, nullable=False),
        sa.Column("denied_by", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="denied_devices_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", "uuid", name="denied_devices_pkey"),
    )
    op.create_table(
        "device_cas",
        sa.Column("scope", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("serial", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("certificate_der", sa.LargeBinary, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("standing", TEXT, nullable=False),
        sa.Column("owner_id", TEXT, nullable=True),
        sa.Column("uploaded_by", TEXT, nullable=False),
        sa.Column("signs", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["scope"], ["pki_states.scope"], name="device_cas_scope_fkey"),
        sa.PrimaryKeyConstraint("scope", "serial", name="device_cas_pkey"),
    )
    op.create_table(
        "device_counts",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("devices", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="device_counts_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", name="device_counts_pkey"),
    )
    op.create_table(
        "devices",
        sa.Column("id", ID, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=False),
        sa.Column("uuid", TEXT, nullable=False),
        sa.Column("uuid_folded", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("group_name", TEXT, nullable=True),
        sa.Column("spki_der", sa.LargeBinary, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary, nullable=False),
        sa.Column("next_spki_sha256", sa.LargeBinary, nullable=True),
        sa.Column("production", sa.Boolean, nullable=False),
        sa.Column("issuer_sha256", sa.LargeBinary, nullable=False),
        sa.Column("issuer_serial", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("tags", TEXT, nullable=True),
        sa.Column("target_name", TEXT, nullable=True),
        sa.Column("ostree_hash", TEXT, nullable=True),
        sa.Column("docker_apps", TEXT, nullable=True),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="devices_factory_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="devices_pkey"),
    )
    op.create_index("devices_key", "devices", ["factory_id", "spki_sha256"], unique=True)
    op.create_index("devices_last_seen", "devices", ["factory_id", "last_seen", "name"], unique=False)
    op.create_index("devices_name", "devices", ["factory_id", "name"], unique=True)
    op.create_index("devices_owner", "devices", ["factory_id", "owner", "name"], unique=False)
    op.create_index("devices_uuid", "devices", ["factory_id", "uuid_folded"], unique=True)
    op.create_table(
        "gateway_names",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="gateway_names_factory_id_fkey"),
        sa.PrimaryKeyConstraint("name", name="gateway_names_pkey"),
    )
    op.create_table(
        "issuances",
        sa.Column("id", ID, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=True),
        sa.Column("issuer_sha256", sa.LargeBinary, nullable=False),
        sa.Column("serial", TEXT, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.Column("subject_key", TEXT, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary, nullable=False),
        sa.Column("request_sha256", sa.LargeBinary, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.BigInteger, nullable=False),
        sa.Column("certificate_der", sa.LargeBinary, nullable=True),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="issuances_factory_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="issuances_pkey"),
    )
    op.create_index(
        "issuances_open",
        "issuances",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    )
    op.create_index("issuances_serial", "issuances", ["issuer_sha256", "serial"], unique=True)
    op.create_index("issuances_subject", "issuances", ["subject_key", "factory_id"], unique=False)
    op.create_table(
        "members",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("polis_id", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="members_factory_id_fkey"),
        sa.ForeignKeyConstraint(["polis_id"], ["users.polis_id"], name="members_polis_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", "polis_id", name="members_pkey"),
    )
    op.create_index("members_user", "members", ["polis_id"], unique=False)
    op.create_table(
        "refusals",
        sa.Column("id", ID, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("certificate_sha256", sa.LargeBinary, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="refusals_factory_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="refusals_pkey"),
    )
    op.create_index("refusals_kind", "refusals", ["factory_id", "code", "subject", "certificate_sha256"], unique=True)
    op.create_index("refusals_last", "refusals", ["factory_id", "code", "last_at"], unique=False)
    op.create_table(
        "revoked_serials",
        sa.Column("scope", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("serial", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["scope"], ["pki_states.scope"], name="revoked_serials_scope_fkey"),
        sa.PrimaryKeyConstraint("scope", "serial", name="revoked_serials_pkey"),
    )
    op.create_table(
        "shared_tls",
        sa.Column("factory_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("certificate_der", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="shared_tls_factory_id_fkey"),
        sa.PrimaryKeyConstraint("factory_id", name="shared_tls_pkey"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("factory_id", sa.BigInteger, nullable=False),
        sa.Column("polis_id", TEXT, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=True),
        sa.ForeignKeyConstraint(["factory_id"], ["factories.id"], name="tokens_factory_id_fkey"),
        sa.ForeignKeyConstraint(["polis_id"], ["users.polis_id"], name="tokens_polis_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="tokens_pkey"),
    )
    op.create_index("tokens_hash", "tokens", ["token_sha256"], unique=True)
    op.execute(
        sa.text(
            "INSERT INTO heads (id, audit_size, audit_frontier, generation, trust_generation, forgotten_generation) "
            "VALUES (1, 0, :frontier, 0, 0, 0)"
        ).bindparams(sa.bindparam("frontier", b"", sa.LargeBinary))
    )
