"""No sequence of uploads reaches a state that the owner's root has not signed.

An owner works, an intruder with API access sends whatever they have, and time passes. The owner holds the key `root`,
the intruder has seen every certificate that was ever uploaded and has keys of their own. After every step the state is
judged by other means than the rules use.
"""

import dataclasses
from datetime import datetime, timedelta

from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ownroot.pki.encoding import spki_sha256
from ownroot.trust.changes import UploadPki
from ownroot.trust.possession import KeyKind, PendingKey
from ownroot.trust.rules import Accepted, Refused, Verdict, decide
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, RevokedCa, Standing
from tests.support.owner_pki import (
    DISABLE,
    EST_NAMES,
    EST_TLS,
    FACTORY,
    GATEWAY_NAMES,
    GATEWAY_TLS,
    LOCAL_CA,
    NOW,
    ONLINE_CA,
    RENEW,
    REVOKE,
    ROOT,
    Spec,
    changed,
    command,
    evidence,
    make,
    named,
    pending,
)

STANDING_AFTER = {DISABLE: Standing.DISABLED, RENEW: Standing.ENABLED, REVOKE: None}
THIEVES_ROOT = dataclasses.replace(ROOT, key="thief", signer="thief")
KINDS = {KeyKind.TLS: GATEWAY_NAMES, KeyKind.EST: EST_NAMES, KeyKind.ONLINE_CA: ()}
SPECS = {KeyKind.TLS: GATEWAY_TLS, KeyKind.EST: EST_TLS, KeyKind.ONLINE_CA: ONLINE_CA}

roots = st.sampled_from([make(ROOT), make(THIEVES_ROOT), changed(ROOT, serial=5), changed(ROOT, path_length=0)])
# What may be wrong with a certificate; mostly one thing, so that no other rule refuses it first.
faults: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"signer": st.sampled_from(["thief", "owner 1"])}),
    st.fixed_dictionaries({"serial": st.integers(1, 2)}),
    st.fixed_dictionaries({"subject": st.sampled_from([named("fio-x"), named("fio-x", "umbrella"), named("x")])}),
    st.fixed_dictionaries({"end": st.sampled_from([NOW - timedelta(hours=1), NOW + timedelta(hours=1)])}),
)


def key_of(certificate: x509.Certificate) -> bytes:
    """Our name for a certificate's public key."""
    return spki_sha256(certificate.public_key())


def key_of_revoked(ca: RevokedCa) -> bytes:
    assert ca.certificate is not None
    return key_of(ca.certificate)


