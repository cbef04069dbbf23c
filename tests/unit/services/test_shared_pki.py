"""The shared PKI is made once, and every factory gets its face under it, also when several try at the same moment."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.errors import KeyStoreError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import load_certificate_der, spki_sha256
from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.ports import Database
from ownroot.services.recover_issuances import recover_issuances
from ownroot.services.shared_pki import ensure_shared_pki, ensure_shared_tls
from ownroot.services.steps import run_blocking
from ownroot.storage import open_database
from ownroot.trust.state import FactoryPki
from tests.support.registering import NOW, new_keyring
from tests.support.stepping import Stepper

KEYRING = new_keyring()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'ownroot.db'}")
    yield opened
    opened.close()


def shared(database: Database) -> FactoryPki:
    return database.read(lambda uow: uow.pki.load(None))


def open_intents(database: Database) -> int:
    return len(database.read(lambda uow: uow.issuances.open_intents()))


def ensure(database: Database) -> None:
    run_blocking(ensure_shared_pki(KEYRING, now=NOW), database)


def face_of(database: Database, factory_id: int) -> x509.Certificate:
    der = database.read(lambda uow: uow.pki.shared_tls(factory_id))
    assert der is not None
    return load_certificate_der(der)


def recover(database: Database, now: datetime) -> int:
    return database.write(lambda uow: recover_issuances(uow, alone=True, now=now)).result()


def test_the_online_ca_is_signed_by_the_shared_root_and_its_key_is_sealed(database):
    ensure(database)
    pki = shared(database)
    assert pki.root is not None
    assert pki.signing_ca is not None
    assert is_signed_by(pki.signing_ca.certificate, pki.root)
    sealed = database.read(lambda uow: uow.keys.find(spki_sha256(pki.signing_ca.certificate.public_key())))
    assert sealed is not None
    assert KEYRING.open(sealed).public_key() == pki.signing_ca.certificate.public_key()


def test_a_second_start_changes_nothing(database):
    ensure(database)
    before = shared(database)
    ensure(database)
    assert shared(database) == before


def test_two_first_starts_make_one_shared_pki(database):
    early = Stepper(ensure_shared_pki(KEYRING, now=NOW), database)
    late = Stepper(ensure_shared_pki(KEYRING, now=NOW), database)
    late.step()
    early.finish()
    made = shared(database)
    late.finish()
    assert shared(database) == made
    assert open_intents(database) == 0


def test_a_crash_before_the_last_commit_leaves_an_intent_that_recovery_voids_in_time(database):
    crashed = Stepper(ensure_shared_pki(KEYRING, now=NOW), database)
    crashed.step()
    crashed.step()
    assert open_intents(database) == 1
    assert recover(database, NOW + timedelta(minutes=2)) == 0  # somebody may still be signing it
    assert recover(database, NOW + timedelta(minutes=2, seconds=1)) == 1
    assert open_intents(database) == 0
    ensure(database)
    assert shared(database).is_taken_over


def test_a_factory_gets_a_certificate_for_its_own_names(database):
    ensure(database)
    made = run_blocking(create_factory(FactoryOrder("acme"), KEYRING, now=NOW), database)
    face = face_of(database, made.factory.id)
    names = face.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway.localhost", "ostree.gateway.localhost"]
    root = shared(database).root
    assert root is not None
    assert is_signed_by(face, root)


def test_two_who_make_a_face_at_once_leave_one(database):
    ensure(database)
    begun = Stepper(create_factory(FactoryOrder("acme"), KEYRING, now=NOW), database)
    begun.step()
    factory = database.read(lambda uow: uow.factories.find("acme"))
    assert factory is not None
    early = Stepper(ensure_shared_tls(factory, KEYRING, now=NOW), database)
    early.step()
    early.step()
    begun.finish()
    face = face_of(database, factory.id)
    early.finish()
    assert face_of(database, factory.id) == face
    assert open_intents(database) == 0


def test_without_a_shared_pki_there_is_no_factory_with_a_face(database):
    with pytest.raises(KeyStoreError) as refusal:
        run_blocking(create_factory(FactoryOrder("acme"), KEYRING, now=NOW), database)
    assert refusal.value.code == "shared-pki-missing"
