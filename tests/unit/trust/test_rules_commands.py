"""Signed commands on device CAs: disable, renew, revoke (protocol: api.md §3.5)."""

import dataclasses
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.pki import der
from ownroot.pki.encoding import load_crl_der
from ownroot.trust.changes import Field, UploadPki
from ownroot.trust.possession import KeyKind
from ownroot.trust.rules import Accepted, Refused, decide
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, RevokedCa, Standing
from ownroot.trust.verdicts import RefusalKind, TrustEventKind
from tests.support.owner_pki import (
    DISABLE,
    FACTORY,
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
    key_id,
    make,
    named,
    pending,
    pending_keys,
    private_key,
    taken_over,
)

PKI = taken_over(ONLINE_CA, LOCAL_CA)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
SITE_CA = dataclasses.replace(LOCAL_CA, key="site")
NEXT_ONLINE = dataclasses.replace(ONLINE_CA, key="next online")
SAME_KEY = dataclasses.replace(LOCAL_CA, serial=77)


def order(ca: Spec | int, reason: x509.ReasonFlags | None, *, at: datetime = NOW) -> UploadPki:
    return UploadPki(crl=command({ca: reason}, at=at))


def listing(pki: FactoryPki, *more: x509.Certificate, without: Spec | None = None) -> tuple[x509.Certificate, ...]:
    left_out = None if without is None else make(without)
    return (*(ca.certificate for ca in pki.device_cas if ca.certificate != left_out), *more)


def after(pki: FactoryPki, *changes: UploadPki, now: datetime = NOW) -> FactoryPki:
    for change in changes:
        pki = accepted(pki, change, now=now).new_pki
    return pki


def accepted(pki: FactoryPki, change: UploadPki, *, now: datetime = NOW) -> Accepted:
    outcome = decide(pki, change, evidence(pending(KeyKind.ONLINE_CA, "next online")), now)
    assert isinstance(outcome, Accepted), outcome
    return outcome


def refusal(pki: FactoryPki, change: UploadPki, *, now: datetime = NOW) -> Refused:
    outcome = decide(pki, change, evidence(pending(KeyKind.ONLINE_CA, "next online")), now)
    assert isinstance(outcome, Refused)
    return outcome


def found(pki: FactoryPki, spec: Spec) -> DeviceCa:
    ca = pki.find_ca(make(spec).serial_number)
    assert ca is not None
    return ca


def events(outcome: Accepted) -> list[tuple[TrustEventKind, x509.Certificate]]:
    return [(event.kind, event.certificate) for event in outcome.events]


# --- the three verdicts


def test_reason_6_disables_one_ca_and_leaves_the_others() -> None:
    outcome = accepted(PKI, order(LOCAL_CA, DISABLE))

    disabled = dataclasses.replace(found(PKI, LOCAL_CA), standing=Standing.DISABLED, commanded_at=NOW)
    assert outcome.new_pki.device_cas == (found(PKI, ONLINE_CA), disabled)
    assert outcome.new_pki.disabled_serials == (make(LOCAL_CA).serial_number,)
    assert events(outcome) == [(TrustEventKind.DEVICE_CA_DISABLED, make(LOCAL_CA))]
    assert outcome.dropped_online_keys == ()


def test_reason_8_undoes_a_disable() -> None:
    disabled = after(PKI, order(LOCAL_CA, DISABLE))
    outcome = accepted(disabled, order(LOCAL_CA, RENEW))

    assert found(outcome.new_pki, LOCAL_CA).standing is Standing.ENABLED
    assert events(outcome) == [(TrustEventKind.DEVICE_CA_ENABLED, make(LOCAL_CA))]


