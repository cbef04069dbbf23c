"""Lifetimes and what a certificate says about itself."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ownroot.pki.profiles import Lifetime
from ownroot.pki.traits import Traits
from tests.support.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    device_ca,
    device_certificate,
    factory_root,
    gateway_tls,
)


def test_lifetime_in_years_ends_on_the_same_day() -> None:
    start = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

    assert Lifetime(years=20).end(start) == datetime(2046, 11, 23, 12, 0, 0, tzinfo=UTC)
    assert Lifetime(days=7300).end(start) == datetime(2046, 11, 18, 12, 0, 0, tzinfo=UTC)


def test_lifetime_from_29_february_ends_on_1_march_where_there_is_none() -> None:
    start = datetime(2028, 2, 29, tzinfo=UTC)

    assert Lifetime(years=20).end(start) == datetime(2048, 2, 29, tzinfo=UTC)
    assert Lifetime(years=10).end(start) == datetime(2038, 3, 1, tzinfo=UTC)


def test_traits_of_a_ca_are_those_it_has() -> None:
    root = factory_root()
    traits = Traits.of(device_ca(root).certificate)

    assert (traits.is_ca, traits.path_length, traits.dns_names, traits.unknown_critical) == (True, 0, (), ())
    assert traits.key_usage is not None
    assert traits.key_usage.key_cert_sign
    assert traits.authority_key_identifier == Traits.of(root.certificate).subject_key_identifier


def test_traits_of_a_certificate_without_extensions_are_none() -> None:
    bare = device_certificate(device_ca(factory_root()), version_1=True).certificate

    assert Traits.of(bare) == Traits(False, None, None, None, None, None, (), ())


def test_only_critical_extensions_nobody_acts_on_are_listed() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    policy = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    tls = gateway_tls(factory_root(), more_extensions=((unknown, False), (policy, True)))

    assert Traits.of(tls.certificate).unknown_critical == ("2.5.29.36",)


@pytest.mark.parametrize(
    ("usages", "allowed"),
    [
        (None, True),
        ((CLIENT_AUTH,), True),
        ((SERVER_AUTH, CLIENT_AUTH), True),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), True),
        ((SERVER_AUTH,), False),
    ],
)
def test_extended_usage_allows_what_it_lists_or_everything_when_absent(
    usages: tuple[x509.ObjectIdentifier, ...] | None, allowed: bool
) -> None:
    device = device_certificate(device_ca(factory_root()), extended_key_usages=usages)

    assert Traits.of(device.certificate).allows_usage(CLIENT_AUTH) is allowed
