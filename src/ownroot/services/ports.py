"""What services need from outside: a transactional store, nothing more.

Rules every implementation keeps:

* `Database.write` runs its work inside one transaction that may carry other callers' work too (group commit). An
  exception undoes the work that raised it alone. The future is done only after COMMIT returned; when the commit itself
  fails every member gets `UnavailableError`.
* A work is called at most twice: when one of its transaction fails, all of them are rolled back and run again. So it is
  a function of its unit of work and of values that do not change, and what it does elsewhere it can do twice. Only the
  outcome of the last call counts.
* Writing transactions follow one another, across processes too: what a work has read inside its own transaction cannot
  have changed when it commits.
* Unique constraints decide races. A repository turns their violation into `ConflictError` with the code named there.
* Times are aware UTC in whole seconds.
* A work may use its unit of work until it returns, on the thread that called it, and keeps nothing of it.
* Only errors of ours leave: a fault of the store is `UnavailableError` (`database-unavailable`, `database-full`,
  `database-closed`), text or numbers it cannot hold are `InvalidInputError` `value-not-storable`, a reference to
  something that is not there is `ConflictError` `reference-missing`. What a work raises itself passes through.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, TypeVar

from ownroot.audit.events import AuditEvent
from ownroot.audit.merkle import Frontier
from ownroot.pki.names import DeviceUuid, FactoryName
from ownroot.services.login_ports import DeviceAuthorizations, Logins, OAuth
from ownroot.services.scopes import Role as Role  # noqa: PLC0414  (part of what this module offers)
from ownroot.services.scopes import Scope as Scope  # noqa: PLC0414
from ownroot.trust.possession import PendingKey
from ownroot.trust.restores import RestoreWindow
from ownroot.trust.state import FactoryPki

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Factory:
    """A tenant. `gateway_name` is lower-case and never changes."""

    id: int
    name: FactoryName
    gateway_name: str
    is_default: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person or machine account; `polis_id` is 24 hex digits."""

    polis_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A user's role in one factory."""

    user: User
    role: Role


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret; `expires_at` None means it has no end."""

    id: int
    factory_id: int
    polis_id: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None


class SealedKeyPurpose(StrEnum):
    """Which sub-key of the key-encryption key seals a private key; a gateway can open the TLS ones only."""

    CA = "ca"
    GATEWAY_TLS = "gateway-tls"


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A private key of the backend, sealed at rest (`keystore.sealing`).

    `token_key_id`: the key lies on a token under this id, and what is sealed is a description of it.
    """

    spki_sha256: bytes
    purpose: SealedKeyPurpose
    sealed: bytes
    token_key_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class GroupRef:
    """The device group a device is in; `name` is as of the reading transaction, since groups are renamed."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class DeviceGroup:
    """A named part of a factory's devices. Users are named by their polis-id."""

    id: int
    factory_id: int
    name: str
    description: str
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime

    @property
    def ref(self) -> GroupRef:
        return GroupRef(self.id, self.name)