@pytest.mark.parametrize("reason", [None, *(r for r in list(x509.ReasonFlags)[1:] if r not in (DISABLE, RENEW))])
def test_any_other_reason_revokes(reason: x509.ReasonFlags | None) -> None:
    outcome = accepted(PKI, order(LOCAL_CA, reason))

    assert outcome.new_pki.device_cas == (found(PKI, ONLINE_CA),)
    assert outcome.new_pki.revoked_cas == (
        RevokedCa(make(LOCAL_CA).serial_number, make(LOCAL_CA), Holder.LOCAL, revoked_at=NOW, commanded_at=NOW),
    )
    assert events(outcome) == [(TrustEventKind.DEVICE_CA_REVOKED, make(LOCAL_CA))]


def test_a_disabled_ca_can_be_revoked_and_is_disabled_no_more() -> None:
    pki = after(PKI, order(LOCAL_CA, DISABLE), order(LOCAL_CA, REVOKE, at=NOW + SECOND))

    assert pki.disabled_serials == ()
    assert pki.revoked_serials == {make(LOCAL_CA).serial_number}


def test_one_command_may_say_several_things() -> None:
    pki = after(PKI, UploadPki(device_cas=listing(PKI, make(SITE_CA))))
    outcome = accepted(pki, UploadPki(crl=command({LOCAL_CA: REVOKE, SITE_CA: DISABLE})))

    assert {ca.certificate: ca.standing for ca in outcome.new_pki.device_cas} == {
        make(ONLINE_CA): Standing.ENABLED,
        make(SITE_CA): Standing.DISABLED,
    }


# --- the online CA in use


def test_revoking_the_online_ca_destroys_its_key() -> None:
    outcome = accepted(PKI, order(ONLINE_CA, REVOKE))

    assert outcome.dropped_online_keys == (key_id("online"),)
    assert outcome.new_pki.signing_ca is None


def test_disabling_the_online_ca_keeps_its_key_for_later() -> None:
    outcome = accepted(PKI, order(ONLINE_CA, DISABLE))

    assert outcome.dropped_online_keys == ()
    assert outcome.new_pki.signing_ca is not None
    assert outcome.new_pki.signing_ca.standing is Standing.DISABLED


def test_revoking_an_earlier_online_ca_leaves_the_present_one_signing() -> None:
    pki = after(PKI, UploadPki(device_cas=listing(PKI, make(NEXT_ONLINE))))
    outcome = accepted(pki, order(ONLINE_CA, REVOKE))

    assert outcome.dropped_online_keys == ()
    assert outcome.new_pki.signing_ca == found(pki, NEXT_ONLINE)


@pytest.mark.parametrize("reason", [REVOKE, DISABLE])
def test_the_online_ca_may_be_replaced_and_commanded_in_one_upload(reason: x509.ReasonFlags) -> None:
    upload = UploadPki(device_cas=listing(PKI, make(NEXT_ONLINE)), crl=command({ONLINE_CA: reason}))
    outcome = accepted(PKI, upload)

    assert outcome.dropped_online_keys == (key_id("online"),)
    assert outcome.new_pki.signing_ca is not None
    assert outcome.new_pki.signing_ca.certificate == make(NEXT_ONLINE)


# --- what proves it


def test_a_command_of_another_root_is_refused() -> None:
    refused = refusal(PKI, UploadPki(crl=command({LOCAL_CA: REVOKE}, signer="thief")))
    assert (refused.code, refused.field, refused.kind) == (
        "crl-not-signed-by-root",
        Field.CRL,
        RefusalKind.INVALID,
    )


def test_a_command_under_another_name_is_refused() -> None:
    other = dataclasses.replace(ROOT, subject=LOCAL_CA.subject)
    assert refusal(PKI, UploadPki(crl=command({LOCAL_CA: REVOKE}, issuer=other))).code == "crl-not-signed-by-root"


def test_a_device_ca_commands_nothing() -> None:
    refused = refusal(PKI, UploadPki(crl=command({LOCAL_CA: REVOKE}, signer="online", issuer=ONLINE_CA)))
    assert refused.code == "crl-not-signed-by-root"


