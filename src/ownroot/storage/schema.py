"""The tables, for SQLite and PostgreSQL alike.

Conventions:

* Times are Unix seconds. `last_seen` 0 = never, so that both databases sort it the same way without NULLs.
* Serials are decimal text: they have up to 160 bits.
* `scope` is a factory's id, or 0 for the operator's shared PKI.
* Text compares by bytes on both databases (collation "C" on PostgreSQL).
* Constraints have names of their own, since the names are part of what a migration must find again.

What is stored here changes by a migration only (`migrations/versions`); a test compares the two.
"""

from typing import Any, Final

import sqlalchemy as sa

from ownroot.storage.index_keys import IndexKey

SHARED_SCOPE: Final = 0

metadata: Final = sa.MetaData(
    naming_convention={"pk": "%(table_name)s_pkey", "fk": "%(table_name)s_%(column_0_name)s_fkey"}
)

_ID: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _id() -> sa.Column[int]:
    return sa.Column("id", _ID, primary_key=True)


def _number(name: str, **options: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, **options)


def _number_since(name: str) -> sa.Column[int]:
    """A number that came with a later schema: a server of the earlier one leaves it out and it is 0."""
    return _number(name, server_default="0")


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, **options)


def _optional_text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT)


def _bytes(name: str, **options: Any) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False, **options)


def _optional_bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(create_constraint=False), nullable=False)


def _factory_id(**options: Any) -> sa.Column[int]:
    options.setdefault("nullable", False)
    return sa.Column("factory_id", sa.BigInteger, sa.ForeignKey("factories.id"), **options)


def _user_id() -> sa.Column[str]:
    return sa.Column("polis_id", _TEXT, sa.ForeignKey("users.polis_id"), nullable=False)


def _table(name: str, *columns: Any) -> sa.Table:
    # Our statements are compiled once and run on the driver's cursor; nothing may be added to them.
    return sa.Table(name, metadata, *columns, implicit_returning=False)


heads = _table(
    "heads",  # one row: what every writing transaction reads once and writes once; its lock orders the writers
    _id(),
    _number("audit_size"),
    _bytes("audit_frontier"),
    _number("generation"),
    _number("trust_generation"),
    _number("forgotten_generation"),  # the change feed starts after this one
)

facts = _table("facts", _text("name", primary_key=True), _text("value"))

factories = _table(
    "factories",
    _id(),
    _text("name"),
    _text("gateway_name"),
    _flag("is_default"),
    _number("created_at"),
    sa.Index("factories_name", "name", unique=True),
    sa.Index(
        "factories_default",
        "is_default",
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    ),
)

gateway_names = _table("gateway_names", _text("name", primary_key=True), _factory_id())

device_counts = _table("device_counts", _factory_id(primary_key=True, autoincrement=False), _number("devices"))

users = _table(
    "users",
    _text("polis_id", primary_key=True),
    _text("name"),
    sa.Index("users_name", "name", unique=True),
)

members = _table(
    "members",
    _factory_id(primary_key=True, autoincrement=False),
    sa.Column("polis_id", _TEXT, sa.ForeignKey("users.polis_id"), primary_key=True),
    _text("role"),
    sa.Index("members_user", "polis_id"),
)

tokens = _table(
    "tokens",
    _id(),
    _factory_id(),
    _user_id(),
    _bytes("token_sha256"),
    _text("scopes"),
    _number("created_at"),
    sa.Column("expires_at", sa.BigInteger),
    sa.Index("tokens_hash", "token_sha256", unique=True),
)

passwords = _table(
    "passwords",
    sa.Column("polis_id", _TEXT, sa.ForeignKey("users.polis_id"), primary_key=True),
    _text("phc"),  # Argon2id with its parameters and salt, in the PHC string format
    _number("set_at"),
)

sessions = _table(
    "sessions",  # people signed in to the pages
    _id(),
    _user_id(),
    _bytes("secret_sha256"),
    _number("created_at"),
    _number("expires_at"),
    sa.Index("sessions_secret", "secret_sha256", unique=True),
    sa.Index("sessions_user", "polis_id"),
    sa.Index("sessions_end", "expires_at"),
)

oauth_clients = _table(
    "oauth_clients",
    _id(),
    _text("client_id"),
    _bytes("secret_sha256"),
    _factory_id(),
    _user_id(),
    _text("scopes"),
    _number("created_at"),
    sa.Column("expires_at", sa.BigInteger),
    sa.Index("oauth_clients_name", "client_id", unique=True),
    sa.Index("oauth_clients_factory", "factory_id", "polis_id"),
)

