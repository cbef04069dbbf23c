"""Replacing the gateway TLS and EST certificates (protocol: api.md §3.4 step 5)."""

import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509

from ownroot.trust.changes import Field, UploadPki
from ownroot.trust.possession import KeyKind, PendingKey
from ownroot.trust.rules import Accepted, Refused, decide
from ownroot.trust.state import FactoryPki, Holder, RevokedCa
from ownroot.trust.verdicts import RefusalKind, TrustEventKind
from tests.support.owner_pki import (
    CLIENT_AUTH,
    EST_NAMES,
    EST_TLS,
    GATEWAY_NAMES,
    GATEWAY_TLS,
    LOCAL_CA,
    NOW,
    ONLINE_CA,
    ROOT,
    Spec,
    changed,
    evidence,
    key_id,
    make,
    named,
    pending,
    taken_over,
)

PKI = taken_over(ONLINE_CA, LOCAL_CA, est=True)
NEXT_TLS = dataclasses.replace(GATEWAY_TLS, key="next tls")
NEXT_EST = dataclasses.replace(EST_TLS, key="next est")
PENDING = (
    pending(KeyKind.TLS, "next tls", *GATEWAY_NAMES),
    pending(KeyKind.EST, "next est", *EST_NAMES),
    pending(KeyKind.ONLINE_CA, "next online"),
)


def refusal(change: UploadPki, *keys: PendingKey, pki: FactoryPki = PKI) -> Refused:
    outcome = decide(pki, change, evidence(*(keys or PENDING)), NOW)
    assert isinstance(outcome, Refused)
    return outcome


def test_a_tls_certificate_over_the_pending_key_replaces_the_present_one() -> None:
    outcome = decide(PKI, UploadPki(gateway_tls=make(NEXT_TLS)), evidence(*PENDING), NOW)

    assert isinstance(outcome, Accepted)
    assert outcome.new_pki == dataclasses.replace(PKI, gateway_tls=make(NEXT_TLS))
    assert outcome.used_keys == (key_id("next tls"),)
    assert outcome.replaced_tls_keys == (key_id("tls"),)
    assert [(event.kind, event.serial) for event in outcome.events] == [
        (TrustEventKind.GATEWAY_TLS_SET, make(NEXT_TLS).serial_number)
    ]


def test_an_est_certificate_over_the_pending_key_replaces_the_present_one() -> None:
    outcome = decide(PKI, UploadPki(est_tls=make(NEXT_EST)), evidence(*PENDING), NOW)

    assert isinstance(outcome, Accepted)
    assert outcome.new_pki == dataclasses.replace(PKI, est_tls=make(NEXT_EST))
    assert (outcome.used_keys, outcome.replaced_tls_keys) == ((key_id("next est"),), (key_id("est"),))
    assert [event.kind for event in outcome.events] == [TrustEventKind.EST_TLS_SET]


def test_a_first_est_certificate_replaces_no_key() -> None:
    pki = dataclasses.replace(PKI, est_tls=None)

    outcome = decide(pki, UploadPki(est_tls=make(NEXT_EST)), evidence(*PENDING), NOW)

    assert isinstance(outcome, Accepted)
    assert outcome.replaced_tls_keys == ()


def test_the_present_server_certificates_pass_again_and_change_nothing() -> None:
    change = UploadPki(gateway_tls=make(GATEWAY_TLS), est_tls=make(EST_TLS))

    outcome = decide(PKI, change, evidence(), NOW)

    assert isinstance(outcome, Accepted)
    assert outcome.new_pki is PKI
    assert (outcome.events, outcome.used_keys, outcome.replaced_tls_keys) == ((), (), ())


def test_an_earlier_tls_certificate_does_not_come_back() -> None:
    rotated = dataclasses.replace(PKI, gateway_tls=make(NEXT_TLS))

    refused = refusal(UploadPki(gateway_tls=make(GATEWAY_TLS)), pki=rotated)

    assert (refused.code, refused.field, refused.kind) == ("key-not-pending", Field.GATEWAY_TLS, RefusalKind.INVALID)
    assert "rotate-tls" in refused.detail


def test_another_certificate_over_the_present_tls_key_is_refused() -> None:
    """The key is no challenge any more: its certificate could be as old as the key."""
    refused = refusal(UploadPki(gateway_tls=changed(GATEWAY_TLS, serial=77)))

    assert refused.code == "key-not-pending"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        (Field.GATEWAY_TLS, UploadPki(gateway_tls=changed(NEXT_TLS, key="next est"))),
        (Field.GATEWAY_TLS, UploadPki(gateway_tls=changed(NEXT_TLS, key="next online"))),
        (Field.EST_TLS, UploadPki(est_tls=changed(NEXT_EST, key="next tls"))),
        (Field.EST_TLS, UploadPki(est_tls=changed(NEXT_EST, key="online"))),
    ],
)
def test_a_key_made_for_one_purpose_serves_no_other(field: Field, change: UploadPki) -> None:
    refused = refusal(change)

    assert (refused.code, refused.field) == ("key-not-pending", field)


