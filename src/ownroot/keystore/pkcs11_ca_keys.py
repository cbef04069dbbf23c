"""Objects of online CA keys on a token: made, found and destroyed by their id.

Such a key has an id nobody could guess, chosen and recorded by its owner before the key is made; so whatever an attempt
that was cut left under that id is ours, and doing anything here twice is the same as doing it once.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from pkcs11 import Attribute, MechanismFlag, ObjectClass
from pkcs11.exceptions import ObjectHandleInvalid

from ownroot.errors import KeyStoreError
from ownroot.keystore.pkcs11_keys import P256_PARAMETERS, PROTECTED, objects, public_key_of
from ownroot.keystore.pkcs11_token import Line, Token
from ownroot.pki.signer import PublicKey

_HALVES = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
_LOOKS = 10


def create_pair(token: Token, key_id: bytes, label: str) -> PublicKey:
    """Generate a P-256 key, sensitive and not extractable; it is on the token on return. Raises as `Token.use`."""
    return token.use(lambda line: _generate(line, key_id, label))


def ids_of(token: Token, prefix: str) -> frozenset[bytes]:
    """Return the ids of all keys, whole ones or halves, whose label begins so.

    None at all are believed only after a second look, since a token that was pulled out may look like an empty one.
    Raises as `Token.use`.
    """

    def look(line: Line) -> frozenset[bytes]:
        halves = [_labelled(line.session, half, {Attribute.TOKEN: True}, prefix) for half in _HALVES]
        return frozenset(key_id for found in halves for key_id, _ in found)

    return token.use(look) or token.use_anew(look)


def destroy_pair(token: Token, key_id: bytes, prefix: str) -> None:
    """Destroy both halves of a key whose label begins so; no error if there is none. Raises as `Token.use`."""
    token.use(lambda line: _destroy(line, key_id, prefix))


def require_key(token: Token, key_id: bytes | None) -> None:
    """Find out that the token serves, and has the private half of this key.

    Raises:
        KeyStoreError: `key-gone`, and as `Token.use`.
    """

    def is_there(line: Line) -> bool:
        return key_id is None or bool(objects(line.session, ObjectClass.PRIVATE_KEY, {Attribute.ID: key_id}))

    if not token.use(is_there) and not token.use_anew(is_there):
        raise KeyStoreError("key-gone", f"A key in service is not on the token {token.label!r} any more.")


def _generate(line: Line, key_id: bytes, label: str) -> PublicKey:
    session: Any = line.session.token.open(rw=True)
    try:
        _destroy_in(session, key_id, label)  # what an attempt of ours left that was cut
        parameters = session.create_domain_parameters(*P256_PARAMETERS, local=True)
        public, _private = parameters.generate_keypair(
            id=key_id,
            label=label,
            store=True,
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            private_template=PROTECTED,
        )
        return public_key_of(public, label)
    finally:
        session.close()


def _destroy(line: Line, key_id: bytes, prefix: str) -> None:
    session = line.session.token.open(rw=True)
    try:
        _destroy_in(session, key_id, prefix)
    finally:
        session.close()


def _destroy_in(session: Any, key_id: bytes, prefix: str) -> None:
    for half in _HALVES:  # the private one first: without it nothing can be signed
        for _, found in _labelled(session, half, {Attribute.ID: key_id}, prefix):
            with contextlib.suppress(ObjectHandleInvalid):
                found.destroy()


def _labelled(
    session: Any, half: ObjectClass, wanted: Mapping[Attribute, object], prefix: str
) -> list[tuple[bytes, Any]]:
    """Return id and object wherever the label begins so."""
    for _ in range(_LOOKS - 1):
        # An object that somebody destroys while we look spoils the whole look.
        with contextlib.suppress(ObjectHandleInvalid):
            return _look(session, half, wanted, prefix)
    return _look(session, half, wanted, prefix)


def _look(session: Any, half: ObjectClass, wanted: Mapping[Attribute, object], prefix: str) -> list[tuple[bytes, Any]]:
    return [
        (bytes(found[Attribute.ID]), found)
        for found in objects(session, half, wanted)
        if found[Attribute.LABEL].startswith(prefix)
    ]
