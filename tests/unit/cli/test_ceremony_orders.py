"""Changes as ceremony files hold them: what comes back is what was written, and nothing that could hurt."""

import pytest

from ownroot.cli.ceremony_orders import change_of, order_of
from ownroot.cli.pki_changes import AddDeviceCas, AuthorizeEst, Change, CreatePki, JudgeDeviceCas, LocalCa, RotateTls
from ownroot.errors import InvalidInputError
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import Serial
from ownroot.wire.ceremony import AddDeviceCaOrder, ChangeOrder, CreateOrder, JudgeOrder, LocalCaOrder
from tests.support.certificates import device_ca, factory_root

CA = device_ca(factory_root(), serial=2**160 - 1)
LOCAL = LocalCa(file="line-2.pem", polis_id="5f0c1d2e3a4b5c6d7e8f9012")


@pytest.mark.parametrize(
    "change",
    [
        CreatePki(online_ca=True, local_ca=LOCAL),
        AddDeviceCas(online_ca=True, local_ca=None),
        AddDeviceCas(online_ca=False, local_ca=LOCAL),
        RotateTls(),
        AuthorizeEst(),
        JudgeDeviceCas(verdict=Verdict.REVOKE, serials=(Serial(2**160 - 1), Serial(7))),
        JudgeDeviceCas(verdict=Verdict.DISABLE, serials=(Serial(7),)),
        JudgeDeviceCas(verdict=Verdict.RENEW, serials=(Serial(2**160 - 1),), returning=(CA.certificate,)),
    ],
    ids=lambda change: type(change).__name__,
)
def test_a_change_comes_back_as_it_was_written(change: Change) -> None:
    assert change_of(order_of(change)) == change


@pytest.mark.parametrize("file", ["../factory_ca.pem", "/etc/x.pem", "factory_ca.pem", "x", "", ".x.pem", "a\n.pem"])
def test_a_file_name_that_leads_elsewhere_is_refused(file: str) -> None:
    assert _code(CreateOrder(online_ca=True, local_ca=LocalCaOrder(file=file, polis_id="x"))) == "ceremony-order"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (AddDeviceCaOrder(online_ca=False), "ceremony-order"),
        (JudgeOrder(verdict="revoke", serials=()), "ceremony-order"),
        (JudgeOrder(verdict="revoke", serials=("7", "7")), "ceremony-order"),
        (JudgeOrder(verdict="revoke", serials=(str(2**160 - 1),), returning=(CA.pem,)), "ceremony-order"),
        (JudgeOrder(verdict="enable", serials=("7",), returning=(CA.pem,)), "ceremony-order"),
        (JudgeOrder(verdict="enable", serials=("0x7",)), "serial-malformed"),
    ],
    ids=["no ca", "no serial", "one twice", "revoked and back", "back but not named", "not decimal"],
)
def test_an_order_that_means_nothing_or_two_things_is_refused(order: ChangeOrder, code: str) -> None:
    assert _code(order) == code


def _code(order: ChangeOrder) -> str:
    with pytest.raises(InvalidInputError) as caught:
        change_of(order)
    return caught.value.code
