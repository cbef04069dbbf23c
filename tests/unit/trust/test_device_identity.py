"""Whose device a client certificate belongs to (protocol: gateway.md §3.1 steps 1-4, §3.2, T4, T11)."""

import dataclasses
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ownroot.pki.encoding import certificate_der, spki_der
from ownroot.pki.names import FactoryName
from ownroot.trust.device_identity import GatewayTrust, Identified, NotTrusted, identify
from ownroot.trust.state import DeviceCa, Holder, RevokedCa, Standing
from tests.support.owner_pki import (
    CLIENT_AUTH,
    DEVICE,
    FACTORY,
    GATEWAY_TLS,
    LOCAL_CA,
    NOW,
    ONLINE_CA,
    OWNER,
    ROOT,
    SERVER_AUTH,
    UUID,
    Spec,
    changed,
    key_id,
    make,
    named,
    private_key,
)

SITE_CA = dataclasses.replace(LOCAL_CA, key="site")  # the same subject as LOCAL_CA, another key


def trusted(spec: Spec, standing: Standing = Standing.ENABLED) -> DeviceCa:
    return DeviceCa(make(spec), Holder.LOCAL, standing, owner_id=OWNER, uploaded_by=OWNER, signs=False)


TRUST = GatewayTrust(FACTORY, (trusted(ONLINE_CA), trusted(SITE_CA), trusted(LOCAL_CA)))


def identified(certificate: x509.Certificate, trust: GatewayTrust = TRUST, now: datetime = NOW) -> Identified:
    answer = identify(certificate_der(certificate), trust, now)
    assert isinstance(answer, Identified), answer
    return answer


def refusal(certificate: x509.Certificate, trust: GatewayTrust = TRUST, now: datetime = NOW) -> NotTrusted:
    answer = identify(certificate_der(certificate), trust, now)
    assert isinstance(answer, NotTrusted)
    return answer


def test_a_device_under_a_local_ca_is_identified() -> None:
    device = identified(make(DEVICE))

    assert (device.uuid, device.factory, device.production) == (UUID, FACTORY, False)
    assert device.issuer.certificate == make(LOCAL_CA)
    assert device.spki_der == spki_der(private_key("device").public_key())
    assert device.spki_sha256 == key_id("device")
    assert device.certificate == make(DEVICE)


def test_a_client_without_a_certificate_is_told_so() -> None:
    answer = identify(None, TRUST, NOW)

    assert isinstance(answer, NotTrusted)
    assert answer.code == "client-certificate-missing"


@pytest.mark.parametrize("category", ["production", "prototype"])
def test_only_the_category_production_marks_a_production_device(category: str) -> None:
    subject = (*named(UUID), (NameOID.BUSINESS_CATEGORY, category))

    assert identified(changed(DEVICE, subject=subject)).production is (category == "production")


# --- step 2: the issuing CA


@pytest.mark.parametrize("signer", ["local", "site"])
def test_of_two_cas_with_one_subject_the_one_that_signed_is_found(signer: str) -> None:
    device = identified(changed(DEVICE, signer=signer))

    assert device.issuer.certificate == make({"local": LOCAL_CA, "site": SITE_CA}[signer])


def test_a_device_of_a_revoked_ca_hears_when_it_was_revoked() -> None:
    gone = RevokedCa(make(SITE_CA).serial_number, make(SITE_CA), Holder.LOCAL, revoked_at=NOW, commanded_at=NOW)
    trust = GatewayTrust(FACTORY, (trusted(LOCAL_CA),), revoked_cas=(gone,))

    refused = refusal(changed(DEVICE, signer="site"), trust)
    assert refused.code == "device-ca-revoked"
    assert str(gone.serial) in refused.detail
    assert "2026-11-23 12:00:00 UTC" in refused.detail
    assert refusal(changed(DEVICE, signer="thief"), trust).code == "device-ca-unknown"
    assert identified(make(DEVICE), trust).issuer == trusted(LOCAL_CA)


def test_a_ca_known_to_be_revoked_by_its_serial_alone_says_nothing() -> None:
    gone = RevokedCa(make(SITE_CA).serial_number, None, Holder.LOCAL, revoked_at=NOW, commanded_at=NOW)
    trust = GatewayTrust(FACTORY, (trusted(LOCAL_CA),), revoked_cas=(gone,))
    assert refusal(changed(DEVICE, signer="site"), trust).code == "device-ca-unknown"


