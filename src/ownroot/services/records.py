"""What is stored, as values: factories and people, keys, devices, certificates, refusals, news."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ownroot.fleet.clones import CloneSign
from ownroot.fleet.networks import Network
from ownroot.pki.names import DeviceUuid, FactoryName
from ownroot.services.scopes import Role, Scope


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
    """Which sub-key of the key-encryption key seals something; a gateway has those for TLS keys and configurations."""

    CA = "ca"
    GATEWAY_TLS = "gateway-tls"
    TUF = "tuf"
    DEVICE_CONFIG = "device-config"  # no keys: what `services.config_vault` keeps


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
    is_quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A device whose key somebody else may have too.

    Attributes:
        sign: what told so first.
        detail: the evidence, or the owner's reason; for people.
        quarantined_at: since when the gateway refuses the device; None: it goes on.
    """

    sign: CloneSign
    detail: str
    since: datetime
    quarantined_at: datetime | None = None


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
    next_key_at: datetime | None = None  # when the next key was announced; the configuration is locked since
    config_time: int = 0  # of its own configuration, and of its moves between groups (`fleet.config_times`)
    not_after: datetime | None = None  # end of the certificate shown last, or issued since; None = not known
    fetch_config_anew: bool = False  # what it says of its copy is not to be trusted, until it has fetched once
    networks: tuple[str | None, str | None] = (None, None)  # where its key was used last, by `fleet.networks.Family`
    suspicion: Suspicion | None = None
    released_at: datetime | None = None  # when its owner last looked at a suspicion and let it go on

    @property
    def quarantined_at(self) -> datetime | None:
        """Since when the gateway refuses it; None: it does not."""
        return None if self.suspicion is None else self.suspicion.quarantined_at


class ConfigScope(StrEnum):
    """Whom a configuration is for."""

    FACTORY = "factory"
    GROUP = "group"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """Whose configuration: `name` is empty for a factory's, a group's id, or a device's uuid."""

    factory_id: int
    scope: ConfigScope
    name: str = ""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One entry of a configuration's history: all of it, as it was from then on.

    Attributes:
        config_time: Unix time that devices are told (`fleet.config_times`); it orders the history.
        by: polis-id, or `device:<uuid>`.
        sealed: the files (`services.config_vault`).
        applied_at: when the device fetched it; None for what is not a device's own, or was not fetched.
    """

    config_time: int
    created_at: datetime
    by: str
    reason: str
    sealed: bytes
    applied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConfigFetch:
    """A device was answered with its configuration as of `config_time`."""

    factory_id: int
    uuid: DeviceUuid
    spki_sha256: bytes
    config_time: int
    at: datetime


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
class DeniedKey:
    """A key that a live device has replaced: whoever shows it holds an old copy of that device.

    Attributes:
        shown_at: when it was last reported to have been shown; None: never since.
    """

    factory_id: int
    spki_sha256: bytes
    uuid: DeviceUuid
    denied_at: datetime
    shown_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """Leave of a factory's owner for devices with an expired certificate to renew it, and to do nothing else.

    `max_expired_days`: how long ago it may have ended.
    """

    factory_id: int
    max_expired_days: int
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class ClonePolicy:
    """What the owner of a factory wants done with a device whose key seems to be copied, beyond being told."""

    factory_id: int
    quarantines: bool
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """A device's key was used from another network than before, as one gateway process saw it.

    Attributes:
        spki_sha256: the key.
        other: the network it was used from before, of the same family; None if that is not known.
        returned: the connection it came on was used before the key was used from there.
        released_at: the device's last release, as far as that process had heard.
    """

    factory_id: int
    uuid: DeviceUuid
    spki_sha256: bytes
    network: Network
    other: str | None
    returned: bool
    at: datetime
    released_at: datetime | None = None


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
    """One coalesced visit of a device. None = it told nothing of it: keep what is stored."""

    factory_id: int
    uuid: DeviceUuid
    seen_at: datetime
    tags: str | None = None
    target_name: str | None = None
    ostree_hash: str | None = None
    docker_apps: str | None = None
    not_after: datetime | None = None  # end of the certificate it came with


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

    `issuer_serial`: the device CA that signed the certificate accepted last. `rotating`: only those that have announced
    a next key. `suspected`: only those whose key may be copied. `after`: only names after this one, by bytes.
    """

    name_pattern: str | None = None
    uuid: str | None = None
    group: str | None = None
    owner: str | None = None
    tag: str | None = None
    target_name: str | None = None
    production: bool | None = None
    issuer_serial: int | None = None
    rotating: bool = False
    suspected: bool = False
    after: str | None = None

    @property
    def is_by_name_alone(self) -> bool:
        """Is there no condition but those on the name?"""
        return self == DeviceFilter(name_pattern=self.name_pattern, after=self.after)


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
    DEVICE = "device"  # one device's standing, pinned key or configuration; without a uuid, what devices are told
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
