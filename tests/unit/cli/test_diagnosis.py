"""What `doctor` says of a PKI: nothing of one that is in order, and one thing for each thing that is not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.cli.diagnosis import Facts, diagnose
from ownroot.cli.findings import Severity
from ownroot.cli.pki_view import Kind, view_pki
from ownroot.client.api import CertsAnswer
from ownroot.pki.encoding import certificate_pem
from ownroot.wire.certs import FactoryCerts
from ownroot.wire.pki_health import HealthFault, KeyHealth, PkiHealth
from tests.support.certificates import FACTORY, NOW, Pair, device_ca, entity, factory_root, gateway_tls

ROOT = factory_root()
OTHER_ROOT = factory_root()
LOCAL = device_ca(ROOT)
ONLINE = device_ca(ROOT, subject=entity("gateway.localhost"))
TLS = gateway_tls(ROOT)
DAY = timedelta(days=1)


def facts(
    root: Pair | None = ROOT,
    tls: Pair | None = TLS,
    cas: Sequence[Pair] = (ONLINE, LOCAL),
    disabled: Sequence[Pair] = (),
) -> Facts:
    """Facts about a PKI in order, but for what a test changes."""
    certs = FactoryCerts(
        root_crt=None if root is None else certificate_pem(root.certificate),
        tls_crt=None if tls is None else certificate_pem(tls.certificate),
        ca_crt="\n".join(certificate_pem(ca.certificate) for ca in cas) or None,
        disabled_ca_serials=tuple(str(ca.certificate.serial_number) for ca in disabled),
    )
    view = view_pki(CertsAnswer(certs, is_taken_over=root is not None), NOW)
    counts = {ca.serial: 1 for ca in view.device_cas}
    return Facts(factory=FACTORY, view=view, now=NOW, server_time=NOW, devices=counts)


def found(seen: Facts, within: timedelta = 60 * DAY) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.code) for finding in diagnose(seen, within=within)]


def test_a_pki_in_order_gives_no_findings() -> None:
    assert found(replace(facts(), own_root=ROOT.certificate)) == []


@pytest.mark.parametrize(
    ("suspected", "expected"), [(None, []), (0, []), (2, [(Severity.WARNING, "devices-suspected")])]
)
def test_devices_whose_key_may_be_copied_are_a_warning(
    suspected: int | None, expected: list[tuple[Severity, str]]
) -> None:
    assert found(replace(facts(), suspected=suspected)) == expected


@pytest.mark.parametrize(("held", "expected"), [(None, []), (0, []), (3, [(Severity.WARNING, "devices-held")])])
def test_devices_held_after_a_restore_are_a_warning(held: int | None, expected: list[tuple[Severity, str]]) -> None:
    assert found(replace(facts(), held=held)) == expected


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        (0, []),
        (60, []),
        (61, [(Severity.WARNING, "clock-skew")]),
        (-61, [(Severity.WARNING, "clock-skew")]),
        (300, [(Severity.WARNING, "clock-skew")]),
        (301, [(Severity.FAULT, "clock-skew")]),
        (-301, [(Severity.FAULT, "clock-skew")]),
    ],
)
def test_clocks_are_compared(off: int, expected: list[tuple[Severity, str]]) -> None:
    assert found(replace(facts(), server_time=NOW + timedelta(seconds=off))) == expected


def test_a_server_that_tells_no_time_is_not_blamed_for_it() -> None:
    assert found(replace(facts(), server_time=None)) == []


def test_the_shared_pki_is_a_warning_and_nothing_else_is_judged() -> None:
    assert found(facts(root=None, tls=None, cas=())) == [(Severity.WARNING, "shared-pki")]


def test_a_root_that_is_not_the_directorys_is_one_fault_and_not_one_more_for_each_thing_it_signed() -> None:
    assert found(replace(facts(), own_root=OTHER_ROOT.certificate)) == [(Severity.FAULT, "root-not-yours")]


def test_what_another_root_signed_is_a_fault() -> None:
    assert found(facts(tls=gateway_tls(OTHER_ROOT))) == [(Severity.FAULT, "tls-not-signed-by-root")]


def test_a_root_without_key_identifier_is_a_warning() -> None:
    bare = factory_root(subject_key_identifier=None)
    seen = facts(root=bare, tls=gateway_tls(bare), cas=[device_ca(bare, subject=entity("gateway.localhost"))])
    assert found(seen) == [(Severity.WARNING, "root-without-key-identifier")]


def test_a_root_that_does_not_say_crl_sign_is_a_warning() -> None:
    """The walk-through with openssl makes such roots (registration.md §11)."""
    bare = factory_root(key_usage=("key_cert_sign",))
    seen = facts(
        root=bare,
        tls=gateway_tls(bare),
        cas=[device_ca(bare, subject=entity("gateway.localhost"))],
    )
    assert found(seen) == [(Severity.WARNING, "root-without-crl-sign")]


def test_what_the_server_says_of_itself_is_part_of_it() -> None:
    fault = HealthFault(code="key-missing", detail="It is not stored.")
    broken = PkiHealth(keys=(KeyHealth(kind="tls", serial="1", fault=fault),), issued=())
    well = PkiHealth(keys=(KeyHealth(kind="tls", serial="1"),), issued=())
    assert found(replace(facts(), health=well)) == []
    assert found(replace(facts(), health=broken)) == [(Severity.FAULT, "backend-key-unusable")]


@pytest.mark.parametrize(
    ("days_left", "expected"),
    [
        (92, []),
        (91, [(Severity.WARNING, "last-safe-day-near")]),
        (30, [(Severity.WARNING, "last-safe-day-near")]),
        (29, [(Severity.FAULT, "last-safe-day-passed")]),
        (0, [(Severity.FAULT, "last-safe-day-passed")]),
        (-1, [(Severity.FAULT, "expired")]),
    ],
)
def test_a_gateway_certificate_is_told_of_in_time(days_left: int, expected: list[tuple[Severity, str]]) -> None:
    """Its margin is 30 days; with 61 days of warning it is first told of 91 days before its end."""
    tls = gateway_tls(ROOT, not_before=NOW - 3000 * DAY, not_after=NOW + days_left * DAY)
    assert found(facts(tls=tls), within=61 * DAY) == expected


def test_no_gateway_certificate_is_a_fault() -> None:
    assert found(facts(tls=None)) == [(Severity.FAULT, "no-gateway-certificate")]


@pytest.mark.parametrize(("cas", "disabled"), [((LOCAL,), ()), ((ONLINE, LOCAL), (ONLINE,))])
def test_registration_without_an_online_ca_in_force_is_a_warning(cas: Sequence[Pair], disabled: Sequence[Pair]) -> None:
    assert found(facts(cas=cas, disabled=disabled)) == [(Severity.WARNING, "no-online-ca")]


@pytest.mark.parametrize(
    ("days_left", "code"), [(100, "last-safe-day-near"), (50, "last-safe-day-passed"), (-1, "expired")]
)
def test_a_device_ca_that_has_a_successor_is_a_warning_and_one_without_a_fault(days_left: int, code: str) -> None:
    """Else a daily run would cry for another CA until the old one is revoked."""
    local = device_ca(ROOT, not_before=NOW - 3000 * DAY, not_after=NOW + days_left * DAY)
    alone, succeeded = facts(cas=(ONLINE, local)), facts(cas=(ONLINE, local, LOCAL))

    severity = Severity.WARNING if code == "last-safe-day-near" else Severity.FAULT
    assert found(alone) == [(severity, code)]
    assert found(succeeded) == [(Severity.WARNING, code)]


def test_a_successor_counts_only_while_it_is_in_force() -> None:
    local = device_ca(ROOT, not_before=NOW - 3000 * DAY, not_after=NOW + 50 * DAY)

    assert (Severity.FAULT, "last-safe-day-passed") in found(facts(cas=(ONLINE, local, LOCAL), disabled=(LOCAL,)))


def test_a_gateway_certificate_without_names_is_a_fault() -> None:
    assert found(facts(tls=gateway_tls(ROOT, dns_names=()))) == [(Severity.FAULT, "no-dns-names")]


def test_a_certificate_from_the_future_sends_nobody_to_make_another() -> None:
    (finding,) = diagnose(facts(tls=gateway_tls(ROOT, not_before=NOW + timedelta(hours=1))), within=DAY)

    assert finding.code == "tls-not-yet-valid"
    assert "clocks" in finding.next_step


def test_a_disabled_device_ca_that_nobody_uses_is_left_alone() -> None:
    seen, serial = facts(disabled=(LOCAL,)), str(LOCAL.certificate.serial_number)
    assert seen.devices is not None
    assert found(replace(seen, devices={**seen.devices, serial: 0})) == []


def test_a_device_ca_nobody_uses_is_named_with_the_command_that_removes_it() -> None:
    seen, serial = facts(), str(LOCAL.certificate.serial_number)
    assert seen.devices is not None
    (finding,) = diagnose(replace(seen, devices={**seen.devices, serial: 0}), within=DAY)
    assert finding.code == "device-ca-without-devices"
    assert f"--ca-serial {serial}" in finding.next_step


def test_an_online_ca_that_has_signed_nothing_yet_is_in_order_and_one_that_another_follows_is_not() -> None:
    younger = device_ca(ROOT, subject=entity("gateway.localhost"), not_after=NOW + 9000 * DAY)
    (online,) = [ca for ca in facts().view.device_cas if ca.kind is Kind.ONLINE_CA]
    (local,) = [ca for ca in facts().view.device_cas if ca.kind is Kind.LOCAL_CA]
    unused = {online.serial: 0, local.serial: 1}
    assert found(replace(facts(), devices=unused)) == []
    both = replace(facts(cas=(ONLINE, LOCAL, younger)), devices=unused | {str(younger.certificate.serial_number): 0})
    (finding,) = diagnose(both, within=DAY)
    assert f"--ca-serial {online.serial}" in finding.next_step


def test_devices_that_were_not_counted_are_not_guessed() -> None:
    assert found(replace(facts(), devices=None)) == []


def test_faults_come_first() -> None:
    severities = [severity for severity, _ in found(facts(tls=None, cas=(LOCAL,)))]
    assert severities == [Severity.FAULT, Severity.WARNING]
