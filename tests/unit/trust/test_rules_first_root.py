"""Take-over: what a first root must be and must prove (protocol: api.md §3.4 steps 2 to 5)."""

from datetime import timedelta

import pytest
from cryptography import x509

from ownroot.trust.changes import Field, UploadPki
from ownroot.trust.possession import KeyKind
from ownroot.trust.rules import Accepted, Refused, decide
from ownroot.trust.state import FactoryPki, Holder
from ownroot.trust.verdicts import RefusalKind, TrustEventKind
from tests.support.owner_pki import (
    FACTORY,
    GATEWAY_NAMES,
    GATEWAY_TLS,
    LOCAL_CA,
    NOW,
    ONLINE_CA,
    ROOT,
    SERVER_AUTH,
    changed,
    evidence,
    key_id,
    make,
    named,
    pending,
    pending_keys,
)

UNCLAIMED = FactoryPki(FACTORY)
TAKE_OVER = UploadPki(root=make(ROOT), gateway_tls=make(GATEWAY_TLS), device_cas=(make(ONLINE_CA), make(LOCAL_CA)))


def refusal(change: UploadPki, pki: FactoryPki = UNCLAIMED) -> Refused:
    outcome = decide(pki, change, evidence(*pending_keys()), NOW)
    assert isinstance(outcome, Refused)
    return outcome


def test_a_first_root_with_a_fresh_tls_certificate_takes_the_factory_over() -> None:
    outcome = decide(UNCLAIMED, TAKE_OVER, evidence(*pending_keys()), NOW)

    assert isinstance(outcome, Accepted)
    pki = outcome.new_pki
    assert pki.is_taken_over
    assert (pki.root, pki.gateway_tls) == (make(ROOT), make(GATEWAY_TLS))
    assert [ca.holder for ca in pki.device_cas] == [Holder.ONLINE, Holder.LOCAL]
    assert set(outcome.used_keys) == {key_id("tls"), key_id("online")}
    assert outcome.dropped_online_keys == outcome.replaced_tls_keys == ()
    assert [event.kind for event in outcome.events] == [
        TrustEventKind.ROOT_SET,
        TrustEventKind.GATEWAY_TLS_SET,
        TrustEventKind.ONLINE_CA_ADDED,
        TrustEventKind.LOCAL_CA_ADDED,
    ]


def test_a_first_root_without_device_cas_takes_the_factory_over() -> None:
    change = UploadPki(root=make(ROOT), gateway_tls=make(GATEWAY_TLS))

    assert isinstance(decide(UNCLAIMED, change, evidence(*pending_keys()), NOW), Accepted)


def test_a_first_root_without_a_tls_certificate_proves_nothing() -> None:
    refused = refusal(UploadPki(root=make(ROOT), device_cas=(make(LOCAL_CA),)))

    assert (refused.code, refused.field) == ("proof-of-possession-missing", Field.GATEWAY_TLS)


def test_a_first_root_with_a_tls_certificate_of_another_root_proves_nothing() -> None:
    forged = changed(GATEWAY_TLS, signer="thief")

    refused = refusal(UploadPki(root=make(ROOT), gateway_tls=forged))

    assert (refused.code, refused.field) == ("tls-not-signed-by-root", Field.GATEWAY_TLS)


def test_a_first_root_with_an_old_tls_certificate_proves_nothing() -> None:
    """Whoever copied root and TLS certificate from a wire has no signature over the key we made just now."""
    copied = changed(GATEWAY_TLS, key="tls of last year")

    refused = refusal(UploadPki(root=make(ROOT), gateway_tls=copied))

    assert (refused.code, refused.field) == ("key-not-pending", Field.GATEWAY_TLS)


def test_a_first_root_over_an_expired_pending_key_proves_nothing() -> None:
    change = UploadPki(root=make(ROOT), gateway_tls=make(GATEWAY_TLS))
    alive = evidence(pending(KeyKind.TLS, "tls", *GATEWAY_NAMES, expires_at=NOW + timedelta(seconds=1)))
    expired = evidence(pending(KeyKind.TLS, "tls", *GATEWAY_NAMES, expires_at=NOW))

    assert isinstance(decide(UNCLAIMED, change, alive, NOW), Accepted)
    outcome = decide(UNCLAIMED, change, expired, NOW)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == ("pending-key-expired", Field.GATEWAY_TLS)


def test_certificates_for_a_factory_without_a_root_wait_for_one() -> None:
    refused = refusal(UploadPki(gateway_tls=make(GATEWAY_TLS)))

    assert (refused.code, refused.field, refused.kind) == ("pki-not-initialized", None, RefusalKind.CONFLICT)


@pytest.mark.parametrize(
    ("code", "root"),
    [
        ("root-not-ca", changed(ROOT, ca=False)),
        ("root-key-usage", changed(ROOT, cert_sign=False, digital_signature=True)),
        ("root-path-length", changed(ROOT, path_length=0)),
        ("root-extended-key-usage", changed(ROOT, usages=(SERVER_AUTH,))),
        (
            "root-factory",
            changed(ROOT, subject=named("Factory-CA", "umbrella"), issuer=named("Factory-CA", "umbrella")),
        ),
        ("root-not-yet-valid", changed(ROOT, start=NOW + timedelta(minutes=6))),
        ("root-expired", changed(ROOT, start=NOW - timedelta(days=9), end=NOW - timedelta(minutes=6))),
        ("root-self-signature", changed(ROOT, signer="thief")),
        ("root-key", changed(ROOT, key="RSA-2048 root", signer="RSA-2048 root")),
    ],
)
def test_a_root_that_misses_its_profile_is_refused_by_name(code: str, root: x509.Certificate) -> None:
    refused = refusal(UploadPki(root=root, gateway_tls=make(GATEWAY_TLS)))

    assert (refused.code, refused.field, refused.kind) == (code, Field.ROOT, RefusalKind.INVALID)


@pytest.mark.parametrize(
    "variant",
    [
        {"path_length": 1},
        {"usages": None},
        {"start": NOW + timedelta(minutes=5)},
        {"end": NOW + timedelta(days=1)},
    ],
)
def test_a_root_as_other_tools_make_it_is_accepted(variant: dict[str, object]) -> None:
    change = UploadPki(root=changed(ROOT, **variant), gateway_tls=make(GATEWAY_TLS))

    assert isinstance(decide(UNCLAIMED, change, evidence(*pending_keys()), NOW), Accepted)


@pytest.mark.parametrize("curve", ["P-384", "P-521"])
def test_a_root_on_a_larger_curve_is_accepted(curve: str) -> None:
    label = f"{curve} root"
    change = UploadPki(
        root=changed(ROOT, key=label, signer=label),
        gateway_tls=changed(GATEWAY_TLS, signer=label),
        device_cas=(changed(LOCAL_CA, signer=label),),
    )

    assert isinstance(decide(UNCLAIMED, change, evidence(*pending_keys()), NOW), Accepted)


def test_a_root_signed_by_a_higher_ca_is_accepted() -> None:
    change = UploadPki(
        root=changed(ROOT, issuer=named("Group-CA", None), signer="group"), gateway_tls=make(GATEWAY_TLS)
    )

    assert isinstance(decide(UNCLAIMED, change, evidence(*pending_keys()), NOW), Accepted)
