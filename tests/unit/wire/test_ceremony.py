"""Ceremony files: one way to write them, and every other way refused."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.wire.ceremony import (
    CEREMONY,
    ApprovalFile,
    CeremonyApproval,
    CeremonyRequest,
    JudgeOrder,
    RequestFile,
    RotateTlsOrder,
    request_file,
    sign_approval,
    state_sha256,
    verify_signature,
)
from ownroot.wire.ceremony_envelope import MAX_FILE_BYTES, write_file
from ownroot.wire.certs import CertsUpload, ChangeMeta, CsrReply, FactoryCerts
from tests.support.certificates import FACTORY, NOW, device_ca, factory_root, gateway_tls

ROOT = factory_root()
CAS = (device_ca(ROOT), device_ca(ROOT))
STATE = FactoryCerts(
    root_crt=ROOT.pem,
    tls_crt=gateway_tls(ROOT).pem,
    ca_crt=CAS[0].pem + CAS[1].pem,
    disabled_ca_serials=(str(CAS[0].certificate.serial_number),),
    change_meta=ChangeMeta(updated_at="2026-11-23T11:00:00Z"),
)


def request() -> CeremonyRequest:
    return CeremonyRequest(
        factory=FACTORY,
        server_url="https://api.example.test",
        requested_at=NOW,
        requested_by="Ada",
        tool="ownroot/1",
        change=RotateTlsOrder(),
        csrs=CsrReply(),
        state=FactoryCerts(),
        state_sha256="00",
    )


def approval() -> CeremonyApproval:
    return CeremonyApproval(
        request=request(),
        request_sha256="00",
        approved_at=NOW,
        operators=("Ada",),
        root_sha256="00",
        upload=CertsUpload(tls_crt="x"),
        usable_until=None,
    )


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidInputError) as caught:
        CEREMONY.parse(content, RequestFile)
    return caught.value.code


def test_what_was_written_is_read() -> None:
    file = request_file(request())
    assert CEREMONY.parse(write_file(file), RequestFile) == file


def test_every_single_altered_byte_is_refused() -> None:
    content = write_file(request_file(request()))
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 0x01
        assert refusal(bytes(altered)) in {
            "ceremony-file-altered",
            "ceremony-file-unreadable",
            "ceremony-file-version",
        }


def test_every_lost_end_is_refused() -> None:
    content = write_file(request_file(request()))
    assert {refusal(content[:length]) for length in range(len(content) - 1)} == {"ceremony-file-unreadable"}
    assert refusal(content[:-1]) == "ceremony-file-altered"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"kind":"ownroot-ceremony-request"}'],
    ids=["empty", "object", "array", "null", "not UTF-8", "nested", "kind alone"],
)
def test_what_is_no_ceremony_file_is_refused(content: bytes) -> None:
    assert refusal(content) == "ceremony-file-unreadable"


def test_a_file_beyond_the_limit_is_not_even_parsed() -> None:
    assert refusal(b" " * (MAX_FILE_BYTES + 1)) == "ceremony-file-too-large"


def test_the_same_content_written_in_another_way_is_refused() -> None:
    document = json.loads(write_file(request_file(request())))
    assert refusal(json.dumps(document).encode()) == "ceremony-file-altered"


def test_a_member_nobody_knows_is_refused() -> None:
    document = json.loads(write_file(request_file(request()))) | {"zz": 1}
    assert refusal(json.dumps(document, indent=2).encode() + b"\n") == "ceremony-file-altered"


def test_a_later_version_is_named() -> None:
    later = msgspec.structs.replace(request_file(request()), version=2)
    assert refusal(write_file(later)) == "ceremony-file-version"


def test_a_time_without_a_zone_is_refused() -> None:
    content = write_file(request_file(request())).replace(b"12:00:00Z", b"12:00:00")
    assert refusal(content) == "ceremony-file-unreadable"


def test_another_kind_is_refused() -> None:
    assert refusal(write_file(sign_approval(approval(), ROOT.ec_key))) == "ceremony-file-kind"


def test_only_the_root_that_signed_is_believed() -> None:
    file = sign_approval(approval(), ROOT.ec_key)
    verify_signature(file, ROOT.certificate)
    with pytest.raises(RefusedError) as caught:
        verify_signature(file, factory_root().certificate)
    assert caught.value.code == "ceremony-signature"


@pytest.mark.parametrize("signature", ["", "!", "AAAA", "MAYCAQECAQE="])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    file = msgspec.structs.replace(sign_approval(approval(), ROOT.ec_key), signature=signature)
    with pytest.raises(RefusedError) as caught:
        verify_signature(file, ROOT.certificate)
    assert caught.value.code == "ceremony-signature"


def test_a_body_changed_under_its_signature_is_refused() -> None:
    file = sign_approval(approval(), ROOT.ec_key)
    other = msgspec.structs.replace(file, body=msgspec.structs.replace(file.body, operators=("Eve",)))
    with pytest.raises(RefusedError):
        verify_signature(other, ROOT.certificate)
    with pytest.raises(InvalidInputError):
        CEREMONY.parse(write_file(other), ApprovalFile)


def test_what_the_root_signs_cannot_pass_for_a_certificate() -> None:
    assert CEREMONY.signed_octets(approval())[0] != 0x30


def test_an_order_keeps_its_kind() -> None:
    order = JudgeOrder(verdict="disable", serials=("5",))
    file = request_file(msgspec.structs.replace(request(), change=order))
    assert CEREMONY.parse(write_file(file), RequestFile).body.change == order


def test_the_order_of_device_cas_does_not_count() -> None:
    turned = msgspec.structs.replace(STATE, ca_crt=CAS[1].pem + "\n" + CAS[0].pem)
    assert state_sha256(turned) == state_sha256(STATE)


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(STATE, root_crt=factory_root().pem),
        msgspec.structs.replace(STATE, tls_crt=None),
        msgspec.structs.replace(STATE, est_tls_crt=STATE.tls_crt),
        msgspec.structs.replace(STATE, ca_crt=CAS[0].pem),
        msgspec.structs.replace(STATE, ca_crt=None),
        msgspec.structs.replace(STATE, disabled_ca_serials=()),
        msgspec.structs.replace(STATE, change_meta=ChangeMeta(updated_at="2026-11-23T11:00:01Z")),
    ],
    ids=["root", "no tls", "est", "one ca", "no ca", "enabled", "changed and changed back"],
)
def test_another_state_has_another_digest(other: FactoryCerts) -> None:
    assert state_sha256(other) != state_sha256(STATE)


def test_the_digest_of_the_octets_stays_what_it_is() -> None:
    # Files are kept for years: another way to write JSON would make every old record look altered.
    octets = CEREMONY.signed_octets(request())
    assert octets.startswith(b'ownroot-ceremony-request\n{"change":{"what":"rotate-tls"},"csrs":{},"devices":[],')
    assert b'"requested-at":"2026-11-23T12:00:00Z"' in octets
    assert datetime(2026, 11, 23, 12, tzinfo=UTC) == NOW