def test_before_take_over_nobody_commands() -> None:
    assert refusal(FactoryPki(FACTORY), order(LOCAL_CA, REVOKE)).code == "pki-not-initialized"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOW + 5 * MINUTE, None),
        (NOW + 5 * MINUTE + SECOND, "crl-not-yet-valid"),
        (NOW - 20 * MINUTE, None),
        (NOW - 20 * MINUTE - SECOND, "crl-expired"),
    ],
)
def test_a_command_counts_for_its_time_and_five_minutes_of_skew(at: datetime, code: str | None) -> None:
    upload = order(LOCAL_CA, DISABLE, at=at)
    if code is None:
        accepted(PKI, upload)
    else:
        assert refusal(PKI, upload).code == code


def test_a_command_without_entries_is_refused() -> None:
    assert refusal(PKI, UploadPki(crl=command({}))).code == "crl-empty"


def test_one_unknown_serial_refuses_the_whole_command() -> None:
    upload = UploadPki(crl=command({LOCAL_CA: REVOKE, 4711: REVOKE}))
    refused = refusal(PKI, upload)

    assert (refused.code, refused.field, refused.kind) == ("crl-serial-unknown", Field.CRL, RefusalKind.CONFLICT)
    assert "4711" in refused.detail
    accepted(PKI, order(LOCAL_CA, REVOKE))


def test_certificates_that_are_no_device_cas_cannot_be_named() -> None:
    for certificate in (ROOT, GATEWAY_TLS):
        assert refusal(PKI, order(certificate, REVOKE)).code == "crl-serial-unknown"


@pytest.mark.parametrize("reason", [RENEW, REVOKE])
def test_a_ca_that_the_same_upload_adds_can_be_neither_renewed_nor_revoked(reason: x509.ReasonFlags) -> None:
    upload = UploadPki(device_cas=listing(PKI, make(SITE_CA)), crl=command({SITE_CA: reason}))
    assert refusal(PKI, upload).code == "crl-serial-unknown"


def test_a_ca_that_the_same_upload_adds_can_be_disabled_from_the_start() -> None:
    upload = UploadPki(device_cas=listing(PKI, make(SITE_CA)), crl=command({SITE_CA: DISABLE}))
    outcome = accepted(PKI, upload)
    joined = outcome.new_pki.find_ca(make(SITE_CA).serial_number)
    assert joined is not None
    assert (joined.standing, joined.commanded_at) == (Standing.DISABLED, NOW)
    kinds = [event.kind for event in outcome.events]
    assert kinds == [TrustEventKind.LOCAL_CA_ADDED, TrustEventKind.DEVICE_CA_DISABLED]
    # The command counts once: it does not take in another certificate with the same serial later.
    again = refusal(after(outcome.new_pki, order(SITE_CA, REVOKE, at=NOW + SECOND)), upload)
    assert again.code == "device-ca-revoked"


def test_a_ca_of_another_server_joins_disabled_or_not_at_all() -> None:
    foreign = changed(SITE_CA, subject=named("gateway.elsewhere.example"))
    serial = foreign.serial_number
    alone = UploadPki(device_cas=listing(PKI, foreign))
    assert refusal(PKI, alone).code == "local-ca-name"
    for reason, code in ((REVOKE, "local-ca-name"), (RENEW, "local-ca-name")):
        assert refusal(PKI, dataclasses.replace(alone, crl=command({serial: reason}))).code == code
    outcome = accepted(PKI, dataclasses.replace(alone, crl=command({serial: DISABLE})))
    joined = outcome.new_pki.find_ca(serial)
    assert joined is not None
    assert (joined.holder, joined.standing, joined.owner_id, joined.signs) == (
        Holder.LOCAL,
        Standing.DISABLED,
        None,
        False,
    )
    # An applied list sent again with the CA of somebody else opens no door.
    other = changed(SITE_CA, key="another site", subject=named("other.example"), serial=serial + 1)
    both = UploadPki(device_cas=listing(outcome.new_pki, other), crl=command({serial: DISABLE}))
    assert refusal(outcome.new_pki, both).code == "local-ca-name"


