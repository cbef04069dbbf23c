"""Any sequence of changes leaves devices that go on: one that has been there from root 1, and one that is new.

Owners rotate, set thresholds, sign in any order and by halves, let others finish, cancel, rotate online keys, publish
and release; years pass; somebody sends what was tampered with. After every step the server renews what it would renew,
and devices of both kinds walk. The only refusal that is not the server's fault is that of something that has ended and
that its owner alone can prolong.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ownroot.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from ownroot.keystore.sealing import Sealer
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import Database
from ownroot.services.records import SealedKeyPurpose, User
from ownroot.services.scopes import Role as FactoryRole
from ownroot.services.scopes import Scope
from ownroot.services.steps import run_blocking
from ownroot.services.tuf_keys import online_signers
from ownroot.services.tuf_publishing import (
    TargetRef,
    add_target,
    ensure_repository,
    production_targets,
    publish_production,
    renew_expiring,
)
from ownroot.services.tuf_root_updates import (
    apply_root_update,
    begin_root_update,
    cancel_root_update,
    make_online_keys,
    stage_root_update,
    view_roots,
)
from ownroot.services.tuf_store import TagRef
from ownroot.storage import migrate_database, open_database
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.keys import KeyType, TufKey, TufSigner
from ownroot.tuf.metadata import ONLINE_ROLES, Document, Role, Root, new_targets
from ownroot.tuf.repository import TagDocuments
from ownroot.tuf.root_rules import Chains, production_of
from ownroot.tuf.signatures import Signature, merge, sign
from ownroot.tuf.updates import FaultyRootError, RootUpdate, Upload
from tests.support.stored_values import NOW, make_factory
from tests.support.tuf_world import ed25519_signer, with_role

KEYRING = Keyring({SealedKeyPurpose.TUF: Sealer(bytes(32))})
ROOT_KEYS = [ed25519_signer(100 + number) for number in range(4)]
RELEASE_KEYS = [ed25519_signer(200 + number) for number in range(3)]
ENTRY = {"length": 0, "hashes": {"sha256": "ab" * 32}}
TXID = "SECRET00"
TAGS = ("main", "devel")
FIRST_CHANGE = 3  # version of the first root that is an owner's
_numbers = count(1)

some_root_keys = st.lists(st.sampled_from(range(len(ROOT_KEYS))), min_size=1, max_size=3, unique=True)
some_release_keys = st.lists(st.sampled_from(range(len(RELEASE_KEYS))), max_size=2, unique=True)
some_roles = st.lists(st.sampled_from(ONLINE_ROLES), min_size=1, unique=True).map(frozenset)
admins = st.sampled_from((0, 1))


class Repository(RuleBasedStateMachine):
    """One factory's repository. `held`: every private key that its owner has by now."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database

    @initialize()
    def begin_factory(self) -> None:
        self.now = NOW
        self.factory = make_factory(self.database, f"any-{next(_numbers)}")
        users = [User(f"{number:024x}", name) for number, name in enumerate(("ada", "bea"))]
        self.admins = [Principal(user, self.factory, FactoryRole.OWNER, frozenset(Scope), 1) for user in users]
        self.held: dict[str, TufSigner] = {one.key.key_id: one for one in (*ROOT_KEYS, *RELEASE_KEYS)}
        self.write(partial(ensure_repository, factory=self.factory, keyring=KEYRING, now=self.now))
        self.old = {production: self.new_device(production=production) for production in (False, True)}
        self.served: dict[tuple[bool, str, int], TagDocuments] = {}
        self.newest = {False: 0, True: 0}

    # --- talking to the services

    def write(self, work: Any) -> Any:
        return self.database.write(work).result()

    def read(self, work: Any) -> Any:
        return self.database.read(work)

    def find_root(self, version: int | None, *, production: bool) -> bytes | None:
        found: bytes | None = self.read(lambda uow: uow.tuf.find_root(self.factory.id, version, production=production))
        return found

    def new_device(self, *, production: bool) -> DeviceTrust:
        first = self.find_root(1, production=production)
        assert first is not None
        return DeviceTrust(first)

    @property
    def update(self) -> RootUpdate | None:
        stored = self.read(lambda uow: uow.tuf.find_update(self.factory.id))
        return None if stored is None else stored.update

    def present(self, *, production: bool = False) -> Root:
        data = self.find_root(None, production=production)
        assert data is not None
        return DeviceTrust(data).root

    def send(self, upload: Upload, by: int, txid: str = TXID) -> bool:
        """Stage; whatever is refused leaves the change as it was. Returns whether it was taken."""
        before = self.update
        try:
            run_blocking(stage_root_update(upload, txid=txid, by=self.admins[by], now=self.now), self.database)
        except (FaultyRootError, NotFoundError, RefusedError):
            assert self.update == before
            return False
        return True

    def signed(self, root: Root, threshold: int, signers: Sequence[TufSigner]) -> Upload:
        chains = [Document(body.signed()) for body in (root, production_of(root, targets_threshold=threshold))]
        ci, production = (replace(it, signatures=tuple(sign(it.payload, one) for one in signers)) for it in chains)
        return Upload(Chains(ci, production))

    def may_sign(self, root: Root) -> list[TufSigner]:
        """Keys at hand that are root keys now or would be."""
        ids = {*root.roles[Role.ROOT].key_ids, *self.present().roles[Role.ROOT].key_ids}
        return [self.held[key_id] for key_id in sorted(ids) if key_id in self.held]

    # --- what admins do

    @rule(by=admins, first_time=st.booleans())
    def somebody_begins(self, by: int, first_time: bool) -> None:
        steps = begin_root_update(
            message="m", is_first_time=first_time, by=self.admins[by], keyring=KEYRING, now=self.now, txid=TXID
        )
        try:
            begun = run_blocking(steps, self.database)
        except (ConflictError, InvalidInputError) as error:
            if error.code not in ("tuf-update-active", "tuf-first-root-key-replaced"):
                raise
            return
        if begun.first_root is not None:
            self.held[begun.first_root.key.key_id] = begun.first_root

    @precondition(lambda self: self.update is not None)
    @rule(
        by=admins,
        roots=some_root_keys,
        keep=st.booleans(),
        releases=some_release_keys,
        numbers=st.tuples(st.integers(1, 3), st.integers(2, 3)),
        prolong=st.booleans(),
        is_signed=st.booleans(),
    )
    def somebody_stages(
        self,
        by: int,
        roots: list[int],
        keep: bool,
        releases: list[int],
        numbers: tuple[int, int],
        prolong: bool,
        is_signed: bool,
    ) -> None:
        assert self.update is not None
        staged, owner = self.update.ci_root, self.admins[by].user.polis_id
        online = staged.keys[self.update.online_keys[Role.TARGETS]]
        kept: list[TufKey] = [staged.keys[key_id] for key_id in staged.roles[Role.ROOT].key_ids] if keep else []
        chosen = {key.key_id: key for key in (*kept, *(ROOT_KEYS[number].key for number in roots))}
        root = with_role(staged, Role.ROOT, *chosen.values(), threshold=min(numbers[0], len(chosen)), owner=owner)
        root = with_role(root, Role.TARGETS, online, *(RELEASE_KEYS[number].key for number in releases), owner=owner)
        if prolong:
            root = replace(root, expires=self.now + timedelta(days=365))
        self.send(self.signed(root, numbers[1], self.may_sign(root) if is_signed else []), by)

    @precondition(lambda self: self.update is not None and self.update.staged.production is not None)
    @rule(by=admins, only=st.integers(0, 3))
    def somebody_signs(self, by: int, only: int) -> None:
        assert self.update is not None
        signers = self.may_sign(self.update.ci_root)
        self.sign_staged(by, signers[only : only + 1] or signers)

    def sign_staged(self, by: int, signers: Sequence[TufSigner]) -> None:
        update = self.update
        assert update is not None
        ci, production = (
            replace(it, signatures=merge([sign(it.payload, one) for one in signers], it.signatures))
            for it in (update.staged.ci, update.staged.production_or_ci)
        )
        self.send(Upload(Chains(ci, production), self.release_signatures(update.ci_root)), by)

    def release_signatures(self, root: Root) -> Mapping[str, tuple[Signature, ...]]:
        releases = self.read(lambda uow: production_targets(uow, self.factory.id))
        ids = [key_id for key_id in root.roles[Role.TARGETS].key_ids if key_id in self.held]
        return {
            tag: tuple(sign(document.payload, self.held[key_id]) for key_id in ids)
            for tag, document in releases.items()
        }

    @precondition(lambda self: self.update is not None)
    @rule(by=admins, roles=some_roles)
    def somebody_makes_online_keys(self, by: int, roles: frozenset[Role]) -> None:
        steps = make_online_keys(roles, KeyType.ED25519, txid=TXID, by=self.admins[by], keyring=KEYRING, now=self.now)
        run_blocking(steps, self.database)

    @precondition(lambda self: self.update is not None)
    @rule(by=admins)
    def somebody_applies(self, by: int) -> None:
        view = self.read(lambda uow: view_roots(uow, self.factory.id, KEYRING, now=self.now))
        before = self.present().version
        steps = apply_root_update(txid=TXID, by=self.admins[by], keyring=KEYRING, now=self.now)
        try:
            run_blocking(steps, self.database)
        except FaultyRootError as error:
            refused = error.faults
        else:
            refused = ()
        assert refused == view.faults
        if refused:
            assert self.present().version == before
            return
        assert self.update is None
        versions = [self.present(production=production).version for production in (False, True)]
        assert versions == [before + 1] * 2

    @precondition(lambda self: self.update is not None and self.update.staged.production is not None)
    @rule(by=admins)
    def everybody_signs_and_it_is_applied(self, by: int) -> None:
        assert self.update is not None
        self.sign_staged(by, self.may_sign(self.update.ci_root))
        self.somebody_applies(by)

    @rule(by=admins, roots=some_root_keys, releases=some_release_keys, roles=some_roles | st.none())
    def somebody_rotates_everything(
        self, by: int, roots: list[int], releases: list[int], roles: frozenset[Role] | None
    ) -> None:
        """The whole way in one go, as one command of the owner's program does it."""
        self.somebody_cancels(by)
        self.somebody_begins(by, first_time=self.present().version == FIRST_CHANGE - 1)
        if roles is not None:
            self.somebody_makes_online_keys(by, roles)
        self.somebody_stages(by, roots, False, releases, (2, 2), True, True)
        self.everybody_signs_and_it_is_applied(by)

    @rule(by=admins)
    def somebody_cancels(self, by: int) -> None:
        with suppress(NotFoundError):
            run_blocking(cancel_root_update(by=self.admins[by], now=self.now), self.database)
        assert self.update is None

    @rule(tag=st.sampled_from(TAGS))
    def a_target_is_published(self, tag: str) -> None:
        name = f"t-{next(_numbers)}"
        by, now = self.admins[0], self.now
        self.write(partial(add_target, ref=TargetRef(tag, name), entry=ENTRY, by=by, keyring=KEYRING, now=now))

    @rule(tag=st.sampled_from(TAGS))
    def production_targets_are_released(self, tag: str) -> None:
        role = self.present(production=True).roles[Role.TARGETS]
        signers = [self.held[key_id] for key_id in role.key_ids if key_id in self.held]
        if not signers or len(signers) + 1 < role.threshold:
            return
        version = 1 + max([document.signed["version"] for document in self.releases().values()], default=0)
        signed = new_targets(version, self.now + timedelta(days=365), {f"r-{version}": ENTRY})
        document = Document(signed)
        document = replace(document, signatures=tuple(sign(document.payload, one) for one in signers))

        def work(uow: Any) -> None:
            online = online_signers(uow, self.factory.id, KEYRING)
            releases = production_targets(uow, self.factory.id) | {tag: document}
            publish_production(uow, self.factory.id, releases, online, now=self.now)

        self.write(work)

    def releases(self) -> dict[str, Document]:
        found: dict[str, Document] = self.read(lambda uow: production_targets(uow, self.factory.id))
        return found

    @rule(days=st.integers(1, 200))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)

    # --- what intruders do

    @precondition(lambda self: self.update is not None)
    @rule(how=st.integers(0, 9), by=admins)
    def somebody_tampers(self, how: int, by: int) -> None:
        assert self.update is not None
        root = self.update.ci_root
        thief = ed25519_signer(666).key
        private = root.signed()
        private["keys"] = {**dict(private["keys"]), "ff" * 32: ROOT_KEYS[0].document()}  # type: ignore[dict-item,arg-type]
        forged = Signature(next(iter(root.keys)), "ed25519", bytes(64))
        both = self.signed(root, 2, []).chains
        tampered = [
            self.signed(replace(root, version=root.version + 1), 2, []).chains,
            self.signed(with_role(root, Role.SNAPSHOT, thief), 2, []).chains,
            self.signed(with_role(root, Role.TARGETS, thief), 2, []).chains,
            self.signed(replace(root, keys={**root.keys, thief.key_id: thief}), 2, []).chains,
            self.signed(root, 1, []).chains,
            self.signed(replace(root, expires=self.now + timedelta(days=900)), 2, []).chains,
            Chains(Document(private), Document(private)),
            Chains(replace(both.ci, signatures=(forged,)), both.production),
            Chains(both.ci, Document(both.production_or_ci.signed | {"delegations": {}})),
            Chains(both.ci, None),
        ][how]
        assert not self.send(Upload(tampered), by)
        assert not self.send(self.signed(root, 2, self.may_sign(root)), by, txid="WRONG000")

    # --- what devices see

    @invariant()
    def devices_go_on(self) -> None:
        self.write(partial(renew_expiring, keyring=KEYRING, now=self.now))
        for production in (False, True):
            held = self.old[production]
            for trust in (held, self.new_device(production=production)):
                self.walk_roots(trust, production=production)
                for tag in TAGS:
                    self.walk_down(trust, production=production, tag=tag)
            assert held.root.version == self.present(production=production).version

    def walk_roots(self, trust: DeviceTrust, *, production: bool) -> None:
        while (data := self.find_root(trust.root.version + 1, production=production)) is not None:
            trust.update_root(data)

    def walk_down(self, trust: DeviceTrust, *, production: bool, tag: str) -> None:
        made = self.documents(production=production, tag=tag)
        if made is None or trust.root.expires <= self.now:
            return  # nothing to see, or the owner must prolong the root
        if production:
            trust.targets = trust.snapshot = None  # each tag's production targets have their owner's own count
        trust.update_timestamp(made.timestamp, now=self.now)
        trust.update_snapshot(made.snapshot, now=self.now)
        try:
            trust.update_targets(made.targets, now=self.now)
        except RefusedError as error:
            # Production targets end when those who signed them said so; nobody else can prolong them.
            if (production, error.code) != (True, "tuf-expired"):
                raise

    def documents(self, *, production: bool, tag: str) -> TagDocuments | None:
        """Fetch a tag's documents; a version is never served twice with other bytes, and never goes down."""
        made: TagDocuments | None = self.read(lambda uow: uow.tuf.documents(TagRef(self.factory.id, production, tag)))
        if made is not None:
            assert self.served.setdefault((production, tag, made.version), made) == made
            assert made.version >= self.newest[production]
            self.newest[production] = made.version
        return made


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("any") / "ownroot.db"
    migrate_database(f"sqlite:///{path}")
    opened = open_database(f"sqlite:///{path}")
    yield opened
    opened.close()


def run(database: Database, *, examples: int, steps: int, phases: Sequence[Phase]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Repository(database),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,  # the same steps meet other server keys: shrinking works, replaying does not
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_device_is_ever_stuck(database: Database) -> None:
    run(database, examples=10, steps=25, phases=[Phase.generate])


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_no_device_is_ever_stuck_for_long(database: Database) -> None:
    run(database, examples=300, steps=60, phases=[Phase.generate, Phase.shrink])
