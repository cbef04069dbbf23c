"""`ownroot trust`: what others need to trust a factory's devices (docs/customer-api.md)."""

from pathlib import Path

import click

from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

FORMATS = ("pem", "jwks", "nginx", "envoy", "haproxy")
_file = click.Path(path_type=Path, exists=True, dir_okay=False)
_directory = click.Path(path_type=Path, file_okay=False)
_format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="pem", show_default=True, help="For whom the files are."
)
_root_option = click.option("--root", type=_file, metavar="FILE", help="The factory root, from its owner.")
_pki_dir_option = click.option("--pki-dir", type=_directory, metavar="DIR", help="The owner's directory, for its root.")


@click.group(cls=OrderedGroup)
def trust() -> None:
    """Give your own API what it needs to trust the fleet."""


@trust.command(
    "export",
    epilog="""\b
Examples:
  ownroot trust export --root root.crt > device-cas.pem
  ownroot trust export --root root.crt --format nginx --dir /etc/nginx/ownroot
  ownroot trust export --pki-dir ~/acme-pki --format jwks --json

\b
Formats:
  pem      the device CAs
  jwks     their public keys as a JSON Web Key Set (RFC 7517)
  nginx    the device CAs and a snippet for the server block
  envoy    an SDS resource with the validation context
  haproxy  the device CAs with the anchors OpenSSL needs, and the lines to paste
""",
)
@_root_option
@_pki_dir_option
@_format_option
@click.option("--dir", "directory", type=_directory, metavar="DIR", help="Write here. [default: print the only file]")
@target_options
@json_option
def export(
    target: Target, root: Path | None, pki_dir: Path | None, form: str, directory: Path | None, as_json: bool
) -> None:
    """Export the device CAs that the factory trusts.

    Each is checked against the factory root that you name; if one was not signed by it, nothing is exported. Disabled
    CAs are in it, since their known devices go on; revoked ones are not.
    """
    from ownroot.cli.trust_files import Format
    from ownroot.cli.trust_run import export_trust

    export_trust(target, root=root, pki_dir=pki_dir, form=Format(form), directory=directory, as_json=as_json)
