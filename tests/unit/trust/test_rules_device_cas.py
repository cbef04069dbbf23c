"""Adding device CAs, one by one and as a set (protocol: api.md §3.4 steps 6 and 7)."""

import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509

from ownroot.trust.changes import Field, UploadPki
from ownroot.trust.possession import Evidence, KeyKind
from ownroot.trust.rules import Accepted, Refused, decide
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, RevokedCa, Standing
from ownroot.trust.verdicts import RefusalKind, TrustEventKind
from tests.support.owner_pki import (
    FACTORY,
    GATEWAY_NAMES,
    GATEWAY_TLS,
    LOCAL_CA,
    NOW,
    ONLINE_CA,
    OWNER,
    ROOT,
    SERVER_AUTH,
    Spec,
    changed,
    evidence,
    key_id,
    make,
    named,
    pending,
    pending_keys,
    taken_over,
)

PKI = taken_over(ONLINE_CA, LOCAL_CA)
SITE_CA = dataclasses.replace(LOCAL_CA, key="site")
NEXT_ONLINE = dataclasses.replace(ONLINE_CA, key="next online")
PENDING = (
    pending(KeyKind.TLS, "next tls", *GATEWAY_NAMES),
    pending(KeyKind.EST, "next est", *GATEWAY_NAMES[:1]),
    pending(KeyKind.ONLINE_CA, "next online"),
)


def whole_list_and(*new: x509.Certificate, pki: FactoryPki = PKI) -> UploadPki:
    return UploadPki(device_cas=(*(ca.certificate for ca in pki.device_cas), *new))


def accepted(change: UploadPki, *, pki: FactoryPki = PKI, by: Evidence | None = None) -> Accepted:
    outcome = decide(pki, change, by or evidence(*PENDING), NOW)
    assert isinstance(outcome, Accepted)
    return outcome


def refusal(change: UploadPki, *, pki: FactoryPki = PKI, by: Evidence | None = None) -> Refused:
    outcome = decide(pki, change, by or evidence(*PENDING), NOW)
    assert isinstance(outcome, Refused)
    return outcome


def added(outcome: Accepted) -> DeviceCa:
    return outcome.new_pki.device_cas[-1]


def with_standing(standing: Standing, spec: Spec) -> FactoryPki:
    cas = (dataclasses.replace(ca, standing=standing) if ca.certificate == make(spec) else ca for ca in PKI.device_cas)
    return dataclasses.replace(PKI, device_cas=tuple(cas))


# --- local device CAs


def test_a_local_ca_signed_by_the_root_joins() -> None:
    outcome = accepted(whole_list_and(make(SITE_CA)))

    assert added(outcome) == DeviceCa(make(SITE_CA), Holder.LOCAL, Standing.ENABLED, OWNER, OWNER, signs=False)
    assert outcome.new_pki.device_cas[:-1] == PKI.device_cas
    assert [(e.kind, e.certificate) for e in outcome.events] == [(TrustEventKind.LOCAL_CA_ADDED, make(SITE_CA))]
    assert outcome.used_keys == outcome.dropped_online_keys == ()


def test_a_local_ca_named_after_a_member_gives_new_devices_to_that_member() -> None:
    by = evidence(actor="fedcba987654321001234567", members=(OWNER, "fedcba987654321001234567"))

    ca = added(accepted(whole_list_and(make(SITE_CA)), by=by))

    assert (ca.owner_id, ca.uploaded_by, ca.owner_of_new_devices) == (OWNER, "fedcba987654321001234567", OWNER)


@pytest.mark.parametrize("name", ["fio-Fleet-offline-CA", f"fio-{OWNER[:-1]}", "fio-"])
def test_a_local_ca_named_after_no_member_gives_new_devices_to_the_sender(name: str) -> None:
    ca = added(accepted(whole_list_and(changed(SITE_CA, subject=named(name)))))

    assert (ca.owner_id, ca.owner_of_new_devices) == (None, OWNER)


@pytest.mark.parametrize(
    "subject",
    [
        named("FIO-somebody"),
        named("Fleet offline CA fio-"),
        named(None),
        (*named("fio-one"), *named("fio-two", None)),
    ],
)
def test_a_local_ca_must_be_named_fio(subject: tuple[tuple[x509.ObjectIdentifier, str], ...]) -> None:
    refused = refusal(whole_list_and(changed(SITE_CA, subject=subject)))

    assert (refused.code, refused.field, refused.kind) == ("local-ca-name", Field.DEVICE_CAS, RefusalKind.INVALID)


