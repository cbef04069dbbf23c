"""What a device believes of a certificate it got for the one it has, and each detail that makes it refuse (§7.1)."""

from datetime import timedelta
from typing import Any

import pytest

from ownroot.errors import InvalidInputError
from ownroot.pki.renewed import KnownIssuers, verify_renewed
from tests.support.certificates import (
    CLIENT_AUTH,
    NOW,
    SERVER_AUTH,
    Pair,
    device_ca,
    device_certificate,
    device_name,
    factory_root,
    make_key,
)
from tests.support.enrolling import printable

ROOT = factory_root()
CA = device_ca(ROOT)
OLD = device_certificate(CA)
KEY = make_key()


def judged(new: Pair, *, ca: Pair = CA, root: Pair = ROOT, now: Any = NOW) -> Pair:
    """Return the issuer found, with the key nobody looks at."""
    issuers = KnownIssuers([OLD.certificate, ca.certificate], [root.certificate])
    return Pair(verify_renewed(new.certificate, OLD.certificate, KEY.public_key(), issuers, now=now), ca.key)


def refusal(new: Pair, **other: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        judged(new, **other)
    return caught.value.code


def renewed(ca: Pair = CA, **odd: Any) -> Pair:
    return device_certificate(ca, **{"key": KEY, **odd})


def test_a_certificate_that_keeps_every_rule_is_taken_with_its_issuer() -> None:
    assert judged(renewed()).certificate == CA.certificate


def test_another_device_ca_of_the_same_root_may_have_signed_it() -> None:
    other = device_ca(ROOT, "online-ca")
    assert judged(renewed(other), ca=other).certificate == other.certificate


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ({"subject": device_name("another")}, "renewed-subject"),
        ({"subject": printable(device_name())}, "renewed-subject"),
        ({"subject": device_name(production=True)}, "renewed-subject"),
        ({"key": make_key()}, "renewed-key"),
        ({"key_usage": ("digital_signature", "key_agreement")}, "renewed-key-usage"),
        ({"key_usage": None}, "renewed-key-usage"),
        ({"extended_key_usages": (CLIENT_AUTH, SERVER_AUTH)}, "renewed-extended-key-usage"),
        ({"extended_key_usages": None}, "renewed-extended-key-usage"),
        ({"is_ca": True}, "renewed-extension"),
        ({"dns_names": ("gateway.example",)}, "renewed-extension"),
        ({"not_before": NOW + timedelta(hours=2)}, "renewed-dates"),
        ({"not_after": NOW - timedelta(seconds=1)}, "renewed-dates"),
        ({"signer": make_key()}, "renewed-issuer"),
    ],
)
def test_one_detail_that_differs_is_refused(odd: dict[str, Any], code: str) -> None:
    assert refusal(renewed(**odd)) == code


def test_a_ca_that_the_pinned_root_has_not_signed_vouches_for_nothing() -> None:
    assert refusal(renewed(), root=factory_root()) == "renewed-issuer"


def test_another_device_is_no_issuer() -> None:
    assert refusal(renewed(OLD)) == "renewed-issuer"


def test_a_device_ca_that_has_ended_is_refused() -> None:
    ended = device_ca(ROOT, not_before=NOW - timedelta(days=2), not_after=NOW - timedelta(days=1))
    assert refusal(renewed(ended), ca=ended) == "renewed-issuer"


def test_a_start_within_the_drift_of_a_clock_is_taken() -> None:
    assert judged(renewed(not_before=NOW + timedelta(minutes=59))).certificate == CA.certificate
