import base64
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.keys import KeyType, TufSigner, generate_signer, parse_key, parse_signer
from tests.support.openssl_checks import openssl
from tests.support.tuf_world import ed25519_signer, public_pem, rsa_signer

SEED = bytes(range(32)).hex()
PUBLIC = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
KEY_ID = "a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5"


def code(read: Callable[[Json], object], document: Json) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(document)
    return caught.value.code


def rsa_pem(bits: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_key_of_the_protocol_page_has_its_id() -> None:
    signer = parse_signer({"keytype": "ED25519", "keyval": {"private": SEED}})

    assert signer.key.document() == {"keytype": "ED25519", "keyval": {"public": PUBLIC}}
    assert signer.key.key_id == KEY_ID
    assert parse_signer({"keytype": "ED25519", "keyval": {"private": SEED + PUBLIC}}).key == signer.key
    assert signer.document() == {"keytype": "ED25519", "keyval": {"private": SEED}}


@pytest.mark.parametrize("signer", [ed25519_signer(7), rsa_signer(), generate_signer(KeyType.ED25519)])
def test_keys_come_back_from_their_documents_and_sign(signer: TufSigner) -> None:
    key = parse_key(signer.key.document())
    signature = parse_signer(signer.document()).sign(b"payload")

    assert key == signer.key
    assert key.has_signed(b"payload", key.keytype.method, signature)
    assert not key.has_signed(b"payload.", key.keytype.method, signature)
    assert not key.has_signed(b"payload", key.keytype.method, bytes([signature[0] ^ 1]) + signature[1:])
    assert not key.has_signed(b"payload", "rsassa-pss", signature)
    assert not ed25519_signer(8).key.has_signed(b"payload", "ed25519", signature)


def test_private_rsa_keys_are_written_as_pkcs1() -> None:
    private = rsa_signer().document()["keyval"]

    assert isinstance(private, dict)
    assert str(private["private"]).startswith("-----BEGIN RSA PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"keytype": "ED25519"},
        {"keytype": "ED25519", "keyval": {"public": PUBLIC}, "scheme": "ed25519"},
        {"keytype": "ed25519", "keyval": {"public": PUBLIC}},
        {"keytype": ["ED25519"], "keyval": {"public": PUBLIC}},
        {"keytype": "ECDSA", "keyval": {"public": PUBLIC}},
        {"keytype": "ED25519", "keyval": PUBLIC},
        {"keytype": "ED25519", "keyval": {}},
        {"keytype": "ED25519", "keyval": {"public": 1}},
        {"keytype": "ED25519", "keyval": {"public": PUBLIC, "more": ""}},
        {"keytype": "ED25519", "keyval": {"public": PUBLIC.upper()}},
        {"keytype": "ED25519", "keyval": {"public": PUBLIC[:-2]}},
        {"keytype": "ED25519", "keyval": {"public": PUBLIC[:-1] + "x"}},
        {"keytype": "RSA", "keyval": {"public": PUBLIC}},
        {"keytype": "RSA", "keyval": {"public": "é"}},
        {"keytype": "RSA", "keyval": {"public": rsa_pem(1024)}},
        {"keytype": "RSA", "keyval": {"public": rsa_pem(2048).rstrip()}},
        {
            "keytype": "RSA",
            "keyval": {
                "public": ec.generate_private_key(ec.SECP256R1())
                .public_key()
                .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
                .decode()
            },
        },
    ],
)
def test_keys_that_some_device_could_not_read_are_refused(document: Json) -> None:
    assert code(parse_key, document) == "tuf-key-invalid"


def test_private_key_in_place_of_a_public_one_is_named_as_such() -> None:
    assert code(parse_key, ed25519_signer(1).document()) == "tuf-key-private"


@pytest.mark.parametrize(
    "document",
    [
        {"keytype": "ED25519", "keyval": {"public": PUBLIC}},
        {"keytype": "ED25519", "keyval": {"private": "00"}},
        {"keytype": "RSA", "keyval": {"private": SEED}},
        {
            "keytype": "RSA",
            "keyval": {
                "private": ec.generate_private_key(ec.SECP256R1())
                .private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                .decode()
            },
        },
    ],
)
def test_private_keys_that_cannot_sign_here_are_refused(document: Json) -> None:
    assert code(parse_signer, document) == "tuf-key-invalid"


def test_openssl_verifies_signatures_of_both_types(tmp_path: Path) -> None:
    payload, signature, public = tmp_path / "payload", tmp_path / "signature", tmp_path / "key.pem"
    payload.write_bytes(b"payload")
    ask = ("pkeyutl", "-verify", "-pubin", "-inkey", public, "-sigfile", signature, "-rawin", "-in", payload)
    pss = ("rsa_padding_mode:pss", "rsa_pss_saltlen:32", "rsa_mgf1_md:sha256")
    options = {
        KeyType.ED25519: [],
        KeyType.RSA: ["-digest", "sha256", *(x for option in pss for x in ("-pkeyopt", option))],
    }
    for signer in (ed25519_signer(9), rsa_signer()):
        signature.write_bytes(signer.sign(b"payload"))
        public.write_text(public_pem(signer.key))

        assert "Verified Successfully" in openssl(*ask, *options[signer.key.keytype])
        assert sha256(openssl_der(public)).hexdigest() == signer.key.key_id


def openssl_der(public: Path) -> bytes:
    text = openssl("pkey", "-pubin", "-in", public, "-outform", "PEM")
    return base64.b64decode("".join(text.splitlines()[1:-1]))