def test_a_key_identifier_that_names_another_ca_decides_nothing() -> None:
    """Field tools write SHA-1 of the CA key while the CA carries a SHA-256 based identifier; any value must do."""
    spec = dataclasses.replace(DEVICE, authority_key_identifier=b"\x17" * 20)

    assert identified(make(spec)).issuer.certificate == make(LOCAL_CA)


def test_an_issuer_known_by_name_alone_is_refused() -> None:
    refused = refusal(changed(DEVICE, signer="thief"))

    assert refused.code == "device-ca-unknown"
    assert "was not signed by" in refused.detail


def test_an_issuer_not_known_at_all_is_refused() -> None:
    refused = refusal(changed(DEVICE, issuer=named("fio-stranger"), signer="thief"))

    assert refused.code == "device-ca-unknown"
    assert "by none" in refused.detail


def test_the_factory_root_issues_no_devices() -> None:
    assert refusal(changed(DEVICE, issuer=ROOT.subject, signer="root")).code == "device-ca-unknown"


def test_a_ca_that_is_no_longer_trusted_issues_no_devices() -> None:
    without = GatewayTrust(FACTORY, (trusted(ONLINE_CA), trusted(SITE_CA)))

    identified(make(DEVICE))
    assert refusal(make(DEVICE), without).code == "device-ca-unknown"


def test_a_disabled_ca_still_identifies() -> None:
    trust = GatewayTrust(FACTORY, (trusted(LOCAL_CA, Standing.DISABLED),))

    assert identified(make(DEVICE), trust).issuer.standing is Standing.DISABLED


def test_a_ca_certified_again_identifies_as_disabled_if_either_is() -> None:
    again = dataclasses.replace(LOCAL_CA, serial=5)
    trust = GatewayTrust(FACTORY, (trusted(again), trusted(LOCAL_CA, Standing.DISABLED)))

    assert identified(make(DEVICE), trust).issuer.standing is Standing.DISABLED


def test_a_ca_certified_again_goes_on_after_the_end_of_its_first_certificate() -> None:
    old = dataclasses.replace(LOCAL_CA, end=NOW - timedelta(days=1), start=NOW - timedelta(days=9))
    trust = GatewayTrust(FACTORY, (trusted(old, Standing.DISABLED), trusted(LOCAL_CA)))

    assert identified(make(DEVICE), trust).issuer.certificate == make(LOCAL_CA)


@pytest.mark.parametrize("spec", [LOCAL_CA, ONLINE_CA])
@pytest.mark.parametrize("allow_ca_profile", [False, True])
def test_a_device_ca_is_no_device(spec: Spec, allow_ca_profile: bool) -> None:
    trust = dataclasses.replace(TRUST, allow_ca_profile=allow_ca_profile)

    assert refusal(make(spec), trust).code == "client-is-device-ca"


@pytest.mark.parametrize("spec", [ROOT, GATEWAY_TLS])
def test_other_certificates_of_the_factory_are_no_devices(spec: Spec) -> None:
    assert refusal(make(spec)).code == "device-ca-unknown"


@pytest.mark.parametrize(
    "ca",
    [
        dataclasses.replace(LOCAL_CA, start=NOW - timedelta(days=9), end=NOW - timedelta(seconds=1)),
        dataclasses.replace(LOCAL_CA, start=NOW + timedelta(minutes=5, seconds=1)),
    ],
)
def test_a_ca_outside_its_dates_vouches_for_nobody_and_both_clocks_are_named(ca: Spec) -> None:
    refused = refusal(make(DEVICE), GatewayTrust(FACTORY, (trusted(ca),)))

    assert refused.code == "device-ca-out-of-date"
    assert f"{ca.end:%Y-%m-%d}" in refused.detail
    assert "2026-11-23 12:00:00 UTC" in refused.detail


