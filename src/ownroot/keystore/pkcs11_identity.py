"""What a device's identity is made of on its token: one key pair and one certificate, each under its label.

Source: registration.md §7.3.
"""

from typing import Any

from pkcs11 import Attribute, KeyType, ObjectClass

from ownroot.keystore.labels import (
    DEVICE_CERTIFICATE_ID,
    DEVICE_CERTIFICATE_LABEL,
    DEVICE_KEY_IDS,
    DEVICE_KEY_LABEL,
)
from ownroot.keystore.pkcs11_keys import P256_PARAMETERS, objects
from ownroot.keystore.pkcs11_slots import certificate_object, writable
from ownroot.keystore.pkcs11_token import Line, Token

_KEYS = {Attribute.LABEL: DEVICE_KEY_LABEL}
_FIT = {
    **_KEYS,
    **P256_PARAMETERS[1],
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


def is_unfit(token: Token) -> bool:
    """Is there a private key of this label that is not what the protocol wants?

    Wanted: made on a token, never to leave it, P-256, under one of the ids of a device.

    Raises as `Token.use`.
    """

    def look(line: Line) -> bool:
        fit = [objects(line.session, ObjectClass.PRIVATE_KEY, {**_FIT, Attribute.ID: id_}) for id_ in DEVICE_KEY_IDS]
        return len(objects(line.session, ObjectClass.PRIVATE_KEY, _KEYS)) != sum(map(len, fit))

    return token.use(look)


def replace_certificate(token: Token, certificate: bytes, *, subject: bytes) -> None:
    """Put a certificate in the place of whatever is there; all DER. Done twice it is the same as done once.

    Written first and destroyed afterwards, so that at no moment there is none.

    Raises as `Token.use`.
    """

    def replace(line: Line) -> None:
        with writable(line) as session:
            before = _certificates(session)
            session.create_object(certificate_object(DEVICE_CERTIFICATE_ID, certificate, subject))
            _destroy(before)

    token.use(replace)


def _key_objects(session: Any) -> list[Any]:
    """Return private halves before public ones: without the private one nothing can be signed."""
    halves = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    return [found for half in halves for found in objects(session, half, _KEYS)]


def _destroy(found: list[Any]) -> None:
    for item in found:
        item.destroy()


def _certificates(session: Any) -> list[Any]:
    return objects(session, ObjectClass.CERTIFICATE, _CERTIFICATES)