class Factory(RuleBasedStateMachine):
    """One factory's PKI, the pending keys as a store keeps them, and the private keys the backend has."""

    @initialize()
    def start(self) -> None:
        self.now: datetime = NOW
        self.pki = FactoryPki(FACTORY)
        self.pending: list[PendingKey] = []
        self.handed_out: dict[bytes, KeyKind] = {}
        self.active: set[bytes] = set()
        self.destroyed: set[bytes] = set()
        self.ever_trusted: list[x509.Certificate] = []
        self.seen: list[UploadPki] = []
        self.commands: list[x509.CertificateRevocationList] = []
        self.labels: list[str] = []

    # --- what the server does

    def hand_out(self, kind: KeyKind) -> str:
        label = f"{kind} {len(self.labels)}"
        self.labels.append(label)
        key = pending(kind, label, *KINDS[kind], expires_at=self.now + timedelta(hours=1))
        self.pending = [*self.pending, key][-6:]
        self.handed_out[key.spki_sha256] = kind
        return label

    def send(self, change: UploadPki) -> Verdict:
        self.seen.append(change)
        before, by = self.pki, evidence(*self.pending)
        outcome = decide(before, change, by, self.now)
        self.judge_order(change, outcome)
        if isinstance(outcome, Accepted):
            self.judge_first_root(outcome.new_pki)
            self.store(change, outcome)
            if change.crl is not None and change.crl not in self.commands:
                self.commands.append(change.crl)
        return outcome

    def judge_order(self, change: UploadPki, outcome: Verdict) -> None:
        """The order of the list decides nothing."""
        backwards = dataclasses.replace(change, device_cas=change.device_cas and change.device_cas[::-1])
        other = decide(self.pki, backwards, evidence(*self.pending), self.now)
        assert type(other) is type(outcome)
        if isinstance(outcome, Accepted) and isinstance(other, Accepted):
            assert set(other.new_pki.device_cas) == set(outcome.new_pki.device_cas)

    def judge_first_root(self, new: FactoryPki) -> None:
        if self.pki.root is not None:
            return
        assert new.gateway_tls is not None
        fresh = {key.spki_sha256 for key in self.pending if key.kind is KeyKind.TLS and self.now < key.expires_at}
        assert key_of(new.gateway_tls) in fresh

    def store(self, change: UploadPki, outcome: Accepted) -> None:
        waiting = {key.spki_sha256 for key in self.pending if self.now < key.expires_at}
        assert set(outcome.used_keys) <= waiting
        gone = {*outcome.dropped_online_keys, *outcome.replaced_tls_keys}
        assert gone <= self.active
        self.pending = [key for key in self.pending if key.spki_sha256 not in outcome.used_keys]
        self.active = (self.active | set(outcome.used_keys)) - gone
        self.destroyed |= gone
        self.judge_change(change, outcome)
        self.pki = outcome.new_pki
        self.ever_trusted += [ca.certificate for ca in self.pki.device_cas if ca.certificate not in self.ever_trusted]

    def judge_change(self, change: UploadPki, outcome: Accepted) -> None:
        old, new = self.pki, outcome.new_pki
        assert (old == new) == (not outcome.events)
        assert old.root in (None, new.root)
        commanded = {
            serial for crl in ([change.crl] if change.crl else []) for serial in (r.serial_number for r in crl)
        }
        for ca in old.device_cas:
            kept = new.find_ca(ca.serial)
            assert ca.serial in commanded or (kept is not None and kept.standing is ca.standing)
        assert new.revoked_serials ^ old.revoked_serials <= commanded
        no_ca_keys = {key.spki_sha256 for key in self.pending if key.kind is not KeyKind.ONLINE_CA}
        no_ca_keys |= {key_of(ca.certificate) for ca in new.device_cas if ca.standing is Standing.DISABLED}
        no_ca_keys |= {key_of(ca.certificate) for ca in new.revoked_cas if ca.certificate is not None}
        no_ca_keys |= {key_of(c) for c in (new.root, new.gateway_tls, new.est_tls) if c is not None}
        added = [ca.certificate for ca in new.device_cas if not old.trusts(ca.certificate)]
        assert no_ca_keys.isdisjoint(key_of(certificate) for certificate in added)

    # --- what the owner does; it must work whatever happened before

    def whole_list_and(self, *new: x509.Certificate) -> tuple[x509.Certificate, ...]:
        return (*(ca.certificate for ca in self.pki.device_cas), *new)

    @property
    def is_the_owners(self) -> bool:
        return self.pki.root == make(ROOT)

    @precondition(lambda self: not self.pki.is_taken_over)
    @rule(online=st.booleans())
    def owner_takes_over(self, online: bool) -> None:
        tls = changed(GATEWAY_TLS, key=self.hand_out(KeyKind.TLS))
        cas = (changed(ONLINE_CA, key=self.hand_out(KeyKind.ONLINE_CA)),) if online else None
        assert isinstance(self.send(UploadPki(root=make(ROOT), gateway_tls=tls, device_cas=cas)), Accepted)

    @precondition(lambda self: self.is_the_owners)
    @rule(kind=st.sampled_from([KeyKind.TLS, KeyKind.EST]))
    def owner_rotates_a_server_certificate(self, kind: KeyKind) -> None:
        replaced = self.pki.gateway_tls if kind is KeyKind.TLS else self.pki.est_tls
        certificate = changed(SPECS[kind], key=self.hand_out(kind))
        change = UploadPki(gateway_tls=certificate) if kind is KeyKind.TLS else UploadPki(est_tls=certificate)
        outcome = self.send(change)
        assert isinstance(outcome, Accepted)
        assert len(outcome.events) == 1
        assert replaced is None or key_of(replaced) in self.destroyed

    @precondition(lambda self: self.is_the_owners)
    @rule()
    def owner_adds_an_online_ca(self) -> None:
        before = self.pki.signing_ca
        new = changed(ONLINE_CA, key=self.hand_out(KeyKind.ONLINE_CA))
        assert isinstance(self.send(UploadPki(device_cas=self.whole_list_and(new))), Accepted)
        assert before is None or key_of(before.certificate) in self.destroyed
        assert self.pki.signing_ca is not None
        assert self.pki.signing_ca.certificate == new

    @precondition(lambda self: self.is_the_owners)
    @rule()
    def owner_adds_a_local_ca(self) -> None:
        self.labels.append(f"owner {len(self.labels)}")
        new = changed(LOCAL_CA, key=self.labels[-1])
        assert isinstance(self.send(UploadPki(device_cas=self.whole_list_and(new))), Accepted)

    @rule(kind=st.sampled_from(list(KeyKind)))
    def someone_asks_for_a_csr_and_leaves(self, kind: KeyKind) -> None:
        self.hand_out(kind)

    # --- what the owner commands

    def sign(self, *cas: DeviceCa | RevokedCa, reason: x509.ReasonFlags) -> x509.CertificateRevocationList:
        """The owner never signs two commands in one second: a later one must be able to win."""
        self.now += timedelta(seconds=1)
        return command({ca.serial: reason for ca in cas}, at=self.now)

    def of_one_key(self, data: st.DataObject) -> list[DeviceCa]:
        """A device CA and those that share its key, which must be commanded with it."""
        chosen = data.draw(st.sampled_from(self.pki.device_cas))
        return [ca for ca in self.pki.device_cas if key_of(ca.certificate) == key_of(chosen.certificate)]

    @precondition(lambda self: self.is_the_owners and self.pki.device_cas)
    @rule(data=st.data(), reason=st.sampled_from([DISABLE, RENEW, REVOKE]))
    def owner_commands_a_ca(self, data: st.DataObject, reason: x509.ReasonFlags) -> None:
        chosen, signed_before = self.of_one_key(data), self.pki.signing_ca
        upload = UploadPki(crl=self.sign(*chosen, reason=reason))
        assert isinstance(self.send(upload), Accepted)
        repeated = self.send(upload)
        assert isinstance(repeated, Accepted)
        assert repeated.new_pki is self.pki
        standings = {self.standing(ca.serial) for ca in chosen}
        assert standings == {STANDING_AFTER[reason]}
        if reason is REVOKE and signed_before in chosen and signed_before is not None:
            assert key_of(signed_before.certificate) in self.destroyed

    def standing(self, serial: int) -> Standing | None:
        ca = self.pki.find_ca(serial)
        return None if ca is None else ca.standing

    @precondition(lambda self: self.is_the_owners and self.pki.device_cas)
    @rule(data=st.data(), new=st.booleans(), left_out=st.booleans())
    def owner_revokes_and_sends_the_list(self, data: st.DataObject, new: bool, left_out: bool) -> None:
        chosen = self.of_one_key(data)
        gone = [ca.certificate for ca in chosen] if left_out else []
        added = [changed(ONLINE_CA, key=self.hand_out(KeyKind.ONLINE_CA))] if new else []
        cas = tuple(c for c in self.whole_list_and(*added) if c not in gone)
        if not cas:
            return
        assert isinstance(self.send(UploadPki(device_cas=cas, crl=self.sign(*chosen, reason=REVOKE))), Accepted)
        assert not any(self.pki.trusts(ca.certificate) for ca in chosen)

    @precondition(lambda self: self.is_the_owners and self.pki.revoked_cas)
    @rule(data=st.data())
    def owner_brings_a_revoked_ca_back(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.pki.revoked_cas))
        of_key = [
            ca for ca in self.pki.revoked_cas if ca.certificate and key_of(ca.certificate) == key_of_revoked(chosen)
        ]
        certificates = [ca.certificate for ca in of_key if ca.certificate is not None]
        back = UploadPki(device_cas=self.whole_list_and(*certificates), crl=self.sign(*of_key, reason=RENEW))
        outcome = self.send(back)
        if any(certificate.not_valid_after_utc < self.now for certificate in certificates):
            assert isinstance(outcome, Refused)
            return
        assert isinstance(outcome, Accepted)
        assert all(self.pki.trusts(certificate) for certificate in certificates)

    # --- what an intruder does with commands they saw, or sign themselves

    @precondition(lambda self: self.is_the_owners and self.pki.device_cas)
    @rule(data=st.data(), reason=st.sampled_from([DISABLE, RENEW, REVOKE]))
    def intruder_commands(self, data: st.DataObject, reason: x509.ReasonFlags) -> None:
        ca = data.draw(st.sampled_from(self.pki.device_cas))
        signer = data.draw(st.sampled_from(["thief", *self.labels]))
        assert isinstance(self.send(UploadPki(crl=command({ca.serial: reason}, at=self.now, signer=signer))), Refused)

    @precondition(lambda self: self.is_the_owners and self.pki.device_cas)
    @rule(data=st.data(), reason=st.sampled_from([DISABLE, RENEW, REVOKE]))
    def owner_names_a_serial_that_is_not_there(self, data: st.DataObject, reason: x509.ReasonFlags) -> None:
        ca = data.draw(st.sampled_from(self.pki.device_cas))
        self.now += timedelta(seconds=1)
        crl = command({ca.serial: reason, 4711: reason}, at=self.now)
        assert isinstance(self.send(UploadPki(crl=crl)), Refused)

    @precondition(lambda self: self.commands)
    @rule(data=st.data(), listed=st.booleans())
    def intruder_replays_a_command(self, data: st.DataObject, listed: bool) -> None:
        """With every certificate there ever was beside it: a command counted once and never counts again."""
        crl = data.draw(st.sampled_from(self.commands))
        more = [c for c in self.ever_trusted if not self.pki.trusts(c)] if listed else []
        before = self.pki
        self.send(UploadPki(crl=crl, device_cas=self.whole_list_and(*more) if more else None))
        assert self.pki == before

    # --- what an intruder does, and what time does

    def forge(self, data: st.DataObject, spec: Spec) -> x509.Certificate:
        """About this kind of certificate, over the newest key or any other, perhaps with one thing wrong."""
        labels = self.labels or ["thief"]
        keys = st.just(labels[-1]) | st.sampled_from(labels)
        changes = {"key": data.draw(keys), "start": NOW - timedelta(days=1), **data.draw(faults)}
        return changed(spec, **changes)

    @rule(data=st.data(), kind=st.sampled_from(list(KeyKind)), as_kind=st.sampled_from(list(KeyKind)))
    def intruder_uses_a_fresh_key(self, data: st.DataObject, kind: KeyKind, as_kind: KeyKind) -> None:
        self.hand_out(kind)
        certificate = self.forge(data, SPECS[as_kind])
        self.send(
            {
                KeyKind.TLS: UploadPki(gateway_tls=certificate),
                KeyKind.EST: UploadPki(est_tls=certificate),
                KeyKind.ONLINE_CA: UploadPki(device_cas=self.whole_list_and(certificate)),
            }[as_kind]
        )

    @rule(data=st.data(), root=roots)
    def intruder_sends_a_root(self, data: st.DataObject, root: x509.Certificate) -> None:
        tls = data.draw(st.sampled_from([None, self.pki.gateway_tls, self.forge(data, GATEWAY_TLS)]))
        cas = data.draw(st.sampled_from([None, self.whole_list_and()]))
        self.send(UploadPki(root=root, gateway_tls=tls, device_cas=cas))

    @rule(data=st.data(), left_out=st.integers(0, 1), count=st.integers(0, 2))
    def intruder_sends_a_list(self, data: st.DataObject, left_out: int, count: int) -> None:
        new = [self.forge(data, data.draw(st.sampled_from([LOCAL_CA, ONLINE_CA]))) for _ in range(count)]
        self.send(UploadPki(device_cas=self.whole_list_and(*new)[left_out:]))

    @precondition(lambda self: self.is_the_owners)
    @rule(kind=st.sampled_from(list(KeyKind)))
    def owner_comes_too_late(self, kind: KeyKind) -> None:
        certificate = changed(SPECS[kind], key=self.hand_out(kind))
        self.now += timedelta(hours=1)
        change = {
            KeyKind.TLS: UploadPki(gateway_tls=certificate),
            KeyKind.EST: UploadPki(est_tls=certificate),
            KeyKind.ONLINE_CA: UploadPki(device_cas=self.whole_list_and(certificate)),
        }[kind]
        assert isinstance(self.send(change), Refused)

    @precondition(lambda self: self.pki.device_cas)
    @rule(data=st.data())
    def intruder_leaves_out_a_ca(self, data: st.DataObject) -> None:
        left_out = data.draw(st.sampled_from(self.pki.device_cas)).certificate
        rest = tuple(certificate for certificate in self.whole_list_and() if certificate != left_out)
        assert isinstance(self.send(UploadPki(device_cas=rest)), Refused)

    @precondition(lambda self: self.is_the_owners)
    @rule(data=st.data())
    def owner_repeats_a_serial(self, data: st.DataObject) -> None:
        taken = [c.serial_number for c in self.pki.certificates()]
        serial = data.draw(st.sampled_from([*taken, *sorted(self.pki.revoked_serials)]))
        ca = changed(LOCAL_CA, key="owner's other ca", serial=serial)
        tls = changed(GATEWAY_TLS, key=self.hand_out(KeyKind.TLS), serial=serial)
        for change in (UploadPki(device_cas=self.whole_list_and(ca)), UploadPki(gateway_tls=tls)):
            assert isinstance(self.send(change), Refused)

    @precondition(lambda self: self.is_the_owners)
    @rule()
    def owner_sends_two_online_cas(self) -> None:
        pair = [changed(ONLINE_CA, key=self.hand_out(KeyKind.ONLINE_CA)) for _ in range(2)]
        assert isinstance(self.send(UploadPki(device_cas=self.whole_list_and(*pair))), Refused)

    @precondition(lambda self: self.pki.is_taken_over)
    @rule()
    def intruder_certifies_a_key_of_their_own(self) -> None:
        """The signature is the one thing wrong."""
        is_thieves = self.pki.root == make(THIEVES_ROOT)
        forged = changed(LOCAL_CA, key="thief's ca", signer="root" if is_thieves else "thief")
        assert isinstance(self.send(UploadPki(device_cas=self.whole_list_and(forged))), Refused)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def intruder_replays_an_upload(self, data: st.DataObject) -> None:
        self.send(data.draw(st.sampled_from(self.seen)))

    @precondition(lambda self: self.ever_trusted)
    @rule(data=st.data())
    def intruder_adds_what_was_trusted_once(self, data: st.DataObject) -> None:
        self.send(UploadPki(device_cas=self.whole_list_and(data.draw(st.sampled_from(self.ever_trusted)))))

    @rule(minutes=st.sampled_from([1, 59, 60, 600]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    # --- what holds after every step

    @invariant()
    def everything_is_signed_by_the_root(self) -> None:
        for certificate in self.pki.certificates():
            assert self.pki.root is not None
            certificate.verify_directly_issued_by(self.pki.root)

    @invariant()
    def the_root_is_of_this_factory(self) -> None:
        if self.pki.root is not None:
            assert "OU=acme" in self.pki.root.subject.rfc4514_string().split(",")

    @invariant()
    def server_certificates_are_over_keys_made_for_them(self) -> None:
        for certificate, kind in ((self.pki.gateway_tls, KeyKind.TLS), (self.pki.est_tls, KeyKind.EST)):
            if certificate is not None:
                key = key_of(certificate)
                assert self.handed_out[key] is kind
                assert key in self.active

    @invariant()
    def at_most_one_ca_signs_and_the_backend_has_its_key(self) -> None:
        signing = [ca for ca in self.pki.device_cas if ca.signs]
        assert len(signing) <= 1
        for ca in signing:
            key = key_of(ca.certificate)
            assert self.handed_out[key] is KeyKind.ONLINE_CA
            assert key in self.active

    @invariant()
    def a_destroyed_key_is_never_in_service_again(self) -> None:
        assert not self.destroyed & self.active

    @invariant()
    def a_key_has_one_standing(self) -> None:
        standings = {(key_of(ca.certificate), ca.standing) for ca in self.pki.device_cas}
        revoked = {key_of(ca.certificate) for ca in self.pki.revoked_cas if ca.certificate is not None}
        assert len({key for key, _ in standings}) == len(standings)
        assert revoked.isdisjoint(key for key, _ in standings)

    @invariant()
    def device_cas_are_told_apart(self) -> None:
        serials = [certificate.serial_number for certificate in self.pki.certificates()]
        assert len(set(serials)) == len(serials)
        assert not {ca.serial for ca in self.pki.device_cas} & self.pki.revoked_serials
        for ca in self.pki.device_cas:
            self.judge_device_ca(ca)

    def judge_device_ca(self, ca: DeviceCa) -> None:
        subject = ca.certificate.subject.rfc4514_string().split(",")
        key = key_of(ca.certificate)
        assert "OU=acme" in subject
        assert ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert self.pki.root is not None
        assert key != key_of(self.pki.root)
        if ca.holder is Holder.ONLINE:
            assert self.handed_out[key] is KeyKind.ONLINE_CA
        else:
            assert any(part.startswith("CN=fio-") for part in subject)


TestAnySequence = Factory.TestCase
TestAnySequence.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