def test_after_the_roots_end_a_ca_can_be_revoked_and_disabled_but_not_renewed() -> None:
    late = ROOT.end + SECOND
    pki = after(PKI, order(LOCAL_CA, DISABLE, at=late), now=late)
    after(pki, order(LOCAL_CA, REVOKE, at=late), now=late)
    assert refusal(pki, order(LOCAL_CA, RENEW, at=late), now=late).code == "root-expired"


# --- replay


def test_a_command_sent_again_while_it_is_in_effect_succeeds_and_changes_nothing() -> None:
    for reason in (DISABLE, RENEW, REVOKE):
        upload = order(LOCAL_CA, reason)
        pki = after(PKI, upload)
        outcome = accepted(pki, upload, now=NOW + 20 * MINUTE)
        assert outcome == Accepted(pki)
        assert outcome.new_pki is pki


def test_a_disable_sent_again_after_a_renewal_is_refused() -> None:
    first = order(LOCAL_CA, DISABLE)
    pki = after(PKI, first, order(LOCAL_CA, RENEW))  # in the same second

    refused = refusal(pki, first)
    assert (refused.code, refused.field, refused.kind) == ("crl-replayed", Field.CRL, RefusalKind.CONFLICT)
    accepted(pki, order(LOCAL_CA, DISABLE, at=NOW + SECOND))


def test_a_renewal_sent_again_after_a_disable_is_refused() -> None:
    renewal = order(LOCAL_CA, RENEW)
    pki = after(PKI, renewal, order(LOCAL_CA, DISABLE))
    assert refusal(pki, renewal).code == "crl-replayed"


def test_altering_the_signature_does_not_make_it_a_new_command() -> None:
    first = order(LOCAL_CA, DISABLE)
    assert first.crl is not None
    altered = UploadPki(crl=with_other_signature(first.crl))
    pki = after(PKI, first, order(LOCAL_CA, RENEW))

    assert altered.crl != first.crl
    assert refusal(pki, altered).code == "crl-replayed"


def test_a_command_signed_before_the_last_one_is_refused() -> None:
    held_back = order(LOCAL_CA, RENEW, at=NOW - SECOND)
    pki = after(PKI, order(LOCAL_CA, DISABLE))

    refused = refusal(pki, held_back)
    assert (refused.code, refused.field, refused.kind) == ("crl-outdated", Field.CRL, RefusalKind.CONFLICT)
    accepted(pki, order(LOCAL_CA, RENEW))


def test_a_later_command_on_another_ca_is_no_reason_to_refuse() -> None:
    accepted(after(PKI, order(ONLINE_CA, DISABLE)), order(LOCAL_CA, DISABLE, at=NOW - SECOND))


def test_disabling_twice_with_a_fresh_command_succeeds() -> None:
    pki = after(PKI, order(LOCAL_CA, DISABLE))
    again = accepted(pki, order(LOCAL_CA, DISABLE, at=NOW + SECOND))

    assert found(again.new_pki, LOCAL_CA).standing is Standing.DISABLED
    assert found(again.new_pki, LOCAL_CA).commanded_at == NOW + SECOND


def test_revoking_twice_with_a_fresh_command_says_that_it_was_revoked() -> None:
    pki = after(PKI, order(LOCAL_CA, REVOKE))
    for reason in (REVOKE, DISABLE):
        refused = refusal(pki, order(LOCAL_CA, reason, at=NOW + SECOND))
        assert (refused.code, refused.field) == ("device-ca-revoked", Field.CRL)


