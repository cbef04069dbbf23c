"""The one place where a command opens the root, and only when there is something to sign."""

from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory
from ownroot.pki.issuance import Issuer


def open_root(directory: PkiDirectory) -> Issuer:
    """Open the root of a directory for signing; its key is a file there, or on the directory's token.

    Raises:
        NotFoundError: `pki-directory-incomplete`.
        RefusedError: `issuer-key-mismatch`, the key is not that of the certificate.
        KeyStoreError, InvalidInputError: key or certificate cannot be used.
    """
    return Issuer(directory.certificate(ROOT_FILE), directory.root_key())