@dataclass(frozen=True, slots=True)
class DevicePin:
    """A known device and the keys it may come with."""

    uuid: DeviceUuid
    spki_sha256: bytes
    next_spki_sha256: bytes | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device known to a factory. The public key is pinned: `spki_der` is what must be presented."""

    factory_id: int
    uuid: DeviceUuid
    name: str
    owner: str
    spki_der: bytes
    spki_sha256: bytes
    production: bool
    issuer_sha256: bytes  # SHA-256 of the device CA certificate that signed the last accepted certificate
    issuer_serial: int
    created_at: datetime
    next_spki_sha256: bytes | None = None
    group: GroupRef | None = None
    last_seen: datetime | None = None
    tags: str | None = None
    target_name: str | None = None
    ostree_hash: str | None = None
    docker_apps: str | None = None


@dataclass(frozen=True, slots=True)
class DeniedDevice:
    """A deleted device: its uuid stays refused until it is registered again through the API."""

    factory_id: int
    uuid: DeviceUuid
    name: str
    owner: str
    spki_sha256: bytes
    denied_at: datetime
    denied_by: str


@dataclass(frozen=True, slots=True)
class HeldDevice:
    """A device kept outside after a restore: its certificate was issued since the backup (`trust.restores`).

    Attributes:
        spki_sha256: its key. A uuid may be held with a few of them.
        certificate_der: what it showed when this was stored; a device CA of the factory signed it.
        owner: who would own it, by its CA.
        refused_at: when the owner refused this key for good; None while it waits for review.
    """

    factory_id: int
    uuid: DeviceUuid
    spki_sha256: bytes
    certificate_der: bytes
    issuer_serial: int
    owner: str
    first_at: datetime
    last_at: datetime
    refused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """Which held devices; None = any."""

    uuid: str | None = None
    issuer_serial: int | None = None


@dataclass(frozen=True, slots=True)
class CheckIn:
    """One coalesced visit of a device. None = the header was absent: keep what is stored."""

    factory_id: int
    uuid: DeviceUuid
    seen_at: datetime
    tags: str | None = None
    target_name: str | None = None
    ostree_hash: str | None = None
    docker_apps: str | None = None


class DeviceSort(StrEnum):
    """Orders of a device listing."""

    OWNER_NAME = "owner,name"
    NAME = "name"
    NAME_DESC = "-name"
    LAST_SEEN = "last_seen"
    LAST_SEEN_DESC = "-last_seen"


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Conditions of a device listing; None = any. `name_pattern` is shell-style (`*`, `?`).

    `issuer_serial`: the device CA that signed the certificate accepted last.
    """

    name_pattern: str | None = None
    uuid: str | None = None
    group: str | None = None
    owner: str | None = None
    tag: str | None = None
    target_name: str | None = None
    production: bool | None = None
    issuer_serial: int | None = None


@dataclass(frozen=True, slots=True)
class IssuanceIntent:
    """What is committed before a key is used (promise P1). `factory_id` None = a certificate of the shared PKI."""

    factory_id: int | None
    issuer_sha256: bytes
    serial: int
    profile: str
    subject_key: str  # the device uuid, or the gateway name of a TLS certificate
    spki_sha256: bytes
    request_sha256: bytes
    actor: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Issuance:
    """An entry of the issuance log; `certificate_der` is None until it was signed and recorded."""

    id: int
    intent: IssuanceIntent
    certificate_der: bytes | None
    voided: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal at the gateway, merged over repeats."""

    factory_id: int
    code: str
    detail: str
    subject: str  # the device uuid claimed, or "" where none could be read; whatever a stranger put there
    certificate_sha256: bytes | None
    peer: str
    count: int
    first_at: datetime
    last_at: datetime


class ChangeKind(StrEnum):
    """What moved, for processes that hold a snapshot."""

    TRUST = "trust"  # the factory's PKI, its TLS certificate or a CA's standing
    DEVICE = "device"  # one device's standing or pinned key
    FACTORY = "factory"  # a factory was made


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change feed. Generations are given in commit order and never repeat.

    `announced_at` is the Unix time a moment before the commit, for measuring how fast a change is acted upon.
    """

    generation: int
    kind: ChangeKind
    factory_id: int | None  # None = the shared PKI, so every factory that lives on it
    uuid: DeviceUuid | None
    announced_at: float = field(default=0.0, compare=False)


class Facts(Protocol):
    """Settings fixed once for the life of a data directory, such as the gateway base name."""

    def get(self, name: str) -> str | None: ...
    def put_once(self, name: str, value: str) -> str:
        """Store unless the name is taken; returns what is stored now."""
        ...

    def forget(self, name: str) -> None:
        """For a copy of a data directory that becomes a server of its own; no error if there is none."""
        ...


class Factories(Protocol):
    def add(self, name: FactoryName, *, gateway_name: str, is_default: bool, now: datetime) -> Factory:
        """Raises ConflictError `factory-exists`, `gateway-name-taken` (also against any `ostree.` name) or
        `default-factory-exists`.
        """
        ...

    def find(self, name: str) -> Factory | None: ...
    def list(self) -> Sequence[Factory]: ...