def test_commands_are_remembered_until_they_have_expired_and_no_longer() -> None:
    pki = after(PKI, order(LOCAL_CA, DISABLE))
    last = NOW + 20 * MINUTE

    assert len(after(pki, order(ONLINE_CA, DISABLE, at=last), now=last).commands) == 2
    assert len(after(pki, order(ONLINE_CA, DISABLE, at=last), now=last + SECOND).commands) == 1
    assert refusal(pki, order(LOCAL_CA, DISABLE), now=last + SECOND).code == "crl-expired"


# --- beside a list


def test_the_list_may_leave_out_exactly_what_is_revoked_beside_it() -> None:
    upload = UploadPki(device_cas=listing(PKI, without=LOCAL_CA), crl=command({LOCAL_CA: REVOKE}))
    assert after(PKI, upload).device_cas == (found(PKI, ONLINE_CA),)

    for orders in ({LOCAL_CA: DISABLE}, {ONLINE_CA: REVOKE}):
        wrong = dataclasses.replace(upload, crl=command(orders))  # type: ignore[arg-type]  # a mapping of such keys
        assert refusal(PKI, wrong).code == "device-ca-missing"


def test_a_revocation_wins_over_a_list_that_still_holds_the_ca() -> None:
    upload = UploadPki(device_cas=listing(PKI), crl=command({LOCAL_CA: REVOKE}))
    pki = after(PKI, upload)

    assert pki.device_cas == (found(PKI, ONLINE_CA),)
    assert accepted(pki, upload).new_pki is pki


def test_another_certificate_under_the_serial_of_a_revoked_ca_does_not_slip_through() -> None:
    impostor = changed(SITE_CA, serial=make(LOCAL_CA).serial_number)
    upload = UploadPki(device_cas=listing(PKI, impostor, without=LOCAL_CA), crl=command({LOCAL_CA: REVOKE}))
    assert refusal(PKI, upload).code == "serial-repeated"


# --- coming back


def test_a_revoked_ca_comes_back_with_a_renewal_in_the_same_upload() -> None:
    pki = after(PKI, order(LOCAL_CA, REVOKE))
    back = UploadPki(device_cas=listing(pki, make(LOCAL_CA)), crl=command({LOCAL_CA: RENEW}))
    outcome = accepted(pki, back)

    assert found(outcome.new_pki, LOCAL_CA).standing is Standing.ENABLED
    assert outcome.new_pki.revoked_cas == ()
    assert events(outcome) == [
        (TrustEventKind.LOCAL_CA_ADDED, make(LOCAL_CA)),
        (TrustEventKind.DEVICE_CA_ENABLED, make(LOCAL_CA)),
    ]


def test_a_revoked_ca_does_not_come_back_with_one_half_alone() -> None:
    pki = after(PKI, order(LOCAL_CA, REVOKE))
    the_list = UploadPki(device_cas=listing(pki, make(LOCAL_CA)))

    assert (refusal(pki, the_list).code, refusal(pki, the_list).field) == ("device-ca-revoked", Field.DEVICE_CAS)
    renewal = refusal(pki, order(LOCAL_CA, RENEW))
    assert (renewal.code, renewal.field) == ("device-ca-revoked", Field.CRL)
    other = dataclasses.replace(the_list, crl=command({ONLINE_CA: RENEW}))
    assert refusal(pki, other).code == "device-ca-revoked"


def test_only_the_very_certificate_that_was_revoked_comes_back() -> None:
    pki = after(PKI, order(LOCAL_CA, REVOKE))
    impostor = changed(SITE_CA, serial=make(LOCAL_CA).serial_number)
    upload = UploadPki(device_cas=listing(pki, impostor), crl=command({LOCAL_CA: RENEW}))
    assert refusal(pki, upload).code == "device-ca-revoked"


def test_the_upload_that_brought_it_back_does_not_bring_it_back_again() -> None:
    pki = after(PKI, order(LOCAL_CA, REVOKE))
    back = UploadPki(device_cas=listing(pki, make(LOCAL_CA)), crl=command({LOCAL_CA: RENEW}))
    again_revoked = after(pki, back, UploadPki(crl=command({LOCAL_CA: REVOKE, ONLINE_CA: DISABLE})))

    assert refusal(again_revoked, back).code == "crl-replayed"


