"""An upload as a whole: empty, repeated, combined, or with a part we do not act on (protocol: api.md §3.4)."""

import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509

from ownroot.trust.changes import Field, UploadPki
from ownroot.trust.rules import Accepted, Refused, decide
from ownroot.trust.state import FactoryPki
from ownroot.trust.verdicts import RefusalKind
from tests.support.owner_pki import (
    EST_TLS,
    FACTORY,
    GATEWAY_TLS,
    LOCAL_CA,
    NOW,
    ONLINE_CA,
    REVOKE,
    ROOT,
    changed,
    command,
    evidence,
    key_id,
    make,
    pending_keys,
    taken_over,
)

PKI = taken_over(ONLINE_CA, LOCAL_CA)
SAME = UploadPki(root=make(ROOT), gateway_tls=make(GATEWAY_TLS), device_cas=(make(ONLINE_CA), make(LOCAL_CA)))


def refusal(change: UploadPki, pki: FactoryPki = PKI) -> Refused:
    outcome = decide(pki, change, evidence(*pending_keys()), NOW)
    assert isinstance(outcome, Refused)
    return outcome


@pytest.mark.parametrize("pki", [PKI, FactoryPki(FACTORY)])
def test_an_upload_without_any_part_is_refused(pki: FactoryPki) -> None:
    refused = refusal(UploadPki(), pki)

    assert (refused.code, refused.field, refused.kind) == ("upload-empty", None, RefusalKind.INVALID)


def test_the_same_upload_again_succeeds_and_changes_nothing() -> None:
    outcome = decide(PKI, SAME, evidence(), NOW)

    assert outcome == Accepted(PKI)
    assert isinstance(outcome, Accepted)
    assert outcome.new_pki is PKI


def test_the_same_root_passes_again_even_after_its_end() -> None:
    assert isinstance(decide(PKI, SAME, evidence(), ROOT.end + timedelta(days=1)), Accepted)


@pytest.mark.parametrize("other", [changed(ROOT, key="other root", signer="other root"), changed(ROOT, serial=5)])
def test_another_root_is_refused_even_over_the_same_key(other: x509.Certificate) -> None:
    refused = refusal(dataclasses.replace(SAME, root=other))

    assert (refused.code, refused.field, refused.kind) == ("root-already-set", Field.ROOT, RefusalKind.CONFLICT)


def test_one_upload_may_replace_and_add_at_once() -> None:
    pki = taken_over(LOCAL_CA)
    change = UploadPki(
        root=make(ROOT),
        gateway_tls=make(GATEWAY_TLS),
        est_tls=make(EST_TLS),
        device_cas=(make(LOCAL_CA), make(ONLINE_CA)),
    )

    outcome = decide(pki, change, evidence(*pending_keys()), NOW)

    assert isinstance(outcome, Accepted)
    assert set(outcome.used_keys) == {key_id("est"), key_id("online")}
    assert outcome.new_pki == dataclasses.replace(pki, est_tls=make(EST_TLS), device_cas=outcome.new_pki.device_cas)


@pytest.mark.parametrize(
    ("code", "bad_part"),
    [
        ("root-already-set", {"root": changed(ROOT, serial=5)}),
        ("tls-not-signed-by-root", {"gateway_tls": changed(GATEWAY_TLS, key="tls", signer="thief")}),
        ("ca-not-signed-by-root", {"device_cas": (make(LOCAL_CA), changed(ONLINE_CA, signer="thief"))}),
        ("device-ca-missing", {"device_cas": (make(ONLINE_CA),)}),
        ("crl-not-signed-by-root", {"crl": command({LOCAL_CA: REVOKE}, signer="thief")}),
    ],
)
def test_one_bad_part_refuses_the_good_ones_with_it(code: str, bad_part: dict[str, object]) -> None:
    pki = taken_over(LOCAL_CA)
    good = UploadPki(est_tls=make(EST_TLS))

    assert isinstance(decide(pki, good, evidence(*pending_keys()), NOW), Accepted)
    assert refusal(dataclasses.replace(good, **bad_part), pki).code == code  # type: ignore[arg-type]