@pytest.mark.parametrize(
    ("code", "certificate"),
    [
        ("ca-not-signed-by-root", changed(SITE_CA, signer="thief")),
        ("ca-not-signed-by-root", changed(SITE_CA, issuer=named("Factory-CA", "umbrella"))),
        ("ca-not-signed-by-root", changed(SITE_CA, issuer=SITE_CA.subject, signer="site")),
        ("ca-not-signed-by-root", changed(SITE_CA, issuer=LOCAL_CA.subject, signer="local")),
        ("ca-not-ca", changed(SITE_CA, ca=False, path_length=None)),
        ("ca-not-ca", changed(SITE_CA, ca=None)),
        ("ca-key-usage", changed(SITE_CA, cert_sign=False, digital_signature=True)),
        ("ca-extended-key-usage", changed(SITE_CA, usages=(SERVER_AUTH,))),
        ("ca-factory", changed(SITE_CA, subject=named(f"fio-{OWNER}", "umbrella"))),
        ("ca-factory", changed(SITE_CA, subject=named(f"fio-{OWNER}", None))),
        ("ca-root-key", changed(SITE_CA, key="root")),
        ("ca-key", changed(SITE_CA, key="RSA-2048 site")),
        ("ca-not-yet-valid", changed(SITE_CA, start=NOW + timedelta(minutes=6))),
        ("ca-expired", changed(SITE_CA, start=NOW - timedelta(days=9), end=NOW - timedelta(minutes=6))),
    ],
)
def test_a_device_ca_that_misses_its_profile_is_refused_by_name(code: str, certificate: x509.Certificate) -> None:
    refused = refusal(whole_list_and(certificate))

    assert (refused.code, refused.field, refused.kind) == (code, Field.DEVICE_CAS, RefusalKind.INVALID)
    assert str(certificate.serial_number) in refused.detail


@pytest.mark.parametrize(
    "variant",
    [{"path_length": None}, {"start": NOW + timedelta(minutes=5)}, {"key": "P-521 site"}],
)
def test_a_device_ca_as_other_tools_make_it_is_accepted(variant: dict[str, object]) -> None:
    accepted(whole_list_and(changed(SITE_CA, **variant)))


def test_the_root_itself_is_no_device_ca() -> None:
    assert refusal(whole_list_and(make(ROOT))).code == "ca-root-key"


@pytest.mark.parametrize("key", ["tls", "next tls", "next est"])
def test_a_key_the_gateway_holds_makes_no_device_ca(key: str) -> None:
    refused = refusal(whole_list_and(changed(SITE_CA, key=key)))

    assert (refused.code, refused.field) == ("device-ca-key-is-server-key", Field.DEVICE_CAS)


def test_a_device_ca_over_the_tls_key_of_the_same_upload_is_refused() -> None:
    tls_too = UploadPki(root=make(ROOT), gateway_tls=make(GATEWAY_TLS), device_cas=(changed(SITE_CA, key="tls"),))
    by = evidence(*pending_keys())

    assert refusal(tls_too, pki=FactoryPki(FACTORY), by=by).code == "device-ca-key-is-server-key"


@pytest.mark.parametrize("other", [ROOT, LOCAL_CA, ONLINE_CA])
def test_a_device_ca_brings_a_serial_of_its_own(other: Spec) -> None:
    refused = refusal(whole_list_and(changed(SITE_CA, serial=make(other).serial_number)))

    assert (refused.code, refused.field) == ("serial-repeated", Field.DEVICE_CAS)


def test_two_new_device_cas_with_one_serial_are_refused() -> None:
    pair = (changed(SITE_CA, serial=5), changed(SITE_CA, key="other site", serial=5))

    accepted(whole_list_and(pair[0], changed(SITE_CA, key="other site", serial=6)))
    assert refusal(whole_list_and(*pair)).code == "serial-repeated"


def test_a_revoked_device_ca_does_not_come_back_by_upload() -> None:
    serial = make(SITE_CA).serial_number
    by_number_alone = RevokedCa(serial, None, Holder.LOCAL, revoked_at=NOW, commanded_at=NOW)
    revoked = dataclasses.replace(PKI, revoked_cas=(by_number_alone,))

    refused = refusal(whole_list_and(make(SITE_CA)), pki=revoked)

    assert (refused.code, refused.field) == ("device-ca-revoked", Field.DEVICE_CAS)
    assert str(make(SITE_CA).serial_number) in refused.detail
    accepted(whole_list_and(changed(SITE_CA, serial=5)), pki=revoked)


def test_a_disabled_key_does_not_return_in_another_certificate() -> None:
    again = changed(LOCAL_CA, serial=5)

    accepted(whole_list_and(again))
    refused = refusal(whole_list_and(again), pki=with_standing(Standing.DISABLED, LOCAL_CA))
    assert refused.code == "device-ca-key-disabled"


def test_nothing_joins_under_an_expired_root() -> None:
    outcome = decide(PKI, whole_list_and(make(SITE_CA)), evidence(), ROOT.end + timedelta(seconds=1))

    assert isinstance(outcome, Refused)
    assert outcome.code == "root-expired"


# --- online device CAs


