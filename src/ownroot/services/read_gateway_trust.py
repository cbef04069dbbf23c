"""What a gateway process must know of every factory, read in one transaction.

A picture is never edited: a refresh returns a new one that shares what did not change, so whoever holds one holds a
consistent answer. Nothing here opens a private key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from cryptography import x509

from ownroot.fleet.config_times import NEVER, ConfigTimes
from ownroot.pki.encoding import certificate_sha256, load_certificate_der, spki_sha256
from ownroot.pki.names import DeviceUuid
from ownroot.services.effective_pki import EffectivePkis
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Change, ChangeKind, Device, Factory, SealedKey
from ownroot.trust.device_identity import GatewayTrust

DeviceKey: TypeAlias = tuple[int, DeviceUuid]


@dataclass(frozen=True, slots=True)
class DeviceCertificatePolicy:
    """What an operator may allow beyond the device profile (protocol: gateway.md §2.2 T11)."""

    allow_rsa: bool = False
    allow_ca_profile: bool = False


@dataclass(frozen=True, slots=True)
class FactoryTrust:
    """One factory as a gateway sees it; a new object whenever any of it changes.

    Attributes:
        is_taken_over: `trust` is the factory's own; before, it is the shared PKI's.
        taken_over_at: RFC 3339 text, empty before take-over.
        issuers: SHA-256 of the device CAs in `trust`.
        tls, tls_key: what the gateway presents for this factory's names; None if it has nothing to present.
        est_tls, est_tls_key: the same of a listener for EST alone.
        root: by which devices verify the gateway.
    """

    factory: Factory
    trust: GatewayTrust
    is_taken_over: bool
    taken_over_at: str
    issuers: frozenset[bytes]
    tls: x509.Certificate | None
    tls_key: SealedKey | None
    est_tls: x509.Certificate | None
    est_tls_key: SealedKey | None
    root: x509.Certificate | None


@dataclass(frozen=True, slots=True)
class SharedConfigTimes:
    """When the configuration of a factory changed, and of its groups, by id (`fleet.config_times`)."""

    factory: int = NEVER
    groups: Mapping[int, int] = field(default_factory=dict)

    def of(self, device: Device) -> ConfigTimes:
        """Return the times of what this device is told."""
        group = NEVER if device.group is None else self.groups.get(device.group.id, NEVER)
        return ConfigTimes(self.factory, group, device.config_time)


@dataclass(frozen=True, slots=True)
class TrustPicture:
    """Every factory at one generation of the change feed.

    Attributes:
        configs: by factory, the times of what its devices are told. Apart from the trust, which they do not move.
    """

    generation: int
    factories: Mapping[int, FactoryTrust]
    configs: Mapping[int, SharedConfigTimes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A newer picture, and what became of the devices the caller asked about.

    Attributes:
        devices: for each changed device of interest what is stored now; None if it is gone.
        announced_at: Unix time of the oldest news in it about each factory's trust, for measuring; empty if the feed
            could not be followed.
    """

    picture: TrustPicture
    devices: Mapping[DeviceKey, Device | None] = field(default_factory=dict)
    announced_at: Mapping[int, float] = field(default_factory=dict)


def read_trust(uow: UnitOfWork, policy: DeviceCertificatePolicy) -> TrustPicture:
    """Read everything: a few queries per factory, none per device, and the shared PKI once."""
    pkis = EffectivePkis(uow)
    factories = {factory.id: _read_factory(uow, factory, pkis, policy) for factory in uow.factories.list()}
    configs = {factory_id: _read_config_times(uow, factory_id) for factory_id in factories}
    return TrustPicture(uow.changes.generation(), factories, configs)


def refresh_trust(
    uow: UnitOfWork,
    policy: DeviceCertificatePolicy,
    known: TrustPicture,
    *,
    devices_of_interest: Callable[[], Iterable[DeviceKey]],
    is_of_interest: Callable[[DeviceKey], bool],
) -> Refreshed | None:
    """Bring a picture up to date; None if nothing happened since.

    Args:
        devices_of_interest: all of them; asked when the feed has forgotten too much to be followed.
        is_of_interest: does the caller hold anything about this device?
    """
    generation = uow.changes.generation()
    if generation == known.generation:
        return None
    changes = uow.changes.since(known.generation)
    if changes is None:
        return Refreshed(read_trust(uow, policy), _read_devices(uow, devices_of_interest()))
    keys = {
        (change.factory_id, change.uuid)
        for change in changes
        if change.kind is ChangeKind.DEVICE and change.factory_id is not None and change.uuid is not None
    }
    picture = replace(_reread_factories(uow, policy, known, changes), generation=generation)
    return Refreshed(picture, _read_devices(uow, filter(is_of_interest, keys)), _first_news(changes))


def _first_news(changes: Iterable[Change]) -> dict[int, float]:
    news: dict[int, float] = {}
    for change in changes:
        if change.kind is ChangeKind.TRUST and change.factory_id is not None and change.announced_at:
            news.setdefault(change.factory_id, change.announced_at)
    return news


def _reread_factories(
    uow: UnitOfWork, policy: DeviceCertificatePolicy, known: TrustPicture, changes: Iterable[Change]
) -> TrustPicture:
    moved = {change.factory_id for change in changes if change.kind is not ChangeKind.DEVICE}
    if None in moved:
        return read_trust(uow, policy)
    retold = {change.factory_id for change in changes if change.uuid is None and change.factory_id is not None}
    configs = {**known.configs, **{factory_id: _read_config_times(uow, factory_id) for factory_id in retold}}
    if not moved:
        return replace(known, configs=configs)
    pkis = EffectivePkis(uow)
    factories = {
        factory.id: _read_factory(uow, factory, pkis, policy)
        if factory.id in moved or factory.id not in known.factories
        else known.factories[factory.id]
        for factory in uow.factories.list()
    }
    return TrustPicture(known.generation, factories, configs)


def _read_devices(uow: UnitOfWork, keys: Iterable[DeviceKey]) -> dict[DeviceKey, Device | None]:
    return {key: uow.devices.find(*key) for key in keys}


def _read_factory(
    uow: UnitOfWork, factory: Factory, pkis: EffectivePkis, policy: DeviceCertificatePolicy
) -> FactoryTrust:
    pki, is_shared = pkis.of(factory.id)
    tls = _shared_tls(uow, factory) if is_shared else pki.gateway_tls
    return FactoryTrust(
        factory=factory,
        trust=GatewayTrust(
            factory.name,
            pki.device_cas,
            allow_rsa=policy.allow_rsa,
            allow_ca_profile=policy.allow_ca_profile,
            revoked_cas=pki.revoked_cas,
        ),
        is_taken_over=not is_shared,
        taken_over_at="" if is_shared else uow.pki.change_meta(factory.id)[1],
        issuers=frozenset(certificate_sha256(ca.certificate) for ca in pki.device_cas),
        tls=tls,
        tls_key=_key_of(uow, tls),
        est_tls=None if is_shared else pki.est_tls,
        est_tls_key=None if is_shared else _key_of(uow, pki.est_tls),
        root=pki.root,
    )


def _read_config_times(uow: UnitOfWork, factory_id: int) -> SharedConfigTimes:
    return SharedConfigTimes(*uow.configs.times(factory_id))


def _key_of(uow: UnitOfWork, certificate: x509.Certificate | None) -> SealedKey | None:
    return None if certificate is None else uow.keys.find(spki_sha256(certificate.public_key()))


def _shared_tls(uow: UnitOfWork, factory: Factory) -> x509.Certificate | None:
    der = uow.pki.shared_tls(factory.id)
    return None if der is None else load_certificate_der(der)
