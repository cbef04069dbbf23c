"""TUF repositories on both databases, and what services make of them: nothing has a version twice."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType

import pytest

from ownroot.bootstrap.installation import renew_tuf_documents
from ownroot.errors import ConflictError, KeyStoreError
from ownroot.keystore.sealing import Sealer
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import Database
from ownroot.services.records import Factory, SealedKeyPurpose
from ownroot.services.tuf_keys import make_key, online_signers
from ownroot.services.tuf_publishing import (
    FIRST_TAG,
    ensure_repository,
    factories_without_repository,
    publish_ci,
    renew_expiring,
)
from ownroot.services.tuf_root_updates import read_published
from ownroot.services.tuf_store import SealedTufKey, StoredUpdate, TagRef
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import ONLINE_ROLES, Role
from ownroot.tuf.repository import TagDocuments
from ownroot.tuf.root_rules import Chains
from ownroot.tuf.signatures import sign
from ownroot.tuf.updates import begin_update, replace_online_keys
from tests.support.stored_values import NOW, make_factory
from tests.support.tuf_world import CALLER, ed25519_signer

KEYRING = Keyring({SealedKeyPurpose.TUF: Sealer(bytes(32))})


@pytest.fixture
def repository(database: Database, factory: Factory) -> Factory:
    database.write(partial(ensure_repository, factory=factory, keyring=KEYRING, now=NOW)).result()
    return factory


def ref(factory: Factory, tag: str = FIRST_TAG, *, production: bool = False) -> TagRef:
    return TagRef(factory.id, production, tag)


def test_repository_is_made_once_for_each_factory(database: Database, factory: Factory) -> None:
    assert factory in database.read(factories_without_repository)
    for _ in range(2):
        database.write(partial(ensure_repository, factory=factory, keyring=KEYRING, now=NOW)).result()

    assert factory not in database.read(factories_without_repository)
    documents = database.read(lambda uow: uow.tuf.documents(ref(factory)))
    assert documents is not None
    assert documents.version == 1
    with pytest.raises(ConflictError, match="tuf-repository-exists"):
        database.write(lambda uow: uow.tuf.create(factory.id)).result()


def test_documents_read_back_and_the_last_ones_count(database: Database, repository: Factory) -> None:
    made = TagDocuments(7, b"t", b"s", b"g", NOW)
    for documents in (replace(made, version=6), made):
        database.write(lambda uow, it=documents: uow.tuf.put_documents(ref(repository, "a"), it)).result()

    assert database.read(lambda uow: uow.tuf.documents(ref(repository, "a"))) == made
    assert database.read(lambda uow: uow.tuf.documents(ref(repository, "a", production=True))) is None
    assert database.read(lambda uow: uow.tuf.tags(repository.id, production=False)) == ["a", FIRST_TAG]
    assert database.read(lambda uow: uow.tuf.tags(repository.id, production=True)) == []


def test_versions_are_counted_for_each_chain_and_undone_with_their_work(
    database: Database, repository: Factory
) -> None:
    def count(uow, *, production: bool = False) -> int:
        return uow.tuf.next_version(repository.id, production=production)

    def fail(uow) -> None:
        count(uow)
        raise ConflictError("x", "x")

    assert database.write(count).result() == 2
    with pytest.raises(ConflictError):
        database.write(fail).result()
    assert [database.write(count).result() for _ in range(2)] == [3, 4]
    assert database.write(partial(count, production=True)).result() == 1


def test_production_has_the_roots_of_ci_until_it_has_its_own(database: Database, repository: Factory) -> None:
    def find(version: int | None, *, production: bool) -> bytes | None:
        return database.read(lambda uow: uow.tuf.find_root(repository.id, version, production=production))

    assert find(None, production=True) == find(2, production=False)
    database.write(lambda uow: uow.tuf.add_root(repository.id, 3, b"own", production=True)).result()
    assert find(None, production=True) == find(3, production=True) == b"own"
    assert find(2, production=True) == find(2, production=False)
    assert find(3, production=False) is None


def test_keys_are_replaced_and_staged_ones_end_with_their_change(database: Database, repository: Factory) -> None:
    _, one = make_key(Role.SNAPSHOT, KEYRING)

    def keys(*, staged: bool) -> dict[Role, SealedTufKey]:
        return dict(database.read(lambda uow: uow.tuf.keys(repository.id, staged=staged)))

    assert set(keys(staged=False)) == set(Role)
    database.write(lambda uow: uow.tuf.put_key(repository.id, one, staged=True)).result()
    assert keys(staged=True) == {Role.SNAPSHOT: one}
    signers = database.read(lambda uow: online_signers(uow, repository.id, KEYRING, staged=True))
    assert signers[Role.SNAPSHOT].key.key_id == one.key_id
    database.write(lambda uow: uow.tuf.drop_update(repository.id)).result()
    assert keys(staged=True) == {}
    database.write(lambda uow: uow.tuf.put_key(repository.id, one, staged=False)).result()
    assert keys(staged=False)[Role.SNAPSHOT] == one
    database.write(lambda uow: uow.tuf.drop_key(repository.id, Role.SNAPSHOT, staged=False)).result()
    with pytest.raises(KeyStoreError, match="tuf-key-missing"):
        database.read(lambda uow: online_signers(uow, repository.id, KEYRING))


def test_sealed_key_opens_under_its_own_id_alone(database: Database, repository: Factory) -> None:
    sealed = database.read(lambda uow: uow.tuf.keys(repository.id, staged=False))
    swapped = replace(sealed[Role.TARGETS], sealed=sealed[Role.SNAPSHOT].sealed)
    database.write(lambda uow: uow.tuf.put_key(repository.id, swapped, staged=False)).result()

    with pytest.raises(KeyStoreError, match="sealed-unreadable"):
        database.read(lambda uow: online_signers(uow, repository.id, KEYRING))
    assert b"private" not in sealed[Role.TARGETS].sealed


def test_change_under_way_reads_back_whole(database: Database, repository: Factory) -> None:
    published = database.read(lambda uow: read_published(uow, repository.id))
    assert published.roots.production is None
    update = begin_update(published, message="m", by=CALLER, first_root_key=None, now=NOW)
    new = {role: ed25519_signer(30 + number).key for number, role in enumerate(ONLINE_ROLES)}
    update = replace_online_keys(update, new, by="b", now=NOW + timedelta(minutes=1))
    full = replace(
        update,
        staged=Chains(update.staged.ci, update.staged.ci),
        targets_signatures=MappingProxyType({"main": (sign(b"x", ed25519_signer(9)),)}),
    )

    for stored in (StoredUpdate(update, b"1"), StoredUpdate(full, b"2")):
        database.write(lambda uow, it=stored: uow.tuf.put_update(repository.id, it)).result()
        assert database.read(lambda uow: uow.tuf.find_update(repository.id)) == stored
    database.write(lambda uow: uow.tuf.drop_update(repository.id)).result()
    assert database.read(lambda uow: uow.tuf.find_update(repository.id)) is None


def test_targets_are_those_of_a_tag_and_never_change(database: Database, repository: Factory) -> None:
    def put(tag: str, name: str) -> None:
        database.write(lambda uow: uow.tuf.put_target(repository.id, tag, name, {"length": 1})).result()

    put("a", "one")
    put("b", "one")
    with pytest.raises(ConflictError, match="tuf-target-exists"):
        put("a", "one")
    assert database.read(lambda uow: uow.tuf.targets(repository.id, "a")) == {"one": {"length": 1}}
    drops = [database.write(lambda uow: uow.tuf.drop_target(repository.id, "a", "one")).result() for _ in range(2)]
    assert drops == [True, False]
    assert database.read(lambda uow: uow.tuf.targets(repository.id, "b")) == {"one": {"length": 1}}


def test_what_expires_is_signed_anew_and_the_rest_is_left(database: Database, repository: Factory) -> None:
    other = make_factory(database, "other")
    database.write(partial(ensure_repository, factory=other, keyring=KEYRING, now=NOW)).result()

    def renew(days: int, limit: int = 100) -> int:
        now = NOW + timedelta(days=days)
        return database.write(partial(renew_expiring, keyring=KEYRING, now=now, limit=limit)).result().renewed

    assert renew(days=240) == 0
    assert [renew(days=250, limit=1) for _ in range(3)] == [1, 1, 0]
    documents = database.read(lambda uow: uow.tuf.documents(ref(repository)))
    assert documents is not None
    assert (documents.version, documents.expires) == (2, NOW + timedelta(days=250 + 365))


def test_device_that_is_given_another_tag_and_back_finds_no_lower_number(
    database: Database, repository: Factory
) -> None:
    def publish(tag: str) -> None:
        def work(uow) -> None:
            publish_ci(uow, repository.id, online_signers(uow, repository.id, KEYRING), now=NOW, new_tag=tag)

        database.write(work).result()

    def documents(tag: str) -> TagDocuments:
        found = database.read(lambda uow: uow.tuf.documents(ref(repository, tag)))
        assert found is not None
        return found

    trust = DeviceTrust(database.read(lambda uow: uow.tuf.find_root(repository.id, 1, production=False)) or b"")
    for published, followed in (("devel", "devel"), ("main", "devel"), ("devel", "main"), ("devel", "devel")):
        publish(published)
        made = documents(followed)
        trust.update_timestamp(made.timestamp, now=NOW)
        trust.update_snapshot(made.snapshot, now=NOW)
        trust.update_targets(made.targets, now=NOW)
    assert documents("devel").version == documents("main").version == 5
    later = NOW + timedelta(days=250)
    assert database.write(partial(renew_expiring, keyring=KEYRING, now=later)).result().renewed == 2
    assert documents("devel").version == documents("main").version == 6


def test_a_factory_whose_keys_cannot_be_used_keeps_no_other_waiting(database: Database, repository: Factory) -> None:
    damaged = make_factory(database, "damaged")
    other_keys = Keyring({SealedKeyPurpose.TUF: Sealer(bytes([1] * 32))})
    database.write(partial(ensure_repository, factory=damaged, keyring=other_keys, now=NOW)).result()
    late = NOW + timedelta(days=250)

    done = database.write(partial(renew_expiring, keyring=KEYRING, now=late)).result()
    assert (done.renewed, done.left, set(done.faults), done.is_last) == (1, 1, {damaged.id}, True)
    assert done.faults[damaged.id].code == "sealed-unreadable"


def test_renewal_goes_on_behind_more_damaged_factories_than_fit_into_a_round(
    database: Database, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ownroot.bootstrap.installation._TAGS_A_ROUND", 1)
    other_keys = Keyring({SealedKeyPurpose.TUF: Sealer(bytes([1] * 32))})
    for number in range(3):
        damaged = make_factory(database, f"damaged-{number}")
        database.write(partial(ensure_repository, factory=damaged, keyring=other_keys, now=NOW)).result()
    later = NOW + timedelta(days=1)
    database.write(partial(ensure_repository, factory=factory, keyring=KEYRING, now=later)).result()

    assert renew_tuf_documents(database, KEYRING, clock=lambda: NOW + timedelta(days=300)) == 1
    assert renew_tuf_documents(database, KEYRING, clock=lambda: NOW + timedelta(days=300)) == 0
