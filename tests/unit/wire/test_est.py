"""EST bodies (RFC 7030, RFC 8951) and the messages of the issuing desk: printed, read, and refused by one detail."""

import base64

import pytest

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import certificate_der
from ownroot.wire.est import (
    attributes_body,
    certificates_body,
    issuer_header,
    parse_certificates_body,
    parse_enrolment,
    parse_issuer_header,
)
from ownroot.wire.issuing_desk import (
    MAX_MESSAGE_OCTETS,
    RenewalAnswer,
    RenewalQuestion,
    Unframer,
    frame,
    parse_message,
)
from tests.support.certificates import device_ca, factory_root

DER = bytes(range(200))
TEXT = base64.b64encode(DER)


@pytest.mark.parametrize("content_type", ["application/pkcs10", "Application/PKCS10", "application/pkcs10; charset=x"])
@pytest.mark.parametrize("body", [TEXT, TEXT + b"\n", base64.encodebytes(DER), b"\r\n" + TEXT])
def test_a_csr_is_taken_from_base64_of_any_lines(content_type: str, body: bytes) -> None:
    assert parse_enrolment(content_type, body) == DER


@pytest.mark.parametrize("label", [b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"])
def test_armour_is_taken_off(label: bytes) -> None:
    armoured = b"-----BEGIN " + label + b"-----\n" + base64.encodebytes(DER) + b"-----END " + label + b"-----\n"
    assert parse_enrolment("application/pkcs10", armoured) == DER
    with pytest.raises(InvalidInputError) as refused:
        parse_enrolment("application/pkcs10", armoured.replace(b"-----END", b"-----ENT"))
    assert refused.value.code == "est-base64"


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("", TEXT, "est-content-type"),
        ("application/pkcs7-mime", TEXT, "est-content-type"),
        ("application/pkcs10", b"", "est-base64"),
        ("application/pkcs10", b" \n", "est-base64"),
        ("application/pkcs10", TEXT + b"!", "est-base64"),
        ("application/pkcs10", DER, "est-base64"),
    ],
)
def test_anything_else_is_refused(content_type: str, body: bytes, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_enrolment(content_type, body)
    assert refused.value.code == code


def test_certificates_are_read_back_and_nothing_else_is() -> None:
    root = factory_root()
    both = [root.certificate, device_ca(root).certificate]
    body = certificates_body(both)
    assert max(map(len, body.splitlines())) <= 76
    assert sorted(one.serial_number for one in parse_certificates_body(body)) == sorted(
        one.serial_number for one in both
    )
    for other in (b"%%%", base64.b64encode(b"0\x03\x02\x01\x05"), b""):
        with pytest.raises(InvalidInputError) as refused:
            parse_certificates_body(other)
        assert refused.value.code == "est-answer"


def test_an_issuer_in_a_header_is_read_back_and_nothing_else_is() -> None:
    ca = device_ca(factory_root()).certificate
    text = issuer_header(certificate_der(ca))
    assert parse_issuer_header(text) == ca
    assert [parse_issuer_header(bad) for bad in ("", "::", text[1:], ":AAAA:", ":?:", text.replace("A", "B"))] == [
        None
    ] * 6


def test_the_attributes_are_one_sequence_of_the_length_it_says() -> None:
    der = base64.b64decode(attributes_body())
    assert (der[0], der[1]) == (0x30, len(der) - 2)


def test_a_message_is_read_back() -> None:
    question = RenewalQuestion(7, 1, b"certificate", b"csr", "192.0.2.1")
    (message,) = Unframer().feed(frame(question))
    assert parse_message(message, RenewalQuestion) == question
    answer = RenewalAnswer(7, b"", b"", "RefusedError", "device-denied", "It was deleted.", 0)
    assert parse_message(frame(answer)[4:], RenewalAnswer) == answer


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"GET / HTTP/1.1"])
def test_a_message_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_message(data, RenewalQuestion)
    assert refused.value.code == "desk-message"


@pytest.mark.parametrize("size", [1, 3, 5, 1000])
def test_messages_are_whole_however_they_arrive(size: int) -> None:
    questions = [RenewalQuestion(number, 1, b"c" * number, b"", "") for number in range(20)]
    sent = b"".join(map(frame, questions))
    unframer, got = Unframer(), []
    for start in range(0, len(sent), size):
        got += unframer.feed(sent[start : start + size])
    assert [parse_message(message, RenewalQuestion) for message in got] == questions


def test_a_message_that_would_be_too_long_is_refused_by_its_length() -> None:
    assert Unframer().feed(MAX_MESSAGE_OCTETS.to_bytes(4, "big")) == []
    with pytest.raises(InvalidInputError) as refused:
        Unframer().feed((MAX_MESSAGE_OCTETS + 1).to_bytes(4, "big"))
    assert refused.value.code == "desk-message"
