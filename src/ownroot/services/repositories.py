"""What a transaction can be asked and told, one protocol for each kind of record. The rules are those of `ports`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ownroot.audit.events import AuditEvent
from ownroot.audit.merkle import Frontier
from ownroot.pki.names import DeviceUuid, FactoryName
from ownroot.services.records import (
    Change,
    ChangeKind,
    CheckIn,
    ClonePolicy,
    ConfigChange,
    ConfigFetch,
    ConfigKey,
    DeniedDevice,
    DeniedKey,
    Device,
    DeviceFilter,
    DeviceGroup,
    DevicePin,
    DeviceSort,
    Factory,
    HeldDevice,
    HeldFilter,
    Issuance,
    IssuanceIntent,
    Member,
    NetworkUse,
    RecoveryPolicy,
    Refusal,
    SealedKey,
    Suspicion,
    Token,
    User,
)
from ownroot.services.scopes import Role, Scope
from ownroot.trust.possession import PendingKey
from ownroot.trust.restores import RestoreWindow
from ownroot.trust.state import FactoryPki


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
        """Raises ConflictError `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`,
        `device-key-replaced`.

        Looked for in this order, so a repeated registration hears of its uuid first. A key is taken by the device that
        has it and by one that has announced it.
        """
        ...

    def find(self, factory_id: int, uuid: str) -> Device | None: ...
    def find_by_name(self, factory_id: int, name: str) -> Device | None: ...
    def has_case_twin(self, factory_id: int, uuid: str) -> bool:
        """Is another uuid known that differs only in letter case?"""
        ...

    def replace_key(self, device: Device) -> None:
        """Store keys, issuer, production flag and the certificate's end of `device`; everything else of the row stays,
        but for the returns of a key that goes (`Clones`).

        Raises NotFoundError `device-unknown`, ConflictError `device-key-taken`, `device-key-replaced`; of both keys.
        """
        ...

    def require_free_key(self, device: Device, spki_sha256: bytes) -> None:
        """May this device come with this key some day?

        Raises ConflictError `device-key-taken`, another device has it or has announced it; `device-key-replaced`.
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

    def record_check_ins(self, visits: Iterable[CheckIn]) -> None:
        """Store visits; an older one than is stored, or one of a device that is gone, changes nothing."""
        ...

    def pins(self, factory_id: int, *, after: str, limit: int) -> Sequence[DevicePin]:
        """The keys of the next devices by lower-case uuid; `after`: the last one seen, empty at first."""
        ...

    def denied_uuids(self, factory_id: int, *, after: str, limit: int) -> Sequence[DeviceUuid]:
        """The next uuids of the deny list, in their order; `after`: the last one seen, empty at first."""
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


class Configs(Protocol):
    """Configurations of factories, groups and devices, each with its last changes; a new change is a whole one."""

    def add(self, key: ConfigKey, change: ConfigChange, *, kept: int) -> None:
        """Store the newest change and keep so many; its time is later than that of the one before."""
        ...

    def newest(self, key: ConfigKey) -> ConfigChange | None: ...
    def time_of(self, key: ConfigKey) -> int:
        """The time of its newest change; 0 if it has none."""
        ...

    def history(self, key: ConfigKey) -> Sequence[ConfigChange]:
        """Newest first."""
        ...

    def forget(self, key: ConfigKey) -> None:
        """Drop a configuration with its history; no error if there is none."""
        ...

    def times(self, factory_id: int) -> tuple[int, Mapping[int, int]]:
        """Times of the factory's configuration (0 = none) and of its groups', by group id."""
        ...

    def newest_time(self, factory_id: int) -> int:
        """The newest time any configuration of this factory ever had; 0 before the first."""
        ...

    def put_newest_time(self, factory_id: int, config_time: int) -> None:
        """Raise it; a smaller one changes nothing."""
        ...

    def stamp_device(self, device: Device) -> None:
        """Store `config_time` and `fetch_config_anew` of a device; everything else of the row stays."""
        ...

    def record_fetches(self, fetches: Iterable[ConfigFetch]) -> None:
        """Mark what was fetched as applied, and end `fetch_config_anew` of devices that still have that key."""
        ...

    def doubt_every_copy(self) -> None:
        """Set `fetch_config_anew` of all devices."""
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


class DeniedKeys(Protocol):
    """Keys that devices have replaced."""

    def deny(self, denied: DeniedKey) -> None:
        """Refuse a key from now on; one that is refused already stays as it is."""
        ...

    def find(self, factory_id: int, spki_sha256: bytes) -> DeniedKey | None: ...
    def note_shown(self, factory_id: int, spki_sha256: bytes, *, at: datetime) -> None:
        """Remember that somebody came with it."""
        ...


class RecoveryPolicies(Protocol):
    """Factories without a policy let no expired device renew."""

    def find(self, factory_id: int) -> RecoveryPolicy | None: ...
    def put(self, policy: RecoveryPolicy) -> None: ...
    def remove(self, factory_id: int) -> None:
        """Close the lane; no error if there is none."""
        ...


class Clones(Protocol):
    """Signs of copied keys, kept with each device, and what a factory's owner makes of them."""

    def returns(self, factory_id: int, uuid: str) -> tuple[datetime, ...]:
        """Return those that count, of the key the device has now, oldest first (`fleet.clones`)."""
        ...

    def note_use(self, use: NetworkUse, returns: Sequence[datetime]) -> None:
        """Store where a key was used last, and which returns count; a device that is gone changes nothing."""
        ...

    def suspect(self, factory_id: int, uuid: str, suspicion: Suspicion) -> None: ...
    def release(self, factory_id: int, uuid: str, *, at: datetime) -> None:
        """End a suspicion; no return and no network counts any more."""
        ...

    def find_policy(self, factory_id: int) -> ClonePolicy | None: ...
    def put_policy(self, policy: ClonePolicy) -> None: ...


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
