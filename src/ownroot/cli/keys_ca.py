"""`ownroot keys ca`: the command line of a factory's PKI. Names, flags and files are those of api.md §3.3 and §4.1."""

from datetime import timedelta
from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.keys_ca_apply import apply
from ownroot.cli.keys_ca_approve import approve
from ownroot.cli.keys_ca_change_commands import (
    add_device_ca,
    disable_device_ca,
    enable_device_ca,
    revoke_device_ca,
    rotate_tls,
)
from ownroot.cli.keys_ca_request import request
from ownroot.cli.keys_ca_verify_record import verify_record
from ownroot.cli.options import Target, backdate_option, json_option, target_options, yes_option
from ownroot.console.lazy import OrderedGroup
from ownroot.console.switches import SwitchCommand, at_most_one

_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group(cls=OrderedGroup)
def ca() -> None:
    """The factory's root, device CAs and gateway certificate."""


@ca.command(
    cls=SwitchCommand,
    short_help="Take over a factory: make its root, certify the server's keys.",
    epilog="""\b
Examples:
  ownroot keys ca create ~/acme-pki
  ownroot keys ca create ~/acme-pki --no-local-ca --yes --json
  ownroot keys ca create ~/acme-pki --hsm-module /usr/lib/softhsm/libsofthsm2.so --hsm-token-label acme

\b
What you get in DIR, each file readable by you alone:
  factory_ca.key, factory_ca.pem   the root: keep it offline, keep two copies
  tls-crt                          the gateway's certificate; its key is with the server
  online-crt                       the device CA whose key is with the server
  local-ca.key, local-ca.pem       a device CA of your own, for a manufacturing site
With the root on a token there is no factory_ca.key.
""",
)
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@click.option("--online-ca/--no-online-ca", default=True, help="A device CA whose key the server holds. [default: yes]")
@click.option("--local-ca/--no-local-ca", default=True, help="A device CA whose key stays with you. [default: yes]")
@click.option(
    "--local-ca-filename", metavar="FILE", default="local-ca.pem", show_default=True, help="Its certificate's file."
)
@yes_option
@hsm_options(local_ca=True)
@backdate_option
@target_options
@json_option
def create(
    target: Target,
    hsm: HsmKeys | None,
    directory: Path,
    online_ca: bool,
    local_ca: bool,
    local_ca_filename: str,
    backdate: timedelta,
    yes: bool,
    as_json: bool,
) -> None:
    """Take over a factory: make its root in DIR and certify the server's keys with it.

    Says first how many registered devices will have to register again, and asks. Run it again after a failure: it goes
    on with what is in DIR and never makes a second root. No private key leaves this machine.
    """
    from ownroot.cli.keys_ca_create import create_pki, parse_local_ca_file

    local_ca_file = parse_local_ca_file(local_ca_filename) if local_ca else None
    create_pki(
        target,
        directory,
        hsm,
        backdate=backdate,
        online_ca=online_ca,
        local_ca_file=local_ca_file,
        assume_yes=yes,
        as_json=as_json,
    )


@ca.command(
    epilog="""\b
Examples:
  ownroot keys ca show --pretty --pki-dir ~/acme-pki
  ownroot keys ca show --just-device-cas > device-cas.pem
"""
)
@click.option(
    "--pki-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Your PKI directory, to say which keys are in it; none is opened.",
)
@click.option("--pretty", is_flag=True, help="A tree: standing, last safe day to act, key holders and devices.")
@click.option("--just-root", is_flag=True, help="Only the root certificate.")
@click.option("--just-tls", is_flag=True, help="Only the gateway's certificate.")
@click.option("--just-device-cas", is_flag=True, help="Only the device CAs, disabled ones included.")
@target_options
@json_option
def show(
    target: Target,
    pki_dir: Path | None,
    pretty: bool,
    just_root: bool,
    just_tls: bool,
    just_device_cas: bool,
    as_json: bool,
) -> None:
    """Show what the factory trusts, as PEM unless told otherwise."""
    from ownroot.cli.keys_ca_show import Part, show_pki

    parts = {"--just-root": just_root, "--just-tls": just_tls, "--just-device-cas": just_device_cas}
    just = at_most_one(parts)
    part = None if just is None else Part(just.removeprefix("--just-"))
    show_pki(target, pki_dir=pki_dir, pretty=pretty, just=part, as_json=as_json)


@ca.command(
    short_help="Send device CAs to the server; it only ever adds.",
    epilog="""\b
Examples:
  ownroot keys ca update device-cas.pem
  ownroot keys ca update ~/acme-pki
""",
)
@click.argument("source", metavar="FILE_OR_DIR", type=click.Path(path_type=Path, exists=True))
@target_options
@json_option
def update(target: Target, source: Path, as_json: bool) -> None:
    """Send device CAs to the server. It only ever adds: every CA trusted now must be in the list.

    A FILE is sent as it is. Of a DIR all device CAs are sent that its root has signed, after those trusted now.
    """
    from ownroot.cli.keys_ca_update import update_device_cas

    update_device_cas(target, source, as_json=as_json)


@ca.command(
    short_help="Sign a CSR with the root; no server is needed.",
    epilog="""\b
Examples:
  ownroot keys ca sign --pki-dir ~/acme-pki api.csr > api.pem
""",
)
@click.option("--pki-dir", metavar="DIR", required=True, type=_DIRECTORY, help="Where the root key is.")
@click.argument("csr", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@hsm_options()
@backdate_option
@json_option
def sign(hsm: HsmKeys | None, backdate: timedelta, pki_dir: Path, csr: Path, as_json: bool) -> None:
    """Sign a CSR with the root and print the certificate; `-` reads stdin. No server is needed.

    A CSR that asks for CA:TRUE becomes a device CA, any other one a TLS server certificate with all its names.
    """
    from ownroot.cli.keys_ca_sign import sign_csr

    sign_csr(pki_dir, csr, hsm, backdate=backdate, as_json=as_json)


for command in (add_device_ca, rotate_tls, disable_device_ca, enable_device_ca, revoke_device_ca):
    ca.add_command(command)
for ceremony in (request, approve, apply, verify_record):
    ca.add_command(ceremony)