def test_a_new_online_ca_signs_and_the_one_before_stays_trusted_without_its_key() -> None:
    outcome = accepted(whole_list_and(make(NEXT_ONLINE)))

    new, pki = added(outcome), outcome.new_pki
    assert new == DeviceCa(make(NEXT_ONLINE), Holder.ONLINE, Standing.ENABLED, None, OWNER, signs=True)
    assert pki.signing_ca == new
    assert pki.trusts(make(ONLINE_CA))
    assert outcome.used_keys == (key_id("next online"),)
    assert outcome.dropped_online_keys == (key_id("online"),)
    assert [e.kind for e in outcome.events] == [TrustEventKind.ONLINE_CA_ADDED, TrustEventKind.ONLINE_CA_RETIRED]
    assert outcome.events[1].certificate == make(ONLINE_CA)


def test_a_first_online_ca_drops_no_key() -> None:
    pki = taken_over(LOCAL_CA)

    outcome = accepted(whole_list_and(make(NEXT_ONLINE), pki=pki), pki=pki)

    assert outcome.dropped_online_keys == ()
    assert [e.kind for e in outcome.events] == [TrustEventKind.ONLINE_CA_ADDED]


def test_an_online_ca_over_an_expired_key_is_refused() -> None:
    by = evidence(pending(KeyKind.ONLINE_CA, "next online", expires_at=NOW))

    refused = refusal(whole_list_and(make(NEXT_ONLINE)), by=by)

    assert (refused.code, refused.field) == ("pending-key-expired", Field.DEVICE_CAS)


def test_an_online_ca_over_a_forgotten_key_counts_as_local_and_is_misnamed() -> None:
    assert refusal(whole_list_and(make(NEXT_ONLINE)), by=evidence()).code == "local-ca-name"


def test_an_online_ca_of_another_root_is_refused_though_its_key_is_ours() -> None:
    assert refusal(whole_list_and(changed(NEXT_ONLINE, signer="thief"))).code == "ca-not-signed-by-root"


def test_the_online_key_in_use_may_be_certified_again_and_signs_on() -> None:
    again = changed(ONLINE_CA, serial=5)

    outcome = accepted(whole_list_and(again), by=evidence())

    assert outcome.new_pki.signing_ca == added(outcome)
    assert added(outcome).certificate == again
    assert outcome.used_keys == outcome.dropped_online_keys == ()
    assert [e.kind for e in outcome.events] == [TrustEventKind.ONLINE_CA_ADDED]


def test_an_earlier_online_key_may_be_certified_again_and_signs_nothing() -> None:
    rotated = accepted(whole_list_and(make(NEXT_ONLINE))).new_pki

    outcome = accepted(whole_list_and(changed(ONLINE_CA, serial=5), pki=rotated), pki=rotated)

    assert (added(outcome).holder, added(outcome).signs) == (Holder.ONLINE, False)
    assert outcome.new_pki.signing_ca == rotated.signing_ca
    assert outcome.used_keys == outcome.dropped_online_keys == ()


@pytest.mark.parametrize("second", [changed(NEXT_ONLINE, serial=5), changed(ONLINE_CA, serial=5)])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_of_several_new_online_cas_none_is_picked_at_random(second: x509.Certificate, is_reversed: bool) -> None:
    pair = (second, make(NEXT_ONLINE)) if is_reversed else (make(NEXT_ONLINE), second)

    refused = refusal(whole_list_and(*pair))

    assert (refused.code, refused.field) == ("several-online-cas", Field.DEVICE_CAS)
    assert all(str(certificate.serial_number) in refused.detail for certificate in pair)


# --- the list as a set


def test_the_list_in_another_order_with_duplicates_changes_nothing() -> None:
    listed = tuple(ca.certificate for ca in reversed(PKI.device_cas)) * 2

    assert accepted(UploadPki(device_cas=listed)).new_pki is PKI


def test_a_trusted_ca_passes_unchecked_long_after_its_end() -> None:
    later = LOCAL_CA.end + timedelta(days=30)
    site = changed(SITE_CA, end=later + timedelta(days=1))

    outcome = decide(PKI, whole_list_and(site), evidence(), later)

    assert isinstance(outcome, Accepted)


def test_a_list_that_leaves_out_a_trusted_ca_is_refused_naming_its_serial() -> None:
    refused = refusal(UploadPki(device_cas=(make(ONLINE_CA), make(SITE_CA))))

    assert (refused.code, refused.field, refused.kind) == (
        "device-ca-missing",
        Field.DEVICE_CAS,
        RefusalKind.CONFLICT,
    )
    assert str(make(LOCAL_CA).serial_number) in refused.detail
    assert str(make(ONLINE_CA).serial_number) not in refused.detail


def test_a_list_that_leaves_out_a_disabled_ca_is_refused() -> None:
    pki = with_standing(Standing.DISABLED, LOCAL_CA)

    assert refusal(UploadPki(device_cas=(make(ONLINE_CA),)), pki=pki).code == "device-ca-missing"
    accepted(whole_list_and(pki=pki), pki=pki)


def test_adding_keeps_a_disabled_ca_disabled() -> None:
    pki = with_standing(Standing.DISABLED, LOCAL_CA)

    outcome = accepted(whole_list_and(make(SITE_CA)), pki=pki)

    assert outcome.new_pki.disabled_serials == (make(LOCAL_CA).serial_number,)