@pytest.mark.parametrize(
    "ca",
    [
        dataclasses.replace(LOCAL_CA, start=NOW - timedelta(days=9), end=NOW),
        dataclasses.replace(LOCAL_CA, start=NOW + timedelta(minutes=5)),
    ],
)
def test_a_ca_at_the_edge_of_its_dates_vouches(ca: Spec) -> None:
    identified(make(DEVICE), GatewayTrust(FACTORY, (trusted(ca),)))


# --- T11: profile and dates of the certificate


@pytest.mark.parametrize(
    ("code", "certificate"),
    [
        ("device-extended-key-usage", changed(DEVICE, usages=(SERVER_AUTH,))),
        ("device-key-usage", changed(DEVICE, digital_signature=False, cert_sign=True)),
        ("device-is-ca", changed(DEVICE, ca=True)),
        ("device-key", changed(DEVICE, key="RSA-1024 device")),
        ("device-key", changed(DEVICE, key="RSA-2048 device")),
    ],
)
def test_a_certificate_that_is_no_device_certificate_is_refused_by_name(
    code: str, certificate: x509.Certificate
) -> None:
    assert refusal(certificate).code == code


@pytest.mark.parametrize(
    "variant",
    [
        {"usages": None},
        {"usages": (CLIENT_AUTH, SERVER_AUTH)},
        {"ca": None},
        {"digital_signature": False},
        {"key": "P-521 device"},
        {"subject": tuple(reversed(named(UUID)))},
        {"end": NOW},
        {"start": NOW + timedelta(minutes=5)},
    ],
)
def test_a_certificate_as_other_tools_make_it_is_accepted(variant: dict[str, object]) -> None:
    identified(changed(DEVICE, **variant))


@pytest.mark.parametrize(
    ("code", "variant"),
    [
        ("device-expired", {"end": NOW - timedelta(seconds=1)}),
        ("device-not-yet-valid", {"start": NOW + timedelta(minutes=5, seconds=1)}),
    ],
)
def test_a_certificate_outside_its_dates_is_refused_and_both_clocks_are_named(
    code: str, variant: dict[str, object]
) -> None:
    refused = refusal(changed(DEVICE, **variant))

    assert refused.code == code
    assert "the gateway's clock says 2026-11-23 12:00:00 UTC" in refused.detail


def test_rsa_devices_need_the_factory_to_allow_them() -> None:
    allowing = dataclasses.replace(TRUST, allow_rsa=True)

    identified(changed(DEVICE, key="RSA-2048 device"), allowing)
    assert refusal(changed(DEVICE, key="RSA-1024 device"), allowing).code == "device-key"


def test_devices_marked_as_ca_need_the_factory_to_allow_them() -> None:
    sample = changed(DEVICE, ca=True, cert_sign=True)

    identified(sample, dataclasses.replace(TRUST, allow_ca_profile=True))
    assert refusal(sample).code == "device-is-ca"


# --- steps 3 and 4: factory and uuid


@pytest.mark.parametrize(
    "subject",
    [
        named(UUID, "umbrella"),
        named(UUID, None),
        named(UUID, "ACME"),
        named(UUID, "acme "),
        (*named(UUID), (NameOID.ORGANIZATIONAL_UNIT_NAME, "umbrella")),
        (*named(UUID), (NameOID.ORGANIZATIONAL_UNIT_NAME, FACTORY)),
    ],
)
def test_a_certificate_of_another_factory_is_refused(subject: tuple[tuple[x509.ObjectIdentifier, str], ...]) -> None:
    assert refusal(changed(DEVICE, subject=subject)).code == "device-factory"


def test_under_a_shared_ca_each_factory_knows_its_own_devices_alone() -> None:
    shared = (trusted(LOCAL_CA),)

    identified(make(DEVICE), GatewayTrust(FACTORY, shared))
    assert refusal(make(DEVICE), GatewayTrust(FactoryName("umbrella"), shared)).code == "device-factory"


@pytest.mark.parametrize(
    "subject",
    [named(None), (*named(UUID), (NameOID.COMMON_NAME, "other")), (*named(UUID), (NameOID.COMMON_NAME, UUID))],
)
def test_a_certificate_without_exactly_one_cn_is_refused(
    subject: tuple[tuple[x509.ObjectIdentifier, str], ...],
) -> None:
    assert refusal(changed(DEVICE, subject=subject)).code == "device-uuid-missing"


