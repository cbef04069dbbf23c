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
  envoy    an SDS resource with the CAs as anchors
  haproxy  the device CAs as anchors at which OpenSSL stops, and the lines to paste
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


@trust.command(
    "watch",
    epilog="""\b
Examples:
  ownroot trust watch --root root.crt --format haproxy --reload "systemctl reload haproxy" /etc/haproxy/ownroot
  ownroot trust watch --root root.crt --once --json /etc/acme

\b
The reload command runs after a change, without a shell and without OWNROOT_TOKEN; if it fails it is run again until it
says 0. SIGTERM and SIGINT end the program with 0, never in the middle of a file. With --json each line is a document.
""",
)
@click.argument("directory", metavar="DIR", type=_directory)
@_root_option
@_pki_dir_option
@_format_option
@click.option("--reload", metavar="COMMAND", help="Run this after a change, and again until it succeeds.")
@click.option(
    "--interval",
    "interval_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1, max=86_400),
    default=60.0,
    show_default=True,
    help="Ask this often; a revoked CA goes on for as long.",
)
@click.option("--once", is_flag=True, help="Ask once, reload if due, and end; for cron and timers.")
@target_options
@json_option
def watch(
    target: Target,
    directory: Path,
    root: Path | None,
    pki_dir: Path | None,
    form: str,
    reload: str | None,
    interval_seconds: float,
    once: bool,
    as_json: bool,
) -> None:
    """Keep the files of `trust export` in DIR up to date.

    Files are replaced only by device CAs that your root has signed, and never by none: when the server is away, or says
    what cannot be verified, they stay as they are.
    """
    from ownroot.cli.trust_files import Format
    from ownroot.cli.trust_run import watch_trust

    watch_trust(
        target,
        root=root,
        pki_dir=pki_dir,
        form=Format(form),
        directory=directory,
        reload=reload,
        interval_seconds=interval_seconds,
        once=once,
        as_json=as_json,
    )
