"""What devices report about themselves: documents, apps, events, tests with their artifacts.

Revision ID: 0009

Only new tables, and the database deletes their rows with the device: a server of an earlier schema goes on beside one
of this, and leaves nothing behind when it deletes a device.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add six tables; every row stays."""
    _documents()
    _updates()
    _tests()


def _documents() -> None:
    op.create_table(
        "device_documents",
        _number("device_id"),
        _text("kind"),
        _bytes("body"),
        _number("received_at"),
        _owned("device_documents", "device_id", "devices.id"),
        sa.PrimaryKeyConstraint("device_id", "kind", name="device_documents_pkey"),
    )
    op.create_table(
        "device_apps_states",
        _id(),
        _number("device_id"),
        _bytes("body"),
        _number("received_at"),
        _owned("device_apps_states", "device_id", "devices.id"),
        sa.PrimaryKeyConstraint("id", name="device_apps_states_pkey"),
    )
    op.create_index("device_apps_states_device", "device_apps_states", ["device_id", "id"])


def _updates() -> None:
    op.create_table(
        "device_updates",
        _id(),
        _number("device_id"),
        *(_text(name) for name in ("correlation_id", "target_name", "version")),
        sa.Column("is_ota", sa.Boolean(create_constraint=False), nullable=False),
        _text("state"),
        _number("started_at"),
        _number("last_at"),
        _owned("device_updates", "device_id", "devices.id"),
        sa.PrimaryKeyConstraint("id", name="device_updates_pkey"),
    )
    op.create_index("device_updates_correlation", "device_updates", ["device_id", "correlation_id"], unique=True)
    op.create_index("device_updates_device", "device_updates", ["device_id", "id"])
    op.create_table(
        "device_events",
        _id(),
        _number("device_id"),
        _number("update_id"),
        _text("event_id"),
        _bytes("body"),
        _owned("device_events", "device_id", "devices.id"),
        _owned("device_events", "update_id", "device_updates.id"),
        sa.PrimaryKeyConstraint("id", name="device_events_pkey"),
    )
    op.create_index("device_events_event", "device_events", ["device_id", "event_id"], unique=True)
    op.create_index("device_events_update", "device_events", ["update_id", "id"])


def _tests() -> None:
    op.create_table(
        "device_tests",
        _id(),
        _number("device_id"),
        *(_text(name) for name in ("test_id", "name", "target_name", "status", "details")),
        _bytes("results"),
        _number("created_at"),
        sa.Column("completed_at", sa.BigInteger),
        _owned("device_tests", "device_id", "devices.id"),
        sa.PrimaryKeyConstraint("id", name="device_tests_pkey"),
    )
    op.create_index("device_tests_test", "device_tests", ["device_id", "test_id"], unique=True)
    op.create_index("device_tests_device", "device_tests", ["device_id", "id"])
    op.create_table(
        "test_artifacts",
        _number("test"),
        _text("name"),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("content", sa.LargeBinary),
        _owned("test_artifacts", "test", "device_tests.id"),
        sa.PrimaryKeyConstraint("test", "name", name="test_artifacts_pkey"),
    )


def _id() -> sa.Column[int]:
    return sa.Column("id", ID, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _owned(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"{table}_{column}_fkey", ondelete="CASCADE")
