"""The closed vocabulary of audit events, and the bytes that enter the log.

An event is written in the same transaction as the act it tells of. Its canonical bytes are what the log hashes, so they
must come out the same for ever: one JSON object, members sorted by name, no spaces, UTF-8, times as Unix seconds. A
change of this form is a new number under `v`, never another reading of an old entry.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from ownroot.errors import InvalidInputError

SERVER: Final = "server"
"""The actor of what the server does on its own."""

OPERATOR: Final = "operator"
"""The actor of what is done on the server's command line."""

_VERSION: Final = 1
_NO_DETAILS: Final[Mapping[str, str]] = {}
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class EventKind(StrEnum):
    """Everything the log can tell, as `area:what-happened`; a new act needs a new member here.

    The subject of an event is named in brackets.
    """

    FACTORY_CREATED = "factory:created"  # (factory name)
    USER_ADDED = "user:added"  # (polis-id)
    ROLE_SET = "user:role-set"  # (polis-id)
    MEMBER_REMOVED = "user:member-removed"  # (polis-id)
    PASSWORD_SET = "user:password-set"  # noqa: S105 (polis-id)
    TOKEN_CREATED = "token:created"  # noqa: S105 (polis-id it acts for)
    TOKEN_REVOKED = "token:revoked"  # noqa: S105 (polis-id it acted for)
    CLIENT_CREATED = "client:created"  # (client id)
    CLIENT_DELETED = "client:deleted"  # (client id)
    LOGIN_ACCEPTED = "login:accepted"  # (polis-id of a person, or client id)
    LOGIN_REFUSED = "login:refused"  # (what was claimed, or empty)
    REFRESH_REUSED = "login:refresh-reused"  # (client id; its login was ended)

    SERVER_RESTORED = "server:restored"  # (SHA-256 of the database in the backup, hex)

    SHARED_PKI_CREATED = "pki:shared-created"  # (serial of its root)
    PKI_KEYS_REQUESTED = "pki:keys-requested"  # (factory name)
    PKI_CHANGE_REFUSED = "pki:change-refused"  # (code of the rule)
    # One per certificate an accepted upload changed (trust.verdicts.TrustEventKind); (serial).
    PKI_ROOT_SET = "pki:root-set"
    PKI_GATEWAY_TLS_SET = "pki:gateway-tls-set"
    PKI_EST_TLS_SET = "pki:est-tls-set"
    PKI_ONLINE_CA_ADDED = "pki:online-ca-added"
    PKI_LOCAL_CA_ADDED = "pki:local-ca-added"
    PKI_ONLINE_CA_RETIRED = "pki:online-ca-retired"
    PKI_DEVICE_CA_DISABLED = "pki:device-ca-disabled"
    PKI_DEVICE_CA_ENABLED = "pki:device-ca-enabled"
    PKI_DEVICE_CA_REVOKED = "pki:device-ca-revoked"
    PKI_KEY_DESTROYED = "pki:key-destroyed"  # (SHA-256 of the public key, hex)

    CERTIFICATE_ISSUED = "certificate:issued"  # (serial)
    CERTIFICATE_VOIDED = "certificate:voided"  # (serial of an intent that never became a certificate)

    TUF_REPOSITORY_CREATED = "tuf:repository-created"  # (key id of the first root key)
    TUF_UPDATE_BEGUN = "tuf:update-begun"  # (version of the root to be)
    TUF_FIRST_KEY_HANDED_OUT = "tuf:first-key-handed-out"  # (key id)
    TUF_UPDATE_STAGED = "tuf:update-staged"  # (version of the root to be)
    TUF_ONLINE_KEYS_MADE = "tuf:online-keys-made"  # (version of the root to be)
    TUF_UPDATE_APPLIED = "tuf:update-applied"  # (version of the new root)
    TUF_UPDATE_CANCELLED = "tuf:update-cancelled"  # (version of the root that will not be)
    TUF_UPDATE_REFUSED = "tuf:update-refused"  # (what was tried)
    TUF_ROOT_RENEWED = "tuf:root-renewed"  # (version of the new root) by the server, with the first root key
    TUF_PRODUCTION_PUBLISHED = "tuf:production-published"  # (tag): targets for production devices
    TUF_TARGET_ADDED = "tuf:target-added"  # (name)
    TUF_TARGET_REMOVED = "tuf:target-removed"  # (name)

    DEVICE_GROUP_CREATED = "device-group:created"  # (name)
    DEVICE_GROUP_CHANGED = "device-group:changed"  # (name before)
    DEVICE_GROUP_DELETED = "device-group:deleted"  # (name)

    CONFIG_CHANGED = "config:changed"  # (name of the factory or group, or uuid)

    DEVICE_ALLOWED = "device:allowed"  # (uuid it claims; somebody let it register)
    DEVICE_DECLINED = "device:declined"  # (uuid it claims)
    DEVICE_TOKEN_ISSUED = "device:token-issued"  # noqa: S105 (uuid)
    DEVICE_REGISTERED = "device:registered"  # (uuid)
    DEVICE_ANNOUNCED = "device:announced"  # (uuid) by whoever signed its certificate
    DEVICE_IMPORTED = "device:imported"  # (uuid) its key pinned on the owner's word
    DEVICE_CHANGED = "device:changed"  # (uuid) name, owner or group
    DEVICE_REGISTRATION_REFUSED = "device:registration-refused"  # (uuid)
    DEVICE_FIRST_SEEN = "device:first-seen"  # (uuid)
    DEVICE_KEY_CHANGED = "device:key-changed"  # (uuid)
    DEVICE_KEY_ANNOUNCED = "device:key-announced"  # (uuid) the key it will come with next
    DEVICE_ROTATION_CANCELLED = "device:rotation-cancelled"  # (uuid) its next key forgotten, by the owner
    DEVICE_OLD_KEY_SHOWN = "device:old-key-shown"  # (uuid) a key it replaced came again; at most one each hour
    DEVICE_RENEWED = "device:renewed"  # (uuid) a certificate in place of another
    DEVICE_RENEWAL_REFUSED = "device:renewal-refused"  # (uuid)
    RECOVERY_POLICY_SET = "device:recovery-policy-set"  # (factory name)
    DEVICE_CLONE_SUSPECTED = "device:clone-suspected"  # (uuid) its key seems to be copied; once, until it is released
    DEVICE_QUARANTINED = "device:quarantined"  # (uuid) refused from now on, by policy or by hand
    DEVICE_RELEASED = "device:released"  # (uuid) its suspicion and quarantine ended
    CLONE_POLICY_SET = "device:clone-policy-set"  # (factory name)
    DEVICE_DELETED = "device:deleted"  # (uuid)
    DEVICE_DENIAL_LIFTED = "device:denial-lifted"  # (uuid)
    DEVICE_HELD = "device:held"  # (uuid)
    DEVICE_HOLD_ACCEPTED = "device:hold-accepted"  # (uuid)
    DEVICE_HOLD_REFUSED = "device:hold-refused"  # (uuid)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act, accepted or refused.

    Attributes:
        factory_id: None for what belongs to the whole server.
        at: aware UTC, whole seconds.
        actor: polis-id of the user, `device:<uuid>`, `SERVER` or `OPERATOR`.
        subject: what it was done to; see `EventKind`.
        details: flat. No key, token or password ever goes in here, nor a hash of one that could be guessed.
    """

    factory_id: int | None
    at: datetime
    actor: str
    kind: EventKind
    subject: str
    details: Mapping[str, str] = field(default_factory=lambda: _NO_DETAILS)


def device_actor(uuid: str) -> str:
    """Return the actor of what a device brought about by calling."""
    return f"device:{uuid}"


def canonical_bytes(event: AuditEvent) -> bytes:
    """Return the body of the log's leaf."""
    text = _ENCODER.encode(
        {
            "actor": event.actor,
            "at": int(event.at.timestamp()),
            "details": event.details if type(event.details) is dict else dict(event.details),
            "factory": event.factory_id,
            "kind": event.kind.value,
            "subject": event.subject,
            "v": _VERSION,
        }
    )
    # A lone surrogate from a hostile JSON body has no UTF-8 form; inside a JSON string its escape reads back the same.
    return text.encode("utf-8", "backslashreplace")


def parse_event(body: bytes) -> AuditEvent:
    """Read what `canonical_bytes` wrote.

    Raises:
        InvalidInputError: `audit-entry-malformed`.
    """
    try:
        members = json.loads(body)
        if members["v"] != _VERSION:
            raise InvalidInputError("audit-entry-malformed", "This entry was written by another version of the server.")
        return AuditEvent(
            factory_id=members["factory"],
            at=datetime.fromtimestamp(members["at"], UTC),
            actor=members["actor"],
            kind=EventKind(members["kind"]),
            subject=members["subject"],
            details=members["details"],
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise InvalidInputError("audit-entry-malformed", "This is not an entry of the audit log.") from exc