oauth_grants = _table(
    "oauth_grants",  # a login of a client, with all the tokens that follow from it
    _id(),
    sa.Column("client", sa.BigInteger, sa.ForeignKey("oauth_clients.id"), nullable=False),
    _text("scopes"),
    _number("created_at"),
    sa.Index("oauth_grants_client", "client"),
)

oauth_tokens = _table(
    "oauth_tokens",
    _id(),
    sa.Column("grant_id", sa.BigInteger, sa.ForeignKey("oauth_grants.id"), nullable=False),
    _text("kind"),
    _bytes("token_sha256"),
    _number("expires_at"),
    _number("replaced_at"),  # of a refresh token; 0 = it is in use
    sa.Column("scopes", _TEXT),  # of an access token; NULL = those of its grant
    sa.Index("oauth_tokens_hash", "token_sha256", unique=True),
    sa.Index("oauth_tokens_grant", "grant_id"),
    sa.Index("oauth_tokens_end", "expires_at"),
)

device_authorizations = _table(
    "device_authorizations",  # devices that ask to be registered, until somebody decides
    _id(),
    _factory_id(),
    _text("uuid"),
    _bytes("code_sha256"),
    _text("user_code"),
    _text("peer"),
    _text("state"),
    _number("created_at"),
    _number("expires_at"),
    sa.Column("decided_by", _TEXT, sa.ForeignKey("users.polis_id")),
    _optional_bytes("token_sha256"),
    _optional_bytes("spki_sha256"),  # the key that the token registers, once it has
    sa.Index("device_authorizations_code", "code_sha256", unique=True),
    sa.Index("device_authorizations_user_code", "user_code", unique=True),
    sa.Index("device_authorizations_token", "token_sha256", unique=True),
    sa.Index("device_authorizations_peer", "peer"),
    sa.Index("device_authorizations_factory", "factory_id", "uuid"),
    sa.Index("device_authorizations_end", "expires_at"),
)

