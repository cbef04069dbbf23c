"""Values of the configuration that were encrypted to a device's key, when that key is about to change.

Whichever key reads a value, what is already readable by the new one stays as it is: so each of these is done twice as
well as once (protocol: gateway.md §6.4-6.5, §7.2 steps 3 and 4).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.client.gateway import GatewayClient
from ownroot.client.refusals import error_of
from ownroot.device.config_copy import ConfigCopy
from ownroot.errors import InvalidInputError, KeyStoreError
from ownroot.fleet.config_files import ConfigFile
from ownroot.pki.ecies import decrypt, encrypt
from ownroot.pki.encoding import spki_der, spki_pem
from ownroot.pki.signer import PrivateKey
from ownroot.wire.config import DevicePatchForm, file_forms, parse_delivery, print_delivery
from ownroot.wire.documents import write_document

_REASON = "Encrypt the values of this device to its next key"


def open_value(file: ConfigFile, keys: Sequence[PrivateKey]) -> tuple[bytes, PrivateKey]:
    """Return what an encrypted file says and the key that reads it.

    Raises:
        InvalidInputError: `ciphertext-malformed`, `ciphertext-foreign`, `key-signs-only`: none of them does.
        KeyStoreError: the token cannot serve.
    """
    fault = InvalidInputError("ciphertext-foreign", "This device has no key.")
    for key in keys:
        try:
            return decrypt(file.value, key.curve, partial(key.exchange, ec.ECDH())), key
        except InvalidInputError as error:
            fault = error
        except KeyStoreError as error:
            # A token that does not serve may do so later; a key that was not made for this never will.
            if error.code != "key-signs-only":
                raise
            fault = InvalidInputError(error.code, error.detail)
    raise InvalidInputError(fault.code, f"The file {file.name!r} cannot be read. {fault.detail}") from fault


def encrypt_copy(copy: ConfigCopy, keys: Sequence[PrivateKey], say: Callable[[str], None]) -> None:
    """Make the device's copy readable by the first of the keys; its time stays.

    Raises:
        InvalidInputError: `device-directory`; the copy is the one before.
    """
    stored = copy.load()
    changed = _changed(stored.files, keys, say)
    if stored.time is None or not changed:
        return
    anew = {file.name: file for file in changed}
    copy.replace(print_delivery(anew.get(file.name, file) for file in stored.files), stored.time)


def encrypt_own_values(
    gateway: GatewayClient, keys: Sequence[PrivateKey], say: Callable[[str], None], *, announced: bool
) -> None:
    """Make what the gateway stores for this device alone readable by the first of the keys.

    Args:
        announced: that key is the next one; otherwise the gateway pins it already.
    Raises:
        OwnrootError: as `GatewayClient.request` and `error_of`.
    """
    answer = gateway.request("GET", "/config-device")
    if answer.status == 204:
        return
    if answer.status != 200:
        raise error_of(answer)
    changed = _changed(parse_delivery(answer.body), keys, say)
    if not changed:
        return
    public_key = spki_pem(spki_der(keys[0].public_key())) if announced else ""
    form = DevicePatchForm(files=file_forms(changed), reason=_REASON, public_key=public_key)
    sent = gateway.request("PATCH", "/config", body=write_document(form), headers={"Content-Type": "application/json"})
    if sent.status not in range(200, 205):
        raise error_of(sent)


def _changed(files: Iterable[ConfigFile], keys: Sequence[PrivateKey], say: Callable[[str], None]) -> list[ConfigFile]:
    """Return the files that another key reads, encrypted to the first. What none reads was lost before this."""
    changed = []
    for file in files:
        if file.unencrypted:
            continue
        try:
            text, reader = open_value(file, keys)
        except InvalidInputError as error:
            say(f"{error.detail} It stays as it is.")
            continue
        if reader is not keys[0]:
            changed.append(replace(file, value=encrypt(text, keys[0].public_key())))
    return changed