class Accounts(Protocol):
    def add_user(self, user: User) -> None:
        """Raises ConflictError `user-exists` or `user-name-taken`."""
        ...

    def find_user(self, polis_id: str) -> User | None: ...
    def find_user_by_name(self, name: str) -> User | None: ...
    def set_role(self, factory_id: int, polis_id: str, role: Role) -> None: ...
    def list_users(self) -> Sequence[User]: ...
    def remove_member(self, factory_id: int, polis_id: str) -> None:
        """Take a user's role in a factory, and with it their API tokens there; no error if there is none."""
        ...

    def members(self, factory_id: int) -> Sequence[Member]: ...
    def find_member(self, factory_id: int, polis_id: str) -> Member | None: ...
    def memberships(self, polis_id: str) -> Sequence[tuple[Factory, Role]]: ...
    def add_token(  # noqa: PLR0913  (a token's columns)
        self,
        factory_id: int,
        polis_id: str,
        *,
        token_sha256: bytes,
        scopes: frozenset[Scope],
        expires_at: datetime | None,
        now: datetime,
    ) -> Token:
        """Raises ConflictError `token-exists`."""
        ...

    def find_token(self, token_sha256: bytes) -> Token | None: ...
    def list_tokens(self, factory_id: int) -> Sequence[Token]: ...
    def delete_token(self, factory_id: int, token_id: int) -> bool:
        """Returns whether there was one."""
        ...


class PkiStates(Protocol):
    """Trust state of factories. `factory_id` None is the operator's shared PKI."""

    def load(self, factory_id: int | None) -> FactoryPki:
        """The state a factory has of its own; without a root it has not been taken over.

        The shared PKI is called what it was saved as; before that its state is empty, its name too.
        """
        ...

    def save(self, factory_id: int | None, pki: FactoryPki, *, by: str, now: datetime) -> None:
        """Replace the state; the caller decided it under this same transaction."""
        ...

    def change_meta(self, factory_id: int) -> tuple[str, str, str, str]:
        """created-by, created-at, updated-by, updated-at (RFC 3339); empty strings before the first change."""
        ...

    def shared_tls(self, factory_id: int) -> bytes | None:
        """DER of the shared PKI's TLS certificate for this factory's gateway name."""
        ...

    def set_shared_tls(self, factory_id: int, certificate_der: bytes) -> None: ...


class BackendKeys(Protocol):
    """Sealed private keys of the backend: active ones and pending ones."""

    def add_pending(self, factory_id: int, pending: PendingKey, key: SealedKey) -> None:
        """Keeps the newest few per kind and drops the rest and what expired a day ago."""
        ...

    def pending(self, factory_id: int, *, now: datetime) -> Sequence[PendingKey]:
        """Live ones, and those that expired less than a day ago; `PendingKey.is_live` tells them apart."""
        ...

    def activate(self, factory_id: int, spki_sha256: bytes) -> None:
        """Turn a pending key into an active one; no change for one that is active.

        Raises NotFoundError `key-unknown`.
        """
        ...

    def drop_expired(self, *, now: datetime) -> int:
        """Forget pending keys of every factory that expired a day ago; returns how many there were."""
        ...

    def add_active(self, factory_id: int | None, key: SealedKey) -> None: ...
    def find(self, spki_sha256: bytes) -> SealedKey | None: ...
    def destroy(self, spki_sha256: bytes) -> None:
        """Forget a key; no error if there is none."""
        ...


class TokenKeyRecords(Protocol):
    """Which keys on a token this store knows. What is not `named` here may be destroyed there."""

    def intend(self, key_id: bytes, *, now: datetime) -> None:
        """Name a key that is about to be made."""
        ...

    def settle(self, key_id: bytes) -> None:
        """End the intent, in the work that stores the key, or gives it up. Raises ConflictError `token-key-voided`."""
        ...

    def void(self, *, before: datetime | None) -> int:
        """Give up intents recorded earlier than this, None: all of them; returns how many there were."""
        ...

    def named(self) -> frozenset[bytes]:
        """Ids of the keys of `BackendKeys` that lie on a token, and of those intended."""
        ...

    def newest_active(self) -> bytes | None:
        """The id of the key on a token that was taken into use last."""
        ...


