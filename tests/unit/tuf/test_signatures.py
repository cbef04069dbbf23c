import base64

import pytest

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.signatures import Signature, merge, parse_signatures, sign, signed_by
from tests.support.tuf_world import ed25519_signer, rsa_signer

ONE, TWO = ed25519_signer(1), ed25519_signer(2)


def code(value: Json) -> str:
    with pytest.raises(InvalidInputError) as caught:
        parse_signatures(value)
    return caught.value.code


def test_signatures_come_back_from_their_documents() -> None:
    made = (sign(b"x", ONE), sign(b"x", rsa_signer()))

    assert parse_signatures([signature.document() for signature in made]) == made
    assert [signature.method for signature in made] == ["ed25519", "rsassa-pss-sha256"]
    assert parse_signatures(None) == parse_signatures([]) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"keyid": "00"},
        {"keyid": 1},
        {"keyid": "A" * 64},
        {"method": "rsassa-pss"},
        {"method": []},
        {"sig": "*"},
        {"sig": 1},
        {"x": ""},
    ],
)
def test_what_devices_cannot_read_is_refused(change: dict[str, Json]) -> None:
    assert code([sign(b"x", ONE).document() | change]) == "tuf-signature-invalid"


@pytest.mark.parametrize("value", ["", {}, [1], [{}], [None] * 1001])
def test_what_is_no_list_of_signatures_is_refused(value: Json) -> None:
    assert code(value) == "tuf-signature-invalid"


def test_key_that_signs_twice_is_refused_even_with_different_signatures() -> None:
    assert code([sign(b"x", ONE).document(), sign(b"y", ONE).document()]) == "tuf-signature-repeated"


def test_first_signature_of_a_key_is_kept() -> None:
    new, old, other = sign(b"new", ONE), sign(b"old", ONE), sign(b"old", TWO)

    assert merge([new], [old, other]) == (new, other)


def test_only_keys_of_the_role_count_and_each_once() -> None:
    keys = {signer.key.key_id: signer.key for signer in (ONE, TWO)}
    one, two = ONE.key.key_id, TWO.key.key_id
    both = (sign(b"x", ONE), sign(b"x", TWO))

    assert signed_by(b"x", both, keys, (one, two)) == {one, two}
    assert signed_by(b"x", both, keys, (one,)) == {one}
    assert signed_by(b"y", both, keys, (one, two)) == set()
    assert signed_by(b"x", both, {one: ONE.key}, (one, two)) == {one}
    # A signature under the name of a key that did not make it.
    borrowed = Signature(two, "ed25519", base64.b64decode(str(both[0].document()["sig"])))
    assert signed_by(b"x", [borrowed], keys, (one, two)) == set()
