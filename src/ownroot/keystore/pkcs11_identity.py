"""What a device's identity is made of on its token: one key pair and one certificate, each under its label.

Source: registration.md §7.3.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.constants import CertificateType

from ownroot.keystore.labels import (
    DEVICE_CERTIFICATE_ID,
    DEVICE_CERTIFICATE_LABEL,
    DEVICE_KEY_ID,
    DEVICE_KEY_LABEL,
)
from ownroot.keystore.pkcs11_keys import P256_PARAMETERS, objects
from ownroot.keystore.pkcs11_token import Line, Token

_KEYS = {Attribute.LABEL: DEVICE_KEY_LABEL}
_FIT = {
    **_KEYS,
    **P256_PARAMETERS[1],
    Attribute.ID: DEVICE_KEY_ID,
    Attribute.KEY_TYPE: KeyType.EC,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
}
_CERTIFICATES = {Attribute.LABEL: DEVICE_CERTIFICATE_LABEL}


def labels_in_use(token: Token) -> tuple[str, ...]:
    """Return which of the two labels have objects. None at all is believed only after a second look.

    Raises as `Token.use`.
    """

    def look(line: Line) -> tuple[str, ...]:
        found = {DEVICE_KEY_LABEL: _key_objects(line.session), DEVICE_CERTIFICATE_LABEL: _certificates(line.session)}
        return tuple(label for label, present in found.items() if present)

    return token.use(look) or token.use_anew(look)


def serial_of(token: Token) -> str:
    """Return the serial number of the token itself. Raises as `Token.use`."""
    return token.use(lambda line: line.session.token.serial.decode(errors="replace").strip())


def is_fit(token: Token) -> bool:
    """Is the private key one that this protocol wants: made on a token, never to leave it, P-256, under its id?

    Raises as `Token.use`.
    """
    return token.use(lambda line: len(objects(line.session, ObjectClass.PRIVATE_KEY, _FIT)) == 1)


def discard_lone_public_key(token: Token) -> None:
    """Destroy a public half whose private half is not there: what a power cut leaves of a key being made.

    Raises as `Token.use`.
    """

    def discard(session: Any) -> None:
        if not objects(session, ObjectClass.PRIVATE_KEY, _KEYS):
            _destroy(objects(session, ObjectClass.PUBLIC_KEY, _KEYS))

    _change(token, discard)


def destroy_key(token: Token) -> None:
    """Destroy the key pair; no error if there is none. Raises as `Token.use`."""
    _change(token, lambda session: _destroy(_key_objects(session)))


def replace_certificate(token: Token, certificate: bytes, *, subject: bytes) -> None:
    """Put a certificate in the place of whatever is there; all DER. Done twice it is the same as done once.

    Written first and destroyed afterwards, so that at no moment there is none.

    Raises as `Token.use`.
    """

    def replace(session: Any) -> None:
        before = _certificates(session)
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.CERTIFICATE,
                Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                Attribute.TOKEN: True,
                Attribute.PRIVATE: False,
                Attribute.LABEL: DEVICE_CERTIFICATE_LABEL,
                Attribute.ID: DEVICE_CERTIFICATE_ID,
                Attribute.SUBJECT: subject,
                Attribute.VALUE: certificate,
            }
        )
        _destroy(before)

    _change(token, replace)


def _key_objects(session: Any) -> list[Any]:
    """Return private halves before public ones: without the private one nothing can be signed."""
    halves = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    return [found for half in halves for found in objects(session, half, _KEYS)]


def _certificates(session: Any) -> list[Any]:
    return objects(session, ObjectClass.CERTIFICATE, _CERTIFICATES)


def _destroy(found: list[Any]) -> None:
    for item in found:
        item.destroy()


def _change(token: Token, work: Callable[[Any], None]) -> None:
    def change(line: Line) -> None:
        with _writable(line) as session:
            work(session)

    token.use(change)


@contextmanager
def _writable(line: Line) -> Iterator[pkcs11.Session]:
    session = line.session.token.open(rw=True)
    try:
        yield session
    finally:
        session.close()
