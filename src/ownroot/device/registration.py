"""Registering a device: make a key, ask for a certificate, check the answer, write the files.

The server is believed only as far as its answer fits what we asked for: our key, our uuid, our factory, signed by a CA
that the returned root has signed. A run that was cut anywhere is repeated with the same key and ends in the same files.

Source: registration.md §4-6 and §12 row 15.
"""

import hashlib
import platform
import uuid as uuids
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from ownroot.client.refusals import is_certain
from ownroot.device.files import (
    CERTIFICATE_FILE,
    CHAIN_FILE,
    ROOT_FILE,
    SETTINGS_FILE,
    is_registered,
    prepare_directory,
    remove_pending,
    withdraw_registration,
    write_private,
)
from ownroot.device.key_places import FileKeyPlace, KeyPlace
from ownroot.device.renewal_state import RenewalFile
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import csr_pem, parse_certificate, parse_certificates, spki_der
from ownroot.pki.names import device_subject, read_subject
from ownroot.pki.requests import make_csr
from ownroot.pki.signer import PrivateKey
from ownroot.wire.registration import (
    RegistrationReply,
    RegistrationRequest,
    parse_registration_reply,
    registration_request_body,
)
from ownroot.wire.sota_toml import Overrides

SendRegistration = Callable[[bytes], bytes]
"""POST the body to the registration endpoint; return the body of a 201 answer or raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationWish:
    """What the person at the device decides. `uuid` None: one made from the key, so that a resumed run repeats it."""

    factory: str
    directory: Path
    uuid: str | None = None
    name: str | None = None
    hardware_id: str
    tags: str = "main"
    group: str | None = None
    production: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """A finished registration: who the device is now and whether its key was there before (a resumed run)."""

    uuid: str
    resumed: bool
    certificate: x509.Certificate


def default_hardware_id() -> str:
    """Name this machine's kind as existing device programs do: `amd64-linux`, `arm64-linux`."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine or "unknown") + "-linux"


def register(
    wish: RegistrationWish, send: SendRegistration, *, place: KeyPlace | None = None, replace: bool = False
) -> Registered:
    """Register this device and write its files.

    Args:
        wish: who the device wants to be; its directory is made if missing.
        send: the way to the server; it carries credentials, we do not.
        place: where the key is or will be; None: in a file of the directory.
        replace: register again although the directory holds a registration. The key is kept.
    Raises:
        ConflictError: `already-registered`, and as the place's `begin`.
        InvalidInputError: `registration-reply`, the answer does not fit the request, or what reading it raises; nothing
            was written but the key; `device-directory`.
        KeyStoreError: as the place's.
        OwnrootError: whatever `send` raises.
    """
    prepare_directory(wish.directory)
    if is_registered(wish.directory) and not replace:
        raise _already_registered(wish.directory)
    place = place or FileKeyPlace(wish.directory)
    key, resumed = place.begin(replace=replace)
    uuid = wish.uuid or _present_uuid(wish.directory, key) or uuid_of_key(key)
    body = registration_request_body(_request(wish, key, uuid, place.overrides))
    reply = parse_registration_reply(_send(send, body, place))
    certificate = verify_reply(reply, key=key, uuid=uuid, factory=wish.factory)
    settings = place.settings(reply.sota_toml)
    withdraw_registration(wish.directory)
    RenewalFile(wish.directory).forget()
    place.keep(certificate)
    _write_files(wish.directory, reply, settings)
    place.end(refused=False)
    return Registered(uuid, resumed, certificate)


def _present_uuid(directory: Path, key: PrivateKey) -> str | None:
    """Return who the device is by the certificate over its key; a device that has renewed has another key than first.

    The chain says it while `client.pem` is withdrawn. A file that cannot be read names nobody: registering again is how
    that is mended.
    """
    for name in (CERTIFICATE_FILE, CHAIN_FILE):
        with suppress(OSError, ValueError, InvalidInputError):
            certificate = parse_certificates((directory / name).read_text(encoding="ascii"))[0]
            names = read_subject(certificate.subject).common_names
            if spki_der(certificate.public_key()) == spki_der(key.public_key()) and len(names) == 1:
                return names[0]
    return None


def uuid_of_key(key: PrivateKey) -> str:
    """Make a version 4 shaped UUID from the public key: as random as the key, and the same after a power cut."""
    return str(uuids.UUID(bytes=hashlib.sha256(spki_der(key.public_key())).digest()[:16], version=4))


def verify_reply(reply: RegistrationReply, *, key: PrivateKey, uuid: str, factory: str) -> x509.Certificate:
    """Check that the files belong together and to us; return the device certificate.

    Not checked: that the returned root is the owner's. That rests on the connection to the registration endpoint.

    Raises:
        InvalidInputError: `registration-reply`, or what reading a certificate raises.
    """
    certificate = parse_certificate(reply.client_pem)
    subject = read_subject(certificate.subject)
    if spki_der(certificate.public_key()) != spki_der(key.public_key()):
        raise _bad_reply("the certificate is for another key than ours")
    if subject.common_names != (uuid,) or subject.organizational_units != (factory,):
        raise _bad_reply(f"the certificate does not name device {uuid} of factory {factory}")
    chain = parse_certificates(reply.client_chained) if reply.client_chained else ()
    if len(chain) < 2 or chain[0] != certificate:
        raise _bad_reply("client.chained does not hold the certificate of client.pem followed by its CA")
    root = parse_certificate(reply.root_crt)
    if not (is_signed_by(certificate, chain[1]) and is_signed_by(chain[1], root)):
        raise _bad_reply("the certificate does not lead to root.crt over the CA in client.chained")
    return certificate


def _send(send: SendRegistration, body: bytes, place: KeyPlace) -> bytes:
    """Send the request; a key that is certainly not certified need not be kept."""
    try:
        return send(body)
    except OwnrootError as error:
        if is_certain(error):
            place.end(refused=True)
        raise


def _request(wish: RegistrationWish, key: PrivateKey, uuid: str, overrides: Overrides) -> RegistrationRequest:
    subject = device_subject(wish.factory, uuid, production=wish.production)
    return RegistrationRequest(
        csr=csr_pem(make_csr(key, subject)),
        hardware_id=wish.hardware_id,
        uuid=uuid,
        name=wish.name,
        config_dir=str(wish.directory.absolute()),
        overrides=(("pacman", (("tags", f'"{wish.tags}"'),)), *overrides),
        group=wish.group,
    )


def _write_files(directory: Path, reply: RegistrationReply, settings: str) -> None:
    write_private(directory / ROOT_FILE, reply.root_crt)
    write_private(directory / SETTINGS_FILE, settings)
    write_private(directory / CHAIN_FILE, reply.client_chained)
    write_private(directory / CERTIFICATE_FILE, reply.client_pem)


def _already_registered(directory: Path) -> ConflictError:
    if (directory / CERTIFICATE_FILE).exists():
        remove_pending(directory)  # the power went after the last file: nothing is unfinished
    return ConflictError(
        "already-registered",
        f"{directory} already holds a registration. Use --force to register this device again.",
    )


def _bad_reply(fault: str) -> InvalidInputError:
    return InvalidInputError(
        "registration-reply",
        f"The server's answer is not usable: {fault}. Nothing was written; ask who runs the server.",
    )
