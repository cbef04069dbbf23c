"""Trust states and the backend's sealed keys."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.errors import NotFoundError
from ownroot.pki.names import FactoryName
from ownroot.services.ports import Database
from ownroot.services.records import Factory, SealedKeyPurpose
from ownroot.trust.possession import KeyKind, PendingKey
from ownroot.trust.state import AppliedCommand, DeviceCa, FactoryPki, Holder, RevokedCa, Standing
from tests.support.certificates import device_ca, factory_root
from tests.support.stored_values import NOW, OWNER, a_sealed_key, make_factory, sha256

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def pki() -> FactoryPki:
    """A taken-over factory: two device CAs with one subject, serials of 160 bits."""
    root = factory_root()
    online = device_ca(root, serial=2**160 - 1)
    local = device_ca(root)
    stolen = device_ca(root, serial=2**160 - 2).certificate
    return FactoryPki(
        FactoryName("acme"),
        root=root.certificate,
        gateway_tls=device_ca(root).certificate,
        device_cas=(
            DeviceCa(
                online.certificate, Holder.ONLINE, Standing.DISABLED, None, OWNER.polis_id, signs=True, commanded_at=NOW
            ),
            DeviceCa(local.certificate, Holder.LOCAL, Standing.ENABLED, OWNER.polis_id, "admin", signs=False),
        ),
        revoked_cas=(
            RevokedCa(5, None, Holder.LOCAL, revoked_at=LONG_AGO, commanded_at=LONG_AGO),
            RevokedCa(2**160 - 2, stolen, Holder.ONLINE, revoked_at=NOW, commanded_at=NOW - timedelta(minutes=1)),
        ),
        commands=(AppliedCommand(sha256("a command"), NOW + timedelta(minutes=20)),),
    )


def save(database: Database, factory: Factory | None, pki: FactoryPki, now: datetime = NOW, by: str = "ada") -> None:
    factory_id = None if factory is None else factory.id
    database.write(lambda uow: uow.pki.save(factory_id, pki, by=by, now=now)).result()


def test_state_reads_back_as_it_was_saved(database: Database, factory: Factory, pki: FactoryPki) -> None:
    save(database, factory, pki)
    assert database.read(lambda uow: uow.pki.load(factory.id)) == pki


def test_saving_replaces_the_whole_state(database: Database, factory: Factory, pki: FactoryPki) -> None:
    turned = dataclasses.replace(pki, device_cas=pki.device_cas[::-1], revoked_cas=(), commands=())
    fewer = dataclasses.replace(pki, device_cas=pki.device_cas[1:], gateway_tls=None)
    for state in (pki, turned, fewer):
        save(database, factory, state)
        assert database.read(lambda uow: uow.pki.load(factory.id)) == state


def test_factory_starts_without_a_state_of_its_own(database: Database, factory: Factory) -> None:
    assert database.read(lambda uow: uow.pki.load(factory.id)) == FactoryPki(FactoryName("acme"))
    assert database.read(lambda uow: uow.pki.change_meta(factory.id)) == ("", "", "", "")


def test_state_of_an_unknown_factory_is_not_invented(database: Database) -> None:
    with pytest.raises(NotFoundError) as refused:
        database.read(lambda uow: uow.pki.load(99))
    assert refused.value.code == "factory-unknown"


def test_shared_pki_is_no_factorys(database: Database, factory: Factory, pki: FactoryPki) -> None:
    shared = dataclasses.replace(pki, factory=FactoryName("shared"))
    assert database.read(lambda uow: uow.pki.load(None)).factory == ""
    save(database, None, shared)
    assert database.read(lambda uow: uow.pki.load(None)) == shared
    assert not database.read(lambda uow: uow.pki.load(factory.id)).is_taken_over


def test_change_meta_tells_first_and_last_change(database: Database, factory: Factory, pki: FactoryPki) -> None:
    save(database, factory, pki, by="ada")
    save(database, factory, pki, by="bob", now=NOW + timedelta(hours=1))
    meta = database.read(lambda uow: uow.pki.change_meta(factory.id))
    assert meta == ("ada", "2026-11-23T12:00:00Z", "bob", "2026-11-23T13:00:00Z")


def test_shared_tls_certificate_is_replaced(database: Database, factory: Factory, pki: FactoryPki) -> None:
    assert pki.root is not None
    der = pki.root.public_bytes(Encoding.DER)
    assert database.read(lambda uow: uow.pki.shared_tls(factory.id)) is None
    for certificate_der in (b"first", der):
        database.write(lambda uow, der=certificate_der: uow.pki.set_shared_tls(factory.id, der)).result()
    assert database.read(lambda uow: uow.pki.shared_tls(factory.id)) == der


def a_pending_key(name: str, kind: KeyKind = KeyKind.TLS, created_at: datetime = NOW) -> PendingKey:
    return PendingKey(kind, sha256(name), ("gw.test", "ostree.gw.test"), created_at, created_at + timedelta(minutes=10))


AddPending = Callable[..., None]


@pytest.fixture
def add_pending(database: Database, factory: Factory) -> AddPending:
    def add(name: str, kind: KeyKind = KeyKind.TLS, created_at: datetime = NOW) -> None:
        pending = a_pending_key(name, kind, created_at)
        database.write(lambda uow: uow.keys.add_pending(factory.id, pending, a_sealed_key(name))).result()

    return add


def test_pending_key_is_told_of_for_a_day_after_it_expired(
    database: Database, factory: Factory, add_pending: AddPending
) -> None:
    add_pending("key")
    end = NOW + timedelta(minutes=10, days=1)
    last_second = end - timedelta(seconds=1)
    assert database.read(lambda uow: uow.keys.pending(factory.id, now=last_second)) == [a_pending_key("key")]
    assert database.read(lambda uow: uow.keys.pending(factory.id, now=end)) == []


def test_newest_few_pending_keys_of_a_kind_are_kept(
    database: Database, factory: Factory, add_pending: AddPending
) -> None:
    add_pending("ca", KeyKind.ONLINE_CA)
    for number in range(6):
        add_pending(f"tls-{number}")
    kept = database.read(lambda uow: uow.keys.pending(factory.id, now=NOW))
    assert [key.spki_sha256 for key in kept] == [sha256(name) for name in ("ca", "tls-2", "tls-3", "tls-4", "tls-5")]
    assert database.read(lambda uow: uow.keys.find(sha256("tls-1"))) is None


def test_long_expired_pending_keys_are_forgotten_with_the_next(database: Database, add_pending: AddPending) -> None:
    add_pending("old")
    add_pending("late", created_at=NOW + timedelta(days=1))
    assert database.read(lambda uow: uow.keys.find(sha256("old"))) is not None
    add_pending("new", created_at=NOW + timedelta(minutes=10, days=1))
    assert database.read(lambda uow: uow.keys.find(sha256("old"))) is None


def test_active_key_outlives_its_pending_time(database: Database, factory: Factory, add_pending: AddPending) -> None:
    add_pending("key")
    for _ in range(2):
        database.write(lambda uow: uow.keys.activate(factory.id, sha256("key"))).result()
    assert database.read(lambda uow: uow.keys.pending(factory.id, now=NOW)) == []
    add_pending("later", created_at=NOW + timedelta(days=1))
    assert database.read(lambda uow: uow.keys.find(sha256("key"))) == a_sealed_key("key")


def test_key_of_another_factory_is_not_activated(database: Database, add_pending: AddPending) -> None:
    add_pending("key")
    other = make_factory(database, "other")
    with pytest.raises(NotFoundError) as refused:
        database.write(lambda uow: uow.keys.activate(other.id, sha256("key"))).result()
    assert refused.value.code == "key-unknown"


def test_destroyed_key_is_gone(database: Database) -> None:
    key = a_sealed_key(purpose=SealedKeyPurpose.GATEWAY_TLS)
    database.write(lambda uow: uow.keys.add_active(None, key)).result()
    assert database.read(lambda uow: uow.keys.find(key.spki_sha256)) == key
    for _ in range(2):
        database.write(lambda uow: uow.keys.destroy(key.spki_sha256)).result()
    assert database.read(lambda uow: uow.keys.find(key.spki_sha256)) is None
