"""What a refusal says about a state that has moved."""

import msgspec
import pytest

from ownroot.cli.ceremony_apply import differences
from ownroot.wire.certs import ChangeMeta, FactoryCerts
from tests.support.certificates import device_ca, factory_root, gateway_tls

ROOT = factory_root()
CA = device_ca(ROOT, serial=41)
NEW_CA = device_ca(ROOT, serial=42)
BEFORE = FactoryCerts(root_crt=ROOT.pem, tls_crt=gateway_tls(ROOT).pem, ca_crt=CA.pem)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (msgspec.structs.replace(BEFORE, tls_crt=gateway_tls(ROOT).pem), "the gateway's TLS certificate is another"),
        (msgspec.structs.replace(BEFORE, est_tls_crt=BEFORE.tls_crt), "the EST server's TLS certificate is another"),
        (msgspec.structs.replace(BEFORE, root_crt=None), "the root is another"),
        (msgspec.structs.replace(BEFORE, ca_crt=CA.pem + NEW_CA.pem), "device CA 42 is new"),
        (msgspec.structs.replace(BEFORE, ca_crt=None), "device CA 41 is gone"),
        (msgspec.structs.replace(BEFORE, disabled_ca_serials=("41",)), "device CA 41 is disabled"),
        (
            msgspec.structs.replace(BEFORE, change_meta=ChangeMeta(updated_at="noon")),
            "it was changed and changed back, last at noon",
        ),
    ],
    ids=["tls", "est", "root", "new", "gone", "disabled", "back"],
)
def test_the_one_thing_that_differs_is_named(now: FactoryCerts, said: str) -> None:
    assert list(differences(BEFORE, now)) == [said]


def test_a_device_ca_that_was_enabled_is_named() -> None:
    disabled = msgspec.structs.replace(BEFORE, disabled_ca_serials=("41",))
    assert list(differences(disabled, BEFORE)) == ["device CA 41 is no longer disabled"]
