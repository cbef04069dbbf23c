"""What makes a device renew, and when."""

from datetime import timedelta

import pytest

from ownroot.device.renewal_order import RenewalOrder, own_order, parse_order, renewal_due_at
from ownroot.errors import InvalidInputError
from tests.support.certificates import NOW, device_ca, device_certificate, factory_root

CA = device_ca(factory_root())
PUSHED = b"ESTSERVER=https://gw:8443/.well-known/est\nPKEYIDS=01,07\nCERTIDS=03,09\nROTATIONID=certs-42\n"


def test_the_file_of_an_owner_is_an_order() -> None:
    assert parse_order(PUSHED) == RenewalOrder("certs-42", "https://gw:8443/.well-known/est", is_pushed=True)


@pytest.mark.parametrize(
    ("good", "bad"), [(b"https:", b"http:"), (b"certs-42", b"certs 42"), (b"ROTATIONID", b"ID"), (b"certs-42", b"")]
)
def test_a_file_without_both_parts_is_refused(good: bytes, bad: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_order(PUSHED.replace(good, bad))
    assert caught.value.code == "renewal-order"


def test_the_devices_own_order_asks_its_gateway() -> None:
    order = own_order("https://gw:8443", NOW)
    id_ = f"certs-{int(NOW.timestamp())}"
    assert order == RenewalOrder(id_, "https://gw:8443/.well-known/est", names_est=False)
    assert own_order("https://gw:8443", NOW, est="https://other/est/") == RenewalOrder(id_, "https://other/est")


def test_a_fleet_made_at_once_is_due_between_two_thirds_and_a_tenth_later() -> None:
    life = timedelta(days=300)
    made = [device_certificate(CA, f"d-{n}", not_before=NOW, not_after=NOW + life).certificate for n in range(12)]
    due = [renewal_due_at(certificate) for certificate in made]
    assert all(NOW + life * 2 / 3 - timedelta(seconds=1) <= moment <= NOW + life * 23 / 30 for moment in due)
    assert len(set(due)) == len(due)
    assert due == [renewal_due_at(certificate) for certificate in made]
