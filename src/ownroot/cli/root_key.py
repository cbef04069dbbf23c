"""The one place where a command opens the root, and only when there is something to sign."""

import click

from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory
from ownroot.console.text import printable
from ownroot.pki.issuance import Issuer


def open_root(directory: PkiDirectory) -> Issuer:
    """Open the root of a directory for signing; its key is a file there, or on the directory's token.

    Raises:
        NotFoundError: `pki-directory-incomplete`.
        RefusedError: `issuer-key-mismatch`, the key is not that of the certificate.
        KeyStoreError, InvalidInputError: key or certificate cannot be used.
    """
    issuer = Issuer(directory.certificate(ROOT_FILE), directory.root_key(), directory.backdate)
    if (open_to_others := directory.root_key_open_to_others()) is not None:
        click.echo(
            f"Warning: others on this machine can read the root key. Whoever copies it owns the fleet; if nobody has, "
            f"run: chmod 0400 {printable(str(open_to_others))}",
            err=True,
        )
    return issuer