def test_an_earlier_online_ca_comes_back_without_its_destroyed_key() -> None:
    pki = after(PKI, order(ONLINE_CA, REVOKE))
    back = UploadPki(device_cas=listing(pki, make(ONLINE_CA)), crl=command({ONLINE_CA: RENEW}))
    ca = found(after(pki, back), ONLINE_CA)

    assert (ca.holder, ca.signs) == (Holder.ONLINE, False)


def test_a_ca_revoked_before_certificates_were_kept_comes_back_by_its_serial() -> None:
    old = RevokedCa(make(LOCAL_CA).serial_number, None, Holder.LOCAL, revoked_at=NOW, commanded_at=NOW)
    pki = dataclasses.replace(taken_over(ONLINE_CA), revoked_cas=(old,))
    back = UploadPki(device_cas=listing(pki, make(LOCAL_CA)), crl=command({LOCAL_CA: RENEW}))

    assert refusal(pki, dataclasses.replace(back, crl=None)).code == "device-ca-revoked"
    assert after(pki, back).revoked_cas == ()


def test_the_key_of_a_revoked_ca_does_not_come_back_in_another_certificate() -> None:
    upload = UploadPki(device_cas=listing(PKI, make(SAME_KEY)))
    accepted(PKI, upload)
    pki = after(PKI, order(LOCAL_CA, REVOKE))

    refused = refusal(pki, UploadPki(device_cas=listing(pki, make(SAME_KEY))))
    assert (refused.code, refused.field) == ("device-ca-key-revoked", Field.DEVICE_CAS)
    assert str(make(LOCAL_CA).serial_number) in refused.detail


@pytest.mark.parametrize("reason", [DISABLE, REVOKE])
def test_two_cas_over_one_key_are_commanded_together(reason: x509.ReasonFlags) -> None:
    pki = after(PKI, UploadPki(device_cas=listing(PKI, make(SAME_KEY))))
    both = UploadPki(crl=command({LOCAL_CA: reason, SAME_KEY: reason}))
    refused = refusal(pki, order(LOCAL_CA, reason))

    assert (refused.code, refused.field, refused.kind) == ("crl-key-shared", Field.CRL, RefusalKind.CONFLICT)
    assert str(make(SAME_KEY).serial_number) in refused.detail
    accepted(pki, both)


# --- all or nothing


def test_a_command_that_fails_takes_the_rest_of_the_upload_with_it() -> None:
    upload = UploadPki(device_cas=listing(PKI, make(SITE_CA)), crl=command({4711: REVOKE}))
    assert refusal(PKI, upload).code == "crl-serial-unknown"
    accepted(PKI, dataclasses.replace(upload, crl=command({LOCAL_CA: REVOKE})))


def test_a_first_root_revokes_nothing() -> None:
    first = UploadPki(root=make(ROOT), gateway_tls=make(GATEWAY_TLS), device_cas=(make(LOCAL_CA),))
    by = evidence(*pending_keys())

    assert isinstance(decide(FactoryPki(FACTORY), first, by, NOW), Accepted)
    commanding = dataclasses.replace(first, crl=command({LOCAL_CA: REVOKE}))
    outcome = decide(FactoryPki(FACTORY), commanding, by, NOW)
    assert isinstance(outcome, Refused)
    assert outcome.code == "crl-serial-unknown"


def with_other_signature(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    """Sign the same signed part once more: ECDSA gives another signature each time."""
    key = private_key("root")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(crl.tbs_certlist_bytes, ec.ECDSA(hashes.SHA256()))
    _, algorithm, _ = der.read(der.read_one(crl.public_bytes(Encoding.DER), der.SEQUENCE).content)
    return load_crl_der(der.sequence(crl.tbs_certlist_bytes, algorithm.raw, der.bit_string(signature)))
