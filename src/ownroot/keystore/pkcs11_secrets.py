"""A secret key on a token, and what is derived from it: the same bytes for the same words, on that token alone.

HMAC-SHA256 serves, because the HSMs we know all have it and need no parameters for it; AES-GCM would be spoiled by
tokens that insist on initialization vectors of their own.
"""

from typing import Any

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass

from ownroot.errors import KeyStoreError
from ownroot.keystore.pkcs11_token import Line, Token

_BITS = 256


def derive(token: Token, label: str, words: bytes) -> bytes | None:
    """Return 32 bytes that follow from the secret key and the words; None if there is no such key.

    Raises:
        KeyStoreError: `key-ambiguous`, and as `Token.use`.
    """
    return token.use(lambda line: _derive(line, label, words)) or token.use_anew(
        lambda line: _derive(line, label, words)
    )


def create_secret(token: Token, label: str) -> None:
    """Generate a secret key, not extractable; it is stored on the token on return. Raises as `Token.use`."""
    token.use(lambda line: _generate(line, label))


def _derive(line: Line, label: str, words: bytes) -> bytes | None:
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label}
    found: list[Any] = list(line.session.get_objects(wanted))
    if len(found) > 1:
        raise KeyStoreError("key-ambiguous", f"{len(found)} secret keys on the token are called {label!r}.")
    return bytes(found[0].sign(words, mechanism=Mechanism.SHA256_HMAC)) if found else None


def _generate(line: Line, label: str) -> None:
    session = line.session.token.open(rw=True)
    try:
        session.generate_key(
            KeyType.GENERIC_SECRET,
            _BITS,
            label=label,
            id=label.encode()[:32],
            store=True,
            capabilities=MechanismFlag.SIGN,
            mechanism=Mechanism.GENERIC_SECRET_KEY_GEN,
            template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
    finally:
        session.close()