class Devices(Protocol):
    def add(self, device: Device) -> None:
        """Raises ConflictError `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`.

        Looked for in this order, so a repeated registration hears of its uuid first.
        """
        ...

    def find(self, factory_id: int, uuid: str) -> Device | None: ...
    def find_by_name(self, factory_id: int, name: str) -> Device | None: ...
    def has_case_twin(self, factory_id: int, uuid: str) -> bool:
        """Is another uuid known that differs only in letter case?"""
        ...

    def replace_key(self, device: Device) -> None:
        """Store key, next key, issuer and production flag of `device`; everything else of the row stays.

        Raises NotFoundError `device-unknown`, ConflictError `device-key-taken`.
        """
        ...

    def describe(self, device: Device) -> None:
        """Store name, owner and group of `device`; everything else of the row stays.

        Raises NotFoundError `device-unknown`, ConflictError `device-name-taken`.
        """
        ...

    def delete(self, factory_id: int, uuid: str) -> None:
        """Forget a device; no error if there is none. To keep it out, `deny` it in the same work."""
        ...

    def deny(self, denied: DeniedDevice) -> None:
        """Put a uuid on the deny list, or renew its entry."""
        ...

    def find_denied(self, factory_id: int, uuid: str) -> DeniedDevice | None: ...
    def lift_denial(self, factory_id: int, uuid: str) -> None: ...
    def list_denied(self, factory_id: int, *, limit: int, page: int) -> tuple[Sequence[DeniedDevice], int]: ...
    def page(
        self, factory_id: int, where: DeviceFilter, *, sort: Sequence[DeviceSort], limit: int, page: int
    ) -> tuple[Sequence[Device], int]:
        """One page (1-based) and the total number of matches."""
        ...

    def count(self, factory_id: int) -> int:
        """Number of devices, without counting them."""
        ...

    def pins(self, factory_id: int, *, after: str, limit: int) -> Sequence[DevicePin]:
        """The keys of the next devices by lower-case uuid; `after`: the last one seen, empty at first."""
        ...

    def denied_uuids(self, factory_id: int, *, after: str, limit: int) -> Sequence[DeviceUuid]:
        """The next uuids of the deny list, in their order; `after`: the last one seen, empty at first."""
        ...

    def record_check_ins(self, visits: Iterable[CheckIn]) -> None:
        """Store visits; an older one than is stored, or one of a device that is gone, changes nothing."""
        ...


class DeviceGroups(Protocol):
    """Group names are unique in a factory; a device keeps its group by id, so a rename touches no device."""

    def add(self, factory_id: int, name: str, *, description: str, by: str, now: datetime) -> DeviceGroup:
        """Raises ConflictError `device-group-exists`."""
        ...

    def find(self, factory_id: int, name: str) -> DeviceGroup | None: ...
    def list(self, factory_id: int) -> Sequence[DeviceGroup]:
        """All groups of a factory, by name."""
        ...

    def save(self, group: DeviceGroup) -> None:
        """Store name, description and the marks of the update. Raises ConflictError `device-group-exists`."""
        ...

    def delete(self, group: DeviceGroup) -> None:
        """Raises ConflictError `device-group-in-use`: a device is in it."""
        ...


class Restores(Protocol):
    def add(self, window: RestoreWindow) -> None:
        """Remember a restore for as long as the database lives, backups of it included."""
        ...

    def list(self) -> Sequence[RestoreWindow]:
        """All of them, oldest first; empty for a database that was never restored."""
        ...


class HeldDevices(Protocol):
    """Devices held for review, and keys refused after one."""

    def put(self, held: HeldDevice) -> bool:
        """Store the entry of this uuid and key, or put it in place of the one there is, whose `first_at` stays.

        Returns: False if it is new and there is no room: of one uuid 8 keys wait, of one device CA a bounded number.
        First come stays, so that whoever fills the list of a CA pushes nobody out.
        """
        ...

    def of_uuid(self, factory_id: int, uuid: str) -> Sequence[HeldDevice]:
        """Every entry of a uuid, refused ones included, oldest first."""
        ...

    def remove(self, factory_id: int, uuid: str, spki_sha256: bytes) -> None:
        """Forget one entry; no error if there is none."""
        ...

    def release(self, factory_id: int, uuid: str) -> None:
        """Forget what waits under a uuid; keys that were refused stay refused."""
        ...

    def page(self, factory_id: int, where: HeldFilter, *, limit: int, page: int) -> tuple[Sequence[HeldDevice], int]:
        """One page (1-based) of what waits for review, by uuid, and how much there is on all of them."""
        ...

    def count(self) -> int:
        """How much waits for review, in all factories."""
        ...