pki_states = _table(
    "pki_states",
    sa.Column("scope", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("factory_name"),
    _optional_bytes("root_der"),
    _optional_bytes("gateway_tls_der"),
    _optional_bytes("est_tls_der"),
    _text("created_by"),
    _number("created_at"),
    _text("updated_by"),
    _number("updated_at"),
)


def _pki_scope() -> sa.Column[int]:
    return sa.Column("scope", sa.BigInteger, sa.ForeignKey("pki_states.scope"), primary_key=True, autoincrement=False)


device_cas = _table(
    "device_cas",
    _pki_scope(),
    _text("serial", primary_key=True),
    _number("position"),
    _bytes("certificate_der"),
    _text("holder"),
    _text("standing"),
    _optional_text("owner_id"),
    _text("uploaded_by"),
    _flag("signs"),
    _number_since("commanded_at"),  # 0 = never
)

revoked_serials = _table(
    "revoked_serials",
    _pki_scope(),
    _text("serial", primary_key=True),
    _optional_bytes("certificate_der"),  # NULL: revoked before certificates were kept
    _text("holder", server_default="local"),
    _number_since("revoked_at"),
    _number_since("commanded_at"),
)

applied_commands = _table(
    "applied_commands",  # signed commands of owners that must not be acted upon a second time
    _pki_scope(),
    _bytes("signed_part_sha256", primary_key=True),
    _number("usable_until"),
)

shared_tls = _table("shared_tls", _factory_id(primary_key=True, autoincrement=False), _bytes("certificate_der"))

sealed_keys = _table(
    "sealed_keys",
    _id(),
    _number("scope"),
    _bytes("spki_sha256"),
    _text("purpose"),
    _bytes("sealed"),
    _flag("pending"),
    _optional_text("kind"),  # kind, names and times are those of a pending key
    _optional_text("dns_names"),
    sa.Column("created_at", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    _optional_bytes("token_key_id"),  # the key lies on a token under this CKA_ID, and `sealed` says what it is
    sa.Index("sealed_keys_key", "spki_sha256", unique=True),
    sa.Index("sealed_keys_scope", "scope", "kind"),
    sa.Index("sealed_keys_token_key", "token_key_id", unique=True),
)

token_key_intents = _table(
    "token_key_intents",  # keys that are being made on a token: a sweep of it leaves them alone
    sa.Column("key_id", sa.LargeBinary, primary_key=True),
    _number("recorded_at"),
)

devices = _table(
    "devices",
    _id(),
    _factory_id(),
    _text("uuid"),
    _text("uuid_folded"),  # lower-case: finds the device and its case twins by one index
    _text("name"),
    _text("owner"),
    _optional_text("group_name"),  # never used; servers of an earlier schema write it (NULL)
    sa.Column("group_id", sa.BigInteger),  # no foreign key: SQLite adds none to a table that is there
    _bytes("spki_der"),
    _bytes("spki_sha256"),
    _optional_bytes("next_spki_sha256"),
    _flag("production"),
    _bytes("issuer_sha256"),
    _text("issuer_serial"),
    _number("created_at"),
    _number("last_seen"),
    _optional_text("tags"),
    _optional_text("target_name"),
    _optional_text("ostree_hash"),
    _optional_text("docker_apps"),
    _number_since("config_time"),
    _number_since("fetch_config_anew"),  # 0 or 1
    sa.Column("next_key_at", sa.BigInteger),
    sa.Column("not_after", sa.BigInteger),  # of the certificate; NULL = not known
    _number_since("seen_day"),  # day number of `last_seen`, in an index that need not follow every check-in
    _number_since("absence"),  # eighths of a day (`fleet.forecast`)
    _optional_text("network4"),  # where its key was used last, one of IPv4 and one of IPv6 (`fleet.networks`)
    _optional_text("network6"),
    _optional_text("returns"),  # Unix seconds by comma, a few at most (`fleet.clones`)
    sa.Column("suspected_at", sa.BigInteger),  # NULL = not under suspicion of being copied
    _optional_text("suspicion"),
    _optional_text("suspicion_detail"),
    sa.Column("quarantined_at", sa.BigInteger),
    sa.Column("released_at", sa.BigInteger),  # when its owner last ended a suspicion
    _number_since("cohort"),  # the row of device_cohorts; a trigger keeps it
    sa.Index("devices_uuid", "factory_id", "uuid_folded", unique=True),
    sa.Index("devices_name", "factory_id", "name", unique=True),
    sa.Index("devices_key", "factory_id", "spki_sha256", unique=True),
    sa.Index(
        "devices_next_key",
        "factory_id",
        "next_spki_sha256",
        unique=True,
        sqlite_where=sa.text("next_spki_sha256 IS NOT NULL"),
        postgresql_where=sa.text("next_spki_sha256 IS NOT NULL"),
    ),
    sa.Index("devices_ends", "factory_id", "issuer_serial", "not_after", "seen_day", "absence"),
    sa.Index(
        "devices_suspected",
        "factory_id",
        "name",
        sqlite_where=sa.text("suspected_at IS NOT NULL"),
        postgresql_where=sa.text("suspected_at IS NOT NULL"),
    ),
    sa.Index("devices_cohort", "cohort", "name", postgresql_include=["id"]),  # SQLite has it in every index
    # A device that was never seen is not in it, so it costs a registration nothing.
    sa.Index(
        "devices_seen",
        "factory_id",
        "last_seen",
        "name",
        "cohort",
        postgresql_include=["id"],
        sqlite_where=sa.text("last_seen > 0"),
        postgresql_where=sa.text("last_seen > 0"),
    ),
    # A device without a group is not in it, so it costs the registration of such a device nothing.
    sa.Index(
        "devices_group",
        "factory_id",
        "group_id",
        sqlite_where=sa.text("group_id IS NOT NULL"),
        postgresql_where=sa.text("group_id IS NOT NULL"),
    ),
)

device_cohorts = _table(
    "device_cohorts",  # devices alike in all that a listing may be narrowed to, counted by triggers on `devices`
    _id(),
    _factory_id(),
    _text("owner"),
    _number("group_id"),  # 0 = none
    _flag("production"),
    _text("issuer_serial"),
    _text("target_name"),  # this and the tags: empty = none
    _text("tags"),
    _flag("seen"),
    _flag("rotating"),
    _flag("suspected"),
    _number("devices"),
)
# Not unique, since writers take turns. What devices send of themselves is in it as a whole: a fleet whose devices send
# many different tags or targets would make every writer wait otherwise.
sa.Index(
    "device_cohorts_facets",
    *(device_cohorts.c[name] for name in ("factory_id", "target_name", "group_id", "issuer_serial", "owner")),
    IndexKey(device_cohorts.c.tags),
)

device_stretches = _table(
    "device_stretches",  # how many of a cohort have a name from this one up to where the next stretch begins
    _factory_id(primary_key=True, autoincrement=False),
    sa.Column("cohort", sa.BigInteger, primary_key=True, autoincrement=False),  # 0 = of all cohorts
    _text("first_name", primary_key=True),
    _number("devices"),
)

device_groups = _table(
    "device_groups",
    _id(),
    _factory_id(),
    _text("name"),
    _text("description"),
    _text("created_by"),
    _number("created_at"),
    _text("updated_by"),
    _number("updated_at"),
    sa.Index("device_groups_name", "factory_id", "name", unique=True),
)

denied_devices = _table(
    "denied_devices",
    _factory_id(primary_key=True, autoincrement=False),
    _text("uuid", primary_key=True),
    _text("name"),
    _text("owner"),
    _bytes("spki_sha256"),
    _number("denied_at"),
    _text("denied_by"),
)


def _of_device(**options: Any) -> sa.Column[int]:
    # The database deletes reports with their device, so a server of an earlier schema does too.
    return _number_of("device_id", "devices.id", **options)


def _number_of(name: str, target: str, **options: Any) -> sa.Column[int]:
    reference = sa.ForeignKey(target, ondelete="CASCADE")
    return sa.Column(name, sa.BigInteger, reference, nullable=False, **options)


device_documents = _table(
    "device_documents",  # the last of each kind that a device reported
    _of_device(primary_key=True, autoincrement=False),
    _text("kind", primary_key=True),
    _bytes("body"),
    _number("received_at"),
)

device_apps_states = _table(
    "device_apps_states",
    _id(),
    _of_device(),
    _bytes("body"),
    _number("received_at"),
    sa.Index("device_apps_states_device", "device_id", "id"),
)

device_updates = _table(
    "device_updates",  # groups of events
    _id(),
    _of_device(),
    _text("correlation_id"),
    _text("target_name"),
    _text("version"),
    _flag("is_ota"),
    _text("state"),
    _number("started_at"),
    _number("last_at"),
    sa.Index("device_updates_correlation", "device_id", "correlation_id", unique=True),
    sa.Index("device_updates_device", "device_id", "id"),
)

device_events = _table(
    "device_events",
    _id(),
    _of_device(),
    _number_of("update_id", "device_updates.id"),
    _text("event_id"),
    _bytes("body"),
    sa.Index("device_events_event", "device_id", "event_id", unique=True),
    sa.Index("device_events_update", "update_id", "id"),
)

device_tests = _table(
    "device_tests",
    _id(),
    _of_device(),
    _text("test_id"),
    _text("name"),
    _text("target_name"),
    _text("status"),
    _text("details"),
    _bytes("results"),
    _number("created_at"),
    sa.Column("completed_at", sa.BigInteger),
    sa.Index("device_tests_test", "device_id", "test_id", unique=True),
    sa.Index("device_tests_device", "device_id", "id"),
)

test_artifacts = _table(
    "test_artifacts",
    _number_of("test", "device_tests.id", primary_key=True, autoincrement=False),
    _text("name", primary_key=True),
    sa.Column("size_bytes", sa.BigInteger),  # NULL: announced, not here
    _optional_bytes("content"),
)

denied_keys = _table(
    "denied_keys",  # keys that live devices have replaced
    _factory_id(primary_key=True, autoincrement=False),
    _bytes("spki_sha256", primary_key=True),
    _text("uuid"),
    _number("denied_at"),
    _number("shown_at"),  # 0 = never since
)

recovery_policies = _table(
    "recovery_policies",  # factories whose expired devices may renew
    _factory_id(primary_key=True, autoincrement=False),
    _number("max_expired_days"),
    _text("set_by"),
    _number("set_at"),
)

clone_policies = _table(
    "clone_policies",  # what follows in a factory when a device's key seems to be copied
    _factory_id(primary_key=True, autoincrement=False),
    _flag("quarantines"),
    _text("set_by"),
    _number("set_at"),
)

restores = _table("restores", _id(), _number("backup_made_at"), _number("restored_at"))

held_devices = _table(
    "held_devices",  # what came after a restore with a certificate issued since the backup
    _factory_id(primary_key=True, autoincrement=False),
    _text("uuid", primary_key=True),
    _bytes("spki_sha256", primary_key=True),
    _bytes("certificate_der"),
    _text("issuer_serial"),
    _text("owner"),
    _number("first_at"),
    _number("last_at"),
    _number("refused_at"),  # 0 = waits for review
    sa.Index("held_devices_issuer", "factory_id", "issuer_serial"),
)

issuances = _table(
    "issuances",
    _id(),
    _factory_id(nullable=True),
    _bytes("issuer_sha256"),
    _text("serial"),
    _text("profile"),
    _text("subject_key"),
    _bytes("spki_sha256"),
    _bytes("request_sha256"),
    _text("actor"),
    _number("recorded_at"),
    _number("state"),  # 0 open, 1 with certificate, 2 voided
    _optional_bytes("certificate_der"),
    sa.Index("issuances_serial", "issuer_sha256", "serial", unique=True),
    sa.Index("issuances_subject", "subject_key", "factory_id"),
    # Only what is open is in it, so that recovery is quick after any number of certificates.
    sa.Index("issuances_open", "state", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0")),
    sa.Index(
        "issuances_voided", "issuer_sha256", sqlite_where=sa.text("state = 2"), postgresql_where=sa.text("state = 2")
    ),
)

refusals = _table(
    "refusals",
    _id(),
    _factory_id(),
    _text("code"),
    _text("subject"),
    _bytes("certificate_sha256"),  # empty = none was shown
    _text("detail"),
    _text("peer"),
    _number("count"),
    _number("first_at"),
    _number("last_at"),
    sa.Index("refusals_kind", "factory_id", "code", "subject", "certificate_sha256", unique=True),
    sa.Index("refusals_last", "factory_id", "code", "last_at"),
)

audit_events = _table(
    "audit_events",
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),  # leaf index of the Merkle tree
    _factory_id(nullable=True),
    _bytes("body"),
    sa.Index("audit_events_factory", "factory_id", "sequence"),
)

config_changes = _table(
    "config_changes",  # each row is a whole configuration, sealed; the newest of a scope is the one in force
    _factory_id(primary_key=True, autoincrement=False),
    _text("scope", primary_key=True),  # factory, group or device
    _text("scope_name", primary_key=True),  # empty, the group's id, or the device's uuid
    sa.Column("config_time", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("created_at"),
    _text("created_by"),
    _text("reason"),
    _bytes("files"),
    _number("applied_at"),  # 0 = not fetched by the device
)

config_clocks = _table("config_clocks", _factory_id(primary_key=True, autoincrement=False), _number("newest"))

changes = _table(
    "changes",
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("kind"),
    _factory_id(nullable=True),
    _optional_text("uuid"),
    _number_since("announced_at_us"),  # Unix time in microseconds, a moment before the commit; 0 = not known
)

tuf_repositories = _table(
    "tuf_repositories",
    _factory_id(primary_key=True, autoincrement=False),
    _number("ci_version"),  # the last one given to timestamp, snapshot and targets of test devices
    _number("production_version"),
)

tuf_roots = _table(
    "tuf_roots",
    _factory_id(primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("production", sa.Boolean(create_constraint=False), primary_key=True, autoincrement=False),
    _bytes("document"),
)

tuf_keys = _table(
    "tuf_keys",
    _factory_id(primary_key=True, autoincrement=False),
    _text("role", primary_key=True),
    sa.Column("staged", sa.Boolean(create_constraint=False), primary_key=True, autoincrement=False),
    _text("key_id"),
    _bytes("sealed"),
)

tuf_updates = _table(
    "tuf_updates",  # the change of the roots that is under way
    _factory_id(primary_key=True, autoincrement=False),
    _bytes("txid_sha256"),
    _text("initiator"),
    _flag("first_time"),
    _bytes("ci_root"),
    _optional_bytes("production_root"),
    _text("online_keys"),  # JSON: role -> key id
    _text("targets_signatures"),  # JSON: tag -> signatures
    _number("created_at"),
    _text("updated_by"),
    _number("updated_at"),
)

tuf_documents = _table(
    "tuf_documents",  # what devices of a tag fetch at present
    _factory_id(primary_key=True, autoincrement=False),
    sa.Column("production", sa.Boolean(create_constraint=False), primary_key=True, autoincrement=False),
    _text("tag", primary_key=True),
    _number("version"),
    _bytes("timestamp"),
    _bytes("snapshot"),
    _bytes("targets"),
    _number("expires_at"),
    sa.Index("tuf_documents_end", "production", "expires_at"),
)

tuf_targets = _table(
    "tuf_targets",
    _factory_id(primary_key=True, autoincrement=False),
    _text("tag", primary_key=True),
    _text("name", primary_key=True),
    _text("entry"),  # JSON
)
