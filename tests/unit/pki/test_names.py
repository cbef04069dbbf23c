"""Names as text and as subjects."""

from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.pki import names
from tests.support.certificates import entity, name


@pytest.mark.parametrize("text", ["a", "acme", "acme-1", "1acme", "x" * 63])
def test_factory_name_is_one_dns_label(text: str) -> None:
    assert names.parse_factory_name(text) == text


@pytest.mark.parametrize("text", ["", "Acme", "-acme", "acme-", "a.b", "a_b", "x" * 64, "acme\n", "äcme", "a b"])
def test_factory_name_that_is_no_dns_label_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.parse_factory_name(text)

    assert refused.value.code == "factory-name-invalid"


@pytest.mark.parametrize("text", ["ostree", "est", "api"])
def test_factory_name_that_would_shadow_a_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.parse_factory_name(text)

    assert refused.value.code == "factory-name-reserved"


@pytest.mark.parametrize("text", ["Acme Works", "x" * 64, "ostree", "Müller & Söhne"])
def test_factory_that_moved_here_keeps_any_printable_name(text: str) -> None:
    assert names.parse_factory_ou(text) == text


@pytest.mark.parametrize("text", ["", "x" * 65, "a\nb", " a", "a ", "a\x00", "\u202eacme"])
def test_factory_that_moved_here_with_an_unprintable_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.parse_factory_ou(text)

    assert refused.value.code == "factory-name-invalid"


@pytest.mark.parametrize("text", ["a", "offline-device-1", "MFRGGZDF", "a.b_c-d", "x" * 64, "1..2"])
def test_device_uuid_is_an_opaque_safe_string(text: str) -> None:
    assert names.parse_device_uuid(text) == text


@pytest.mark.parametrize("text", ["", "../evil", "x y", ".a", "-a", "_a", "x" * 65, "a/b", "a\n", "é", "a\x00"])
def test_device_uuid_that_could_be_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.parse_device_uuid(text)

    assert refused.value.code == "device-uuid-invalid"


@pytest.mark.parametrize("text", ["a", "-", "_x", "a.b", "x" * 64, "..."])
def test_resource_name_is_a_part_of_a_path(text: str) -> None:
    assert names.parse_resource_name(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "x" * 65, "a%20", "a\n"])
def test_resource_name_that_breaks_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.parse_resource_name(text)

    assert refused.value.code == "name-invalid"


@pytest.mark.parametrize(("text", "parsed"), [("GW.Acme.Example", "gw.acme.example"), ("localhost", "localhost")])
def test_dns_name_is_folded_to_lower_case(text: str, parsed: str) -> None:
    assert names.parse_dns_name(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        "*.a.b",
        "192.0.2.1",
        "a..b",
        "-a.b",
        "a_b.c",
        "x" * 64,
        "a." * 127 + "aa",
        "\u212a.example",
        "::1",
    ],
)
def test_dns_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.parse_dns_name(text)

    assert refused.value.code == "dns-name-invalid"


@given(st.text(max_size=300))
def test_any_text_is_accepted_or_refused_by_every_parser(text: str) -> None:
    for parse in (
        names.parse_factory_name,
        names.parse_factory_ou,
        names.parse_device_uuid,
        names.parse_resource_name,
        names.parse_dns_name,
    ):
        with suppress(InvalidInputError):
            assert parse(text).lower() == text.lower()


def test_ostree_host_stands_before_the_gateway_name() -> None:
    assert names.ostree_name("gw.acme.example") == "ostree.gw.acme.example"


def test_online_ca_is_named_after_its_gateway() -> None:
    assert names.backend_key_subject("acme", "gw.example") == entity("gw.example", "acme")


def test_gateway_name_that_no_common_name_can_hold_is_left_out() -> None:
    assert names.backend_key_subject("acme", "g" * 65) == entity("device-gateway", "acme")


def test_local_ca_names_its_user_and_gives_it_back() -> None:
    assert names.local_ca_user(names.local_ca_subject("acme", "5f0c")) == "5f0c"


@pytest.mark.parametrize("subject", [entity("Fio-5f0c"), entity("5f0c"), name((NameOID.ORGANIZATIONAL_UNIT_NAME, "a"))])
def test_other_subject_names_no_user(subject: x509.Name) -> None:
    assert names.local_ca_user(subject) is None


@pytest.mark.parametrize(("factory", "polis_id"), [("acme", "x" * 61), ("", "a"), ("x" * 65, "a")])
def test_subject_that_does_not_fit_is_refused(factory: str, polis_id: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        names.local_ca_subject(factory, polis_id)

    assert refused.value.code == "name-too-long"


def test_production_device_says_so_in_its_subject() -> None:
    assert names.read_subject(names.device_subject("acme", "d1", production=True)) == names.Subject(
        ("d1",), ("acme",), ("production",)
    )
    assert names.read_subject(names.device_subject("acme", "d1", production=True)).is_production


def test_test_device_says_nothing() -> None:
    assert not names.read_subject(names.device_subject("acme", "d1")).is_production


def test_subject_is_read_with_every_occurrence_also_in_one_rdn() -> None:
    together = x509.RelativeDistinguishedName(
        [x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "b")]
    )
    alone = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "c")])

    assert names.read_subject(x509.Name([together, alone])) == names.Subject(("a", "c"), ("b",), ())


def test_reencoded_subject_keeps_nine_attributes_in_the_clients_order() -> None:
    kept = [
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.ORGANIZATION_NAME, "o"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "ou"),
        (NameOID.LOCALITY_NAME, "l"),
        (NameOID.STATE_OR_PROVINCE_NAME, "st"),
        (NameOID.STREET_ADDRESS, "street"),
        (NameOID.POSTAL_CODE, "1"),
        (NameOID.COMMON_NAME, "cn"),
        (NameOID.SERIAL_NUMBER, "s"),
    ]
    vanishing = [(NameOID.BUSINESS_CATEGORY, "production"), (NameOID.EMAIL_ADDRESS, "a@b")]

    assert names.reencode_subject(name(*vanishing, *reversed(kept))) == name(*kept)


def test_reencoded_subject_is_printable_where_it_can_be_and_utf8_elsewhere() -> None:
    encoded = names.reencode_subject(entity("under_score", "acme")).public_bytes()

    assert b"\x0c\x0bunder_score" in encoded
    assert b"\x13\x04acme" in encoded


def test_reencoded_subject_puts_values_of_one_attribute_into_one_sorted_rdn() -> None:
    subject = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "bb"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "a"))
    (rdn,) = names.reencode_subject(subject).rdns

    assert [attribute.value for attribute in rdn] == ["a", "bb"]


def test_reencoded_subject_keeps_the_last_common_name() -> None:
    subject = name((NameOID.COMMON_NAME, "first"), (NameOID.COMMON_NAME, "last"))

    assert names.reencode_subject(subject) == name((NameOID.COMMON_NAME, "last"))
