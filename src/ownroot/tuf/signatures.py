"""Signatures beside a document, and who of a role has signed it (protocol: tuf.md §2.2).

One key may sign a document once: a key id that is given twice makes devices refuse the document, whatever it says.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.keys import TufKey, TufSigner

_KEY_ID: Final = re.compile(r"[0-9a-f]{64}\Z")
_METHODS: Final = ("ed25519", "rsassa-pss-sha256")
_MAX_SIGNATURES: Final = 1000


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; nothing about it is verified. `value` is the signature itself, without its base64."""

    key_id: str
    method: str
    value: bytes

    def document(self) -> dict[str, Json]:
        """Return the signature as documents show it."""
        return {"keyid": self.key_id, "method": self.method, "sig": base64.b64encode(self.value).decode("ascii")}


def is_key_id(text: object) -> bool:
    """Has this the form of a key id?"""
    return isinstance(text, str) and _KEY_ID.match(text) is not None


def sign(payload: bytes, signer: TufSigner) -> Signature:
    """Sign the canonical form of a document's signed part."""
    return Signature(signer.key.key_id, signer.key.keytype.method, signer.sign(payload))


def parse_signatures(value: Json) -> tuple[Signature, ...]:
    """Read the signatures of a document; null is none.

    Raises:
        InvalidInputError: `tuf-signature-invalid`; `tuf-signature-repeated`, a key id is given twice.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MAX_SIGNATURES:
        raise _invalid("signatures are a list")
    found = tuple(_parse(item) for item in value)
    if len({signature.key_id for signature in found}) != len(found):
        raise InvalidInputError(
            "tuf-signature-repeated", "Two signatures have one key id. Devices refuse such a document altogether."
        )
    return found


def merge(first: Iterable[Signature], then: Iterable[Signature]) -> tuple[Signature, ...]:
    """Return both, one for each key: the first list wins."""
    kept: dict[str, Signature] = {}
    for signature in (*first, *then):
        kept.setdefault(signature.key_id, signature)
    return tuple(kept.values())


def signed_by(
    payload: bytes, signatures: Sequence[Signature], keys: Mapping[str, TufKey], key_ids: Collection[str]
) -> frozenset[str]:
    """Return the key ids among `key_ids` whose keys have signed the payload.

    Args:
        payload: canonical form of a document's signed part.
        keys: by their true id.
    """
    return frozenset(
        signature.key_id
        for signature in signatures
        if signature.key_id in key_ids and is_valid(payload, signature, keys.get(signature.key_id))
    )


def is_valid(payload: bytes, signature: Signature, key: TufKey | None) -> bool:
    """Did this key make the signature? None never did."""
    return key is not None and key.has_signed(payload, signature.method, signature.value)


def _parse(item: Json) -> Signature:
    if not isinstance(item, dict) or set(item) != {"keyid", "method", "sig"}:
        raise _invalid("a signature is an object of `keyid`, `method` and `sig`")
    key_id, method, text = item["keyid"], item["method"], item["sig"]
    if not is_key_id(key_id):
        raise _invalid("`keyid` has 64 lower-case hex digits")
    if method not in _METHODS:
        raise _invalid("`method` must be ed25519 or rsassa-pss-sha256; devices refuse any other")
    try:
        value = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as exc:
        raise _invalid("`sig` is not base64") from exc
    return Signature(key_id, method, value)


def _invalid(reason: str) -> InvalidInputError:
    return InvalidInputError("tuf-signature-invalid", f"Not a signature that devices can read: {reason}.")