def test_an_est_certificate_over_an_expired_key_is_refused() -> None:
    stale = pending(KeyKind.EST, "next est", *EST_NAMES, expires_at=NOW)

    refused = refusal(UploadPki(est_tls=make(NEXT_EST)), stale)

    assert (refused.code, refused.field) == ("pending-key-expired", Field.EST_TLS)
    assert "2026-11-23 12:00:00" in refused.detail


@pytest.mark.parametrize(
    ("code", "certificate"),
    [
        ("tls-not-signed-by-root", changed(NEXT_TLS, signer="thief")),
        ("tls-not-signed-by-root", changed(NEXT_TLS, issuer=named("Factory-CA", "umbrella"))),
        ("tls-not-signed-by-root", changed(NEXT_TLS, issuer=LOCAL_CA.subject, signer="local")),
        ("tls-is-ca", changed(NEXT_TLS, ca=True)),
        ("tls-key-usage", changed(NEXT_TLS, digital_signature=False, cert_sign=True)),
        ("tls-extended-key-usage", changed(NEXT_TLS, usages=(CLIENT_AUTH,))),
        ("tls-extended-key-usage", changed(NEXT_TLS, usages=None)),
        ("tls-dns-names", changed(NEXT_TLS, dns_names=GATEWAY_NAMES[:1])),
        ("tls-dns-names", changed(NEXT_TLS, dns_names=(*GATEWAY_NAMES, "evil.example.test"))),
        ("tls-not-yet-valid", changed(NEXT_TLS, start=NOW + timedelta(minutes=6))),
        ("tls-expired", changed(NEXT_TLS, start=NOW - timedelta(days=9), end=NOW - timedelta(minutes=6))),
    ],
)
def test_a_tls_certificate_that_misses_its_profile_is_refused_by_name(code: str, certificate: x509.Certificate) -> None:
    refused = refusal(UploadPki(gateway_tls=certificate))

    assert (refused.code, refused.field, refused.kind) == (code, Field.GATEWAY_TLS, RefusalKind.INVALID)


@pytest.mark.parametrize(
    "variant",
    [
        {"dns_names": tuple(name.upper() for name in reversed(GATEWAY_NAMES))},
        {"start": NOW + timedelta(minutes=5)},
        {"ca": False},
        {"subject": named("anything", None)},
    ],
)
def test_a_tls_certificate_as_other_tools_make_it_is_accepted(variant: dict[str, object]) -> None:
    outcome = decide(PKI, UploadPki(gateway_tls=changed(NEXT_TLS, **variant)), evidence(*PENDING), NOW)

    assert isinstance(outcome, Accepted)


@pytest.mark.parametrize("other", [ROOT, GATEWAY_TLS, EST_TLS, ONLINE_CA, LOCAL_CA])
def test_a_serial_in_service_is_not_used_twice(other: Spec) -> None:
    taken = next(c.serial_number for c in PKI.certificates() if c == make(other))

    refused = refusal(UploadPki(gateway_tls=changed(NEXT_TLS, serial=taken)))

    assert (refused.code, refused.field) == ("serial-repeated", Field.GATEWAY_TLS)


def test_the_serial_of_a_revoked_device_ca_stays_reserved() -> None:
    """Else the CA could not come back: commands name it by its serial."""
    gone = RevokedCa(77, None, Holder.LOCAL, revoked_at=NOW, commanded_at=NOW)
    change, pki = UploadPki(gateway_tls=changed(NEXT_TLS, serial=77)), dataclasses.replace(PKI, revoked_cas=(gone,))

    assert isinstance(decide(PKI, change, evidence(*PENDING), NOW), Accepted)
    refused = refusal(change, pki=pki)

    assert (refused.code, refused.field) == ("serial-repeated", Field.GATEWAY_TLS)


def test_nothing_new_is_accepted_under_an_expired_root() -> None:
    later = ROOT.end + timedelta(seconds=1)
    fresh = pending(KeyKind.TLS, "next tls", *GATEWAY_NAMES, expires_at=later + timedelta(hours=1))
    change = UploadPki(gateway_tls=changed(NEXT_TLS, end=later + timedelta(days=1)))

    assert isinstance(decide(PKI, change, evidence(fresh), ROOT.end), Accepted)
    outcome = decide(PKI, change, evidence(fresh), later)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field, outcome.kind) == ("root-expired", Field.GATEWAY_TLS, RefusalKind.CONFLICT)
