"""What the server says of itself becomes findings; what is in order gives none."""

import pytest

from ownroot.cli.findings import Severity
from ownroot.cli.server_health import findings_of
from ownroot.wire.pki_health import GatewayHealth, HealthFault, KeyHealth, PkiHealth, RevocationBucket

FAULT = HealthFault(code="sealed-unreadable", detail="The sealed key cannot be opened.")


def health(
    *keys: KeyHealth, unready: tuple[int, ...] = (), within: tuple[tuple[float | None, int], ...] = ()
) -> PkiHealth:
    buckets = tuple(RevocationBucket(seconds=seconds, changes=changes) for seconds, changes in within)
    return PkiHealth(keys=keys, issued=(), gateway=GatewayHealth(workers=2, unready=unready, time_to_revoke=buckets))


def found(seen: PkiHealth) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.code) for finding in findings_of(seen)]


def test_keys_that_sign_and_a_gateway_in_time_give_no_findings() -> None:
    seen = health(KeyHealth(kind="tls", serial="1"), within=((0.1, 2), (1.0, 3), (None, 3)))
    assert found(seen) == []


def test_a_server_without_a_gateway_is_not_blamed_for_it() -> None:
    assert found(PkiHealth(keys=(), issued=(), gateway=None)) == []


@pytest.mark.parametrize(
    ("kind", "step"),
    [("tls", "rotate-tls"), ("est", "keys est authorize"), ("online-ca", "--online-ca"), ("later", "restores")],
)
def test_a_key_that_does_not_sign_is_a_fault_with_the_way_out(kind: str, step: str) -> None:
    (finding,) = findings_of(health(KeyHealth(kind=kind, serial="7", fault=FAULT)))
    assert (finding.severity, finding.code) == (Severity.FAULT, "backend-key-unusable")
    assert "serial 7" in finding.detail
    assert "sealed-unreadable" in finding.detail
    assert step in finding.next_step


def test_a_worker_that_is_not_ready_is_a_fault() -> None:
    assert found(health(unready=(1,))) == [(Severity.FAULT, "gateway-not-ready")]


def test_a_change_that_took_longer_than_a_second_is_a_warning() -> None:
    assert found(health(within=((0.5, 1), (1.0, 1), (2.5, 2), (None, 2)))) == [(Severity.WARNING, "revocation-slow")]
