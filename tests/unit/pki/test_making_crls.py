"""Making CRLs: the profile of the reference client, for serials of any length."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import CRLEntryExtensionOID

from ownroot.errors import InvalidInputError, OwnrootError, RefusedError
from ownroot.pki.encoding import crl_pem, parse_crl
from ownroot.pki.issuance import Issuer
from ownroot.pki.revocation import CrlEntry, Verdict, make_crl, read_crl_command
from ownroot.pki.serials import Serial
from tests.support.certificates import NOW, Pair, factory_root, make_key, sha256_key_identifier

WIDEST = Serial((1 << 160) - 1)
REVOKE_WIDEST = CrlEntry(WIDEST, 9)


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


def issuer(root: Pair) -> Issuer:
    return Issuer(root.certificate, root.ec_key)


def refusal(root: Pair, *entries: CrlEntry) -> OwnrootError:
    with pytest.raises((InvalidInputError, RefusedError)) as refused:
        make_crl(issuer(root), entries, now=NOW)
    return refused.value


def test_a_command_reads_back_as_it_was_made(root: Pair) -> None:
    entries = (REVOKE_WIDEST, CrlEntry(Serial(1), 6), CrlEntry(Serial(1 << 159), 8), CrlEntry(Serial(2), None))
    made = parse_crl(crl_pem(make_crl(issuer(root), entries, now=NOW)))

    command = read_crl_command(made, root.certificate, NOW)
    assert command.entries == entries
    assert [entry.verdict for entry in command.entries] == [
        Verdict.REVOKE,
        Verdict.DISABLE,
        Verdict.RENEW,
        Verdict.REVOKE,
    ]
    assert (command.this_update, command.next_update) == (NOW, NOW + timedelta(minutes=15))


def test_extensions_are_those_of_the_profile_and_none_is_critical(root: Pair) -> None:
    made = make_crl(issuer(root), [REVOKE_WIDEST], now=NOW)

    assert [extension.value for extension in made.extensions] == [
        x509.AuthorityKeyIdentifier(sha256_key_identifier(root.key), None, None),
        x509.CRLNumber(1),
    ]
    (entry,) = made
    assert [extension.oid for extension in entry.extensions] == [CRLEntryExtensionOID.CRL_REASON]
    assert entry.revocation_date_utc == NOW
    assert not any(extension.critical for extension in (*made.extensions, *entry.extensions))


def test_issuer_is_the_roots_subject_octet_by_octet(root: Pair) -> None:
    made = make_crl(issuer(root), [REVOKE_WIDEST], now=NOW)
    assert made.issuer.public_bytes() == root.certificate.subject.public_bytes()


@pytest.mark.parametrize(
    ("curve", "algorithm"),
    [("secp256r1", hashes.SHA256), ("secp384r1", hashes.SHA384), ("secp521r1", hashes.SHA512)],
)
def test_hash_follows_the_curve_of_the_root(curve: str, algorithm: type[hashes.HashAlgorithm]) -> None:
    root = factory_root(key=make_key(curve))
    made = make_crl(issuer(root), [REVOKE_WIDEST], now=NOW)

    assert isinstance(made.signature_hash_algorithm, algorithm)
    assert made.is_signature_valid(root.ec_key.public_key())


def test_root_without_a_key_identifier_signs_too() -> None:
    root = factory_root(subject_key_identifier=None)
    made = make_crl(issuer(root), [REVOKE_WIDEST], now=NOW)
    assert read_crl_command(made, root.certificate, NOW).entries == (REVOKE_WIDEST,)


def test_a_command_without_entries_is_not_made(root: Pair) -> None:
    assert refusal(root).code == "crl-empty"


def test_one_serial_gets_one_verdict(root: Pair) -> None:
    assert refusal(root, CrlEntry(Serial(7), 6), CrlEntry(Serial(7), 9)).code == "crl-serial-repeated"


@pytest.mark.parametrize("serial", [0, -1, 1 << 160])
def test_serial_that_no_certificate_has_is_refused(root: Pair, serial: int) -> None:
    assert refusal(root, CrlEntry(Serial(serial), 9)).code == "serial-out-of-range"


@pytest.mark.parametrize("reason", [-1, 7, 11, 256])
def test_reason_that_rfc_5280_does_not_know_is_refused(root: Pair, reason: int) -> None:
    assert refusal(root, CrlEntry(Serial(7), reason)).code == "crl-reason-unknown"


def test_expired_root_signs_no_command() -> None:
    ended = factory_root(not_after=NOW, now=NOW - timedelta(days=1))
    assert refusal(ended, REVOKE_WIDEST).code == "issuer-expired"