@pytest.mark.parametrize("uuid", ["../evil", "x y", ".hidden", "a/b", "ä", "-", "uuid\n"])
def test_an_unsafe_uuid_is_refused(uuid: str) -> None:
    assert refusal(changed(DEVICE, subject=named(uuid))).code == "device-uuid-invalid"


@pytest.mark.parametrize("uuid", ["a", "offline-device-1", "A.b_c-9", "a" * 64])
def test_a_uuid_need_not_be_of_rfc_4122(uuid: str) -> None:
    assert identified(changed(DEVICE, subject=named(uuid))).uuid == uuid


# --- how long an answer holds


@pytest.mark.parametrize(
    ("device_end", "ca_end"),
    [(NOW + timedelta(days=1), NOW + timedelta(days=2)), (NOW + timedelta(days=2), NOW + timedelta(days=1))],
)
def test_an_answer_holds_until_the_earlier_end(device_end: datetime, ca_end: datetime) -> None:
    trust = GatewayTrust(FACTORY, (trusted(dataclasses.replace(LOCAL_CA, end=ca_end)),))
    device = changed(DEVICE, end=device_end)

    end = identified(device, trust).decision_expires_at

    assert end == NOW + timedelta(days=1)
    identified(device, trust, end)
    refusal(device, trust, end + timedelta(seconds=1))


# --- hostile input


@pytest.mark.parametrize("garbage", [b"", b"\x30", b"\x30\x80" + b"\x00" * 20_000])
def test_what_is_no_certificate_is_refused(garbage: bytes) -> None:
    assert isinstance(identify(garbage, TRUST, NOW), NotTrusted)


@given(st.data())
def test_a_certificate_with_any_octet_changed_is_refused_and_never_raises(data: st.DataObject) -> None:
    der = bytearray(certificate_der(make(DEVICE)))
    position = data.draw(st.integers(0, len(der) - 1))
    der[position] ^= data.draw(st.integers(1, 255))

    assert isinstance(identify(bytes(der), TRUST, NOW), NotTrusted)


@pytest.mark.parametrize(
    ("start", "end", "away"),
    [
        (NOW - timedelta(days=9), NOW - timedelta(seconds=5), "ended 0 min 5 s ago"),
        (NOW - timedelta(days=9), NOW - timedelta(hours=2, minutes=3), "ended 2 h 3 min ago"),
        (NOW + timedelta(days=1, hours=1), NOW + timedelta(days=9), "begins in 1 d 1 h"),
    ],
)
def test_a_device_outside_its_dates_hears_how_far_the_clocks_are_apart(
    start: datetime, end: datetime, away: str
) -> None:
    assert away in refusal(changed(DEVICE, start=start, end=end)).detail


# --- the recovery lane: an expired certificate, for a renewal and nothing else

EXPIRED = dataclasses.replace(DEVICE, start=NOW - timedelta(days=400), end=NOW - timedelta(days=30))


@pytest.mark.parametrize("days", [30, 31, 3650])
def test_an_expired_certificate_is_read_as_far_back_as_asked_for(days: int) -> None:
    answer = identify(certificate_der(make(EXPIRED)), TRUST, NOW, expired_for=timedelta(days=days))
    assert isinstance(answer, Identified)
    assert answer.decision_expires_at == EXPIRED.end + timedelta(days=days)


def test_a_certificate_that_expired_a_second_earlier_is_refused() -> None:
    spec = dataclasses.replace(EXPIRED, end=EXPIRED.end - timedelta(seconds=1))
    answer = identify(certificate_der(make(spec)), TRUST, NOW, expired_for=timedelta(days=30))
    assert isinstance(answer, NotTrusted)
    assert answer.code == "device-expired"


def test_an_expired_ca_vouches_for_nobody_in_the_recovery_lane_either() -> None:
    ca = dataclasses.replace(LOCAL_CA, start=NOW - timedelta(days=500), end=NOW - timedelta(seconds=1))
    trust = GatewayTrust(FACTORY, (trusted(ca),))
    answer = identify(certificate_der(make(EXPIRED)), trust, NOW, expired_for=timedelta(days=3650))
    assert isinstance(answer, NotTrusted)
    assert answer.code == "device-ca-out-of-date"
