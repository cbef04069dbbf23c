"""CRLs as signed commands."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.errors import InvalidInputError
from ownroot.pki import der
from ownroot.pki.encoding import parse_crl
from ownroot.pki.revocation import CrlEntry, Verdict, read_crl_command
from ownroot.pki.serials import Serial
from tests.support.certificates import NOW, Pair, crl, crl_pem, entity, factory_root, make_key, make_rsa_key

REVOKED = x509.ReasonFlags.privilege_withdrawn
MINUTES_15, SKEW, SECOND = timedelta(minutes=15), timedelta(minutes=5), timedelta(seconds=1)


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


def code_of(revocations: x509.CertificateRevocationList, root: Pair) -> str:
    """Return why this command is refused."""
    with pytest.raises(InvalidInputError) as refused:
        read_crl_command(revocations, root.certificate, NOW)
    return refused.value.code


@pytest.mark.parametrize("reason", [*(flag for flag in x509.ReasonFlags if flag.value != "unspecified"), None])
def test_reason_6_disables_8_renews_and_any_other_or_none_revokes(root: Pair, reason: x509.ReasonFlags | None) -> None:
    special = {
        x509.ReasonFlags.certificate_hold: Verdict.DISABLE,
        x509.ReasonFlags.remove_from_crl: Verdict.RENEW,
    }
    (entry,) = read_crl_command(parse_crl(crl_pem(crl(root, {7: reason}))), root.certificate, NOW).entries

    assert entry.serial == 7
    assert entry.verdict is (special.get(reason, Verdict.REVOKE) if reason else Verdict.REVOKE)


def test_entries_keep_their_order_and_times_are_read(root: Pair) -> None:
    command = read_crl_command(crl(root, {9: REVOKED, 3: None, 5: REVOKED}), root.certificate, NOW)

    assert [entry.serial for entry in command.entries] == [9, 3, 5]
    assert (command.this_update, command.next_update) == (NOW, NOW + MINUTES_15)


def test_entry_with_a_160_bit_serial_is_read(root: Pair) -> None:
    serial = (1 << 160) - 1
    placeholder = (1 << 158) + 1
    revocations = signed_again(crl(root, {placeholder: REVOKED}), der.integer(placeholder), der.integer(serial), root)

    (entry,) = read_crl_command(revocations, root.certificate, NOW).entries
    assert entry == CrlEntry(Serial(serial), 9)


def test_crl_of_a_root_without_crl_sign_is_accepted() -> None:
    root = factory_root(key_usage=("key_cert_sign",))

    assert read_crl_command(crl(root, {7: REVOKED}), root.certificate, NOW).entries


def test_command_is_named_by_its_signed_part_so_another_signature_is_the_same_command(root: Pair) -> None:
    revocations = crl(root, {7: REVOKED})
    again = signed_again(revocations, b"", b"", root)

    assert again.signature != revocations.signature
    assert (
        read_crl_command(again, root.certificate, NOW).signed_part_sha256
        == read_crl_command(revocations, root.certificate, NOW).signed_part_sha256
    )


def test_another_command_has_another_name(root: Pair) -> None:
    one, other = crl(root, {7: REVOKED}), crl(root, {8: REVOKED})

    assert (
        read_crl_command(one, root.certificate, NOW).signed_part_sha256
        != read_crl_command(other, root.certificate, NOW).signed_part_sha256
    )


def test_signature_of_another_key_is_refused(root: Pair) -> None:
    assert code_of(crl(root, {7: REVOKED}, signer=make_key()), root) == "crl-not-signed-by-root"


def test_signature_under_another_name_is_refused(root: Pair) -> None:
    assert code_of(crl(root, {7: REVOKED}, issuer_name=entity("Other-CA")), root) == "crl-not-signed-by-root"


def test_crl_for_a_root_with_an_rsa_key_is_refused(root: Pair) -> None:
    rsa_root = factory_root(key=make_rsa_key(), signer=make_key())

    assert code_of(crl(root, {7: REVOKED}), rsa_root) == "crl-not-signed-by-root"


def test_clock_skew_of_five_minutes_is_allowed_on_both_sides_and_no_more(root: Pair) -> None:
    early, late = crl(root, {7: REVOKED}, now=NOW + SKEW), crl(root, {7: REVOKED}, now=NOW - MINUTES_15 - SKEW)
    too_early = crl(root, {7: REVOKED}, now=NOW + SKEW + SECOND)
    too_late = crl(root, {7: REVOKED}, now=NOW - MINUTES_15 - SKEW - SECOND)

    assert read_crl_command(early, root.certificate, NOW).entries
    assert read_crl_command(late, root.certificate, NOW).entries
    assert code_of(too_early, root) == "crl-not-yet-valid"
    assert code_of(too_late, root) == "crl-expired"


def test_crl_without_an_end_is_refused(root: Pair) -> None:
    revocations = crl(root, {7: REVOKED})
    assert revocations.next_update_utc is not None
    endless = signed_again(revocations, der.time(revocations.next_update_utc), b"", root)

    assert endless.next_update_utc is None
    assert code_of(endless, root) == "crl-expired"


def test_empty_crl_is_refused(root: Pair) -> None:
    assert code_of(crl(root, {}), root) == "crl-empty"


def test_serial_named_twice_is_refused(root: Pair) -> None:
    revocations = crl(root, {0x7001: REVOKED, 0x7002: x509.ReasonFlags.certificate_hold})
    doubled = signed_again(revocations, der.integer(0x7002), der.integer(0x7001), root)

    assert code_of(doubled, root) == "crl-serial-repeated"


@pytest.mark.parametrize(
    "extension",
    [
        x509.DeltaCRLIndicator(1),
        x509.IssuingDistributionPoint(None, None, True, False, None, False, False),
    ],
)
def test_delta_or_partial_crl_is_refused(root: Pair, extension: x509.ExtensionType) -> None:
    assert code_of(crl(root, {7: REVOKED}, more_extensions=((extension, True),)), root) == "crl-critical-extension"


def test_entry_for_another_issuers_certificate_is_refused(root: Pair) -> None:
    issuer = x509.CertificateIssuer([x509.DirectoryName(entity("Other-CA"))])

    assert code_of(crl(root, {7: REVOKED}, more_in_entries=((issuer, True),)), root) == "crl-critical-extension"


def test_entry_with_an_invalidity_date_is_read(root: Pair) -> None:
    date = x509.InvalidityDate(NOW)

    assert read_crl_command(crl(root, {7: None}, more_in_entries=((date, False),)), root.certificate, NOW).entries


def signed_again(
    revocations: x509.CertificateRevocationList, old: bytes, new: bytes, root: Pair
) -> x509.CertificateRevocationList:
    """Replace octets in the signed part, mend the lengths around them, and sign the result."""
    (signed_part,) = der.read(replaced(revocations.tbs_certlist_bytes, old, new))
    algorithm = list(der.read(der.read_one(revocations.public_bytes(Encoding.DER), der.SEQUENCE).content))[1].raw
    signature = root.ec_key.sign(signed_part.raw, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_crl(der.sequence(signed_part.raw, algorithm, der.bit_string(signature)))


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace an encoded value wherever it stands, rebuilding the lengths of everything around it."""
    parts = []
    for element in der.read(data):
        if old and element.raw == old:
            parts.append(new)
        elif element.tag & 0x20:
            parts.append(der.encode(element.tag, replaced(element.content, old, new)))
        else:
            parts.append(element.raw)
    return b"".join(parts)