class IssuanceLog(Protocol):
    def record_intent(self, intent: IssuanceIntent) -> int:
        """Returns the entry's id. Raises ConflictError `serial-repeated`."""
        ...

    def record_certificate(self, issuance_id: int, certificate_der: bytes) -> None:
        """Raises ConflictError `issuance-voided` or `issuance-recorded`, NotFoundError `issuance-unknown`."""
        ...

    def void(self, issuance_id: int) -> None:
        """Mark an open entry as one that will never be a certificate; any other stays as it is."""
        ...

    def open_intents(self) -> Sequence[Issuance]:
        """Entries with neither certificate nor void mark: what a crash left behind."""
        ...

    def history(self, factory_id: int | None, subject_key: str, spki_sha256: bytes) -> Sequence[Issuance]:
        """Entries for this subject and key, newest first: the open ones, and the newest 20 with a certificate."""
        ...

    def count(self, issuer_sha256: bytes) -> int:
        """Number of certificates of one issuer; reads no certificate, and no row of another issuer."""
        ...


class Refusals(Protocol):
    def record(self, refusals: Iterable[Refusal]) -> None:
        """Merge by (factory, code, subject, certificate) and keep at most a bounded number per factory.

        Beyond the bound the oldest of the most frequent code goes first, so that a flood of one kind leaves the rest.
        """
        ...

    def list(self, factory_id: int, *, uuid: str | None = None, limit: int = 100) -> Sequence[Refusal]: ...


class AuditLog(Protocol):
    def append(self, event: AuditEvent) -> None:
        """Chain one event; it becomes durable with the transaction that carries it."""
        ...

    def list(self, factory_id: int | None, *, limit: int = 100) -> Sequence[AuditEvent]:
        """The newest events of a factory, or of the server itself, newest first."""
        ...

    def bodies(self) -> Iterable[bytes]:
        """Canonical bytes of every event of the log, oldest first; consume it inside the same work."""
        ...

    def head(self) -> Frontier:
        """Size and subtree hashes of the whole log, this transaction's events included."""
        ...


class ChangeFeed(Protocol):
    def announce(self, kind: ChangeKind, factory_id: int | None, uuid: DeviceUuid | None = None) -> int:
        """Tell every process; `factory_id` None = the shared PKI. Returns the generation."""
        ...

    def generation(self) -> int:
        """The newest generation; 0 before the first change."""
        ...

    def trust_generation(self) -> int:
        """The newest generation of kind TRUST or FACTORY; cheap enough to ask each time."""
        ...

    def since(self, generation: int) -> Sequence[Change] | None:
        """What came after, oldest first. None: too much is forgotten, reload everything."""
        ...


class UnitOfWork(Protocol):
    """One transaction's view of everything."""

    @property
    def facts(self) -> Facts: ...
    @property
    def factories(self) -> Factories: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def logins(self) -> Logins: ...
    @property
    def oauth(self) -> OAuth: ...
    @property
    def device_authorizations(self) -> DeviceAuthorizations: ...
    @property
    def pki(self) -> PkiStates: ...
    @property
    def keys(self) -> BackendKeys: ...
    @property
    def token_keys(self) -> TokenKeyRecords: ...
    @property
    def devices(self) -> Devices: ...
    @property
    def groups(self) -> DeviceGroups: ...
    @property
    def restores(self) -> Restores: ...
    @property
    def held_devices(self) -> HeldDevices: ...
    @property
    def issuances(self) -> IssuanceLog: ...
    @property
    def refusals(self) -> Refusals: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def changes(self) -> ChangeFeed: ...


Work: TypeAlias = Callable[[UnitOfWork], T]

# Ticket, result, error: the outcome of one submitted work. With an error the result is None.
Outcome: TypeAlias = tuple[Any, Any, BaseException | None]


class Inbox(Protocol):
    """Where outcomes go. Equal (and equally hashed) inboxes get the outcomes of one commit in one delivery."""

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Called on the writer's thread after the commit. Hands over at once and raises nothing."""
        ...


class Database(Protocol):
    def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run in one read transaction on the calling thread. Raises UnavailableError `database-unavailable`."""
        ...

    def write(self, work: Callable[[UnitOfWork], T]) -> "Future[T]":
        """Queue for the next group commit; see the module's rules."""
        ...

    def submit(self, work: Callable[[UnitOfWork], Any], inbox: Inbox, ticket: object) -> None:
        """Queue as `write` does; the outcome goes to the inbox with the ticket. The cheap way for event loops."""
        ...

    def has_foreign_changes(self) -> bool:
        """Cheap probe: may another process have committed since the last call? May say yes wrongly, never no.

        The first call says yes. Raises UnavailableError `database-unavailable`.
        """
        ...

    def close(self) -> None:
        """Finish what is queued, then let go of every connection."""
        ...
