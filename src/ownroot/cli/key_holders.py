"""Where the owner's keys are, as far as a PKI directory tells: in a file of it, or not there."""

from collections.abc import Mapping

from ownroot.cli.pki_directory import CERTIFICATE_SUFFIX, PkiDirectory, key_label
from ownroot.errors import InvalidInputError
from ownroot.keystore.file import KEY_SUFFIX
from ownroot.pki.encoding import certificate_sha256


def find_holders(directory: PkiDirectory) -> Mapping[bytes, str]:
    """Return who holds the key, by SHA-256 of each certificate in `*.pem` files of the directory.

    No key is opened. A key that is no file here may be on a token or on another machine; we do not guess which.

    Raises:
        InvalidInputError: `file-unreadable`: a file cannot be read; one that holds no certificate is passed over.
    """
    files = directory.files()
    holders = {}
    for name in files:
        if not name.endswith(CERTIFICATE_SUFFIX):
            continue
        try:
            certificate = directory.find_certificate(name)
        except InvalidInputError as error:
            if error.code == "file-unreadable":
                raise
            continue
        if certificate is not None:
            key = key_label(name) + KEY_SUFFIX
            here = f"you, file {directory.path / key}"
            holders[certificate_sha256(certificate)] = here if key in files else f"you, but not as a file {key}"
    return holders
