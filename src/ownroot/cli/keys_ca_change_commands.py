"""`ownroot keys ca`: the commands that change an existing PKI (names, flags and files: api.md §3.3, §4.1)."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.options import Target, backdate_option, json_option, target_options, yes_option
from ownroot.console.switches import SwitchCommand

if TYPE_CHECKING:
    from ownroot.cli.keys_ca_judge import JudgeOptions

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

DIRECTORY = click.Path(path_type=Path, file_okay=False)
directory_argument = click.argument("directory", metavar="DIR", type=DIRECTORY)


@click.command(
    "add-device-ca",
    cls=SwitchCommand,
    short_help="Trust another device CA.",
    epilog="""\b
Examples:
  ownroot keys ca add-device-ca ~/acme-pki --local-ca --local-ca-filename line-2.pem
  ownroot keys ca add-device-ca ~/acme-pki --online-ca
""",
)
@directory_argument
@click.option("--online-ca/--no-online-ca", default=False, help="A device CA whose key the server makes and holds.")
@click.option("--local-ca/--no-local-ca", default=False, help="A device CA whose key stays with you.")
@click.option(
    "--local-ca-filename", metavar="FILE", default="local-ca.pem", show_default=True, help="Its certificate's file."
)
@hsm_options(local_ca=True)
@backdate_option
@target_options
@json_option
def add_device_ca(
    target: Target,
    directory: Path,
    online_ca: bool,
    local_ca: bool,
    local_ca_filename: str,
    hsm: HsmKeys | None,
    backdate: timedelta,
    as_json: bool,
) -> None:
    """Make another device CA, sign it with the root in DIR and let the factory trust it, beside those trusted now.

    Devices that register over the API get their certificates from the newest online CA; those of earlier ones go on.
    Run it again after a failure: it goes on with what is in DIR.
    """
    from ownroot.cli.keys_ca_change import add_device_cas
    from ownroot.cli.keys_ca_create import parse_local_ca_file

    if not (online_ca or local_ca):
        raise click.UsageError("Say which: --local-ca, --online-ca, or both.")
    file = parse_local_ca_file(local_ca_filename) if local_ca else None
    add_device_cas(
        target, directory, online_ca=online_ca, local_ca_file=file, hsm=hsm, backdate=backdate, as_json=as_json
    )


@click.command(
    "rotate-tls",
    short_help="Give the gateway a new key and certificate.",
    epilog="\b\nExample:\n  ownroot keys ca rotate-tls ~/acme-pki\n",
)
@directory_argument
@hsm_options()
@backdate_option
@target_options
@json_option
def rotate_tls(target: Target, directory: Path, hsm: HsmKeys | None, backdate: timedelta, as_json: bool) -> None:
    """Let the server make a new gateway key and certify it with the root in DIR.

    Devices need nothing: new connections see the new certificate at once, open ones finish. The old file becomes
    tls-crt.bak once the server has accepted the new one. Run it again after a failure: it goes on where it was cut.
    """
    from ownroot.cli.keys_ca_change import rotate_tls as rotate

    rotate(target, directory, hsm=hsm, backdate=backdate, as_json=as_json)


def _verdict_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a verdict; it is called with what they amount to."""

    @wraps(function)
    def command(
        *,
        target: Target,
        directory: Path,
        ca_file: tuple[str, ...],
        ca_serial: tuple[str, ...],
        dry_run: bool,
        pretty: bool,
        yes: bool,
        hsm: HsmKeys | None,
        as_json: bool,
    ) -> None:
        from ownroot.cli.keys_ca_judge import JudgeOptions

        options = JudgeOptions(
            files=ca_file,
            serials=ca_serial,
            dry_run=dry_run,
            pretty=pretty,
            assume_yes=yes,
            hsm=hsm,
            as_json=as_json,
        )
        function(target, directory, options)

    decorated: Callable[..., None] = command
    for shared in _SHARED:
        decorated = shared(decorated)
    for option in reversed(_WHICH):
        decorated = option(decorated)
    return directory_argument(decorated)


_SHARED: tuple[Decorator, ...] = (json_option, target_options, hsm_options(), yes_option)
_WHICH = (
    click.option("--ca-file", metavar="NAME", multiple=True, help="A device CA by its file in DIR. Repeatable."),
    click.option("--ca-serial", metavar="DECIMAL", multiple=True, help="A device CA by its serial. Repeatable."),
    click.option("--dry-run", is_flag=True, help="Sign and show the CRL and whom it concerns; send nothing."),
    click.option("--pretty", is_flag=True, help="With --dry-run: in words instead of PEM."),
)


@click.command(
    "revoke-device-ca",
    short_help="Cut off every device of a device CA.",
    epilog="""\b
Examples:
  ownroot keys ca revoke-device-ca ~/acme-pki --ca-file line-2.pem --dry-run --pretty
  ownroot keys ca revoke-device-ca ~/acme-pki --ca-serial 1234567890 --yes
""",
)
@_verdict_options
def revoke_device_ca(target: Target, directory: Path, options: "JudgeOptions") -> None:
    """Stop trusting device CAs: their devices are cut off at once and refused from then on.

    Says first how many devices that is, and asks. Where known devices should go on, disable the CA instead, move them
    to another one, and revoke it then. It comes back only by enable-device-ca with its certificate.
    """
    from ownroot.cli.keys_ca_judge import judge_device_cas
    from ownroot.pki.revocation import Verdict

    judge_device_cas(target, directory, Verdict.REVOKE, options)


@click.command(
    "disable-device-ca",
    short_help="Admit no new devices of a device CA; known ones go on.",
    epilog="""\b
Examples:
  ownroot keys ca disable-device-ca ~/acme-pki --ca-file line-2.pem --dry-run --pretty
  ownroot keys ca disable-device-ca ~/acme-pki --ca-file line-2.pem --yes
""",
)
@_verdict_options
def disable_device_ca(target: Target, directory: Path, options: "JudgeOptions") -> None:
    """Admit no new devices under device CAs; the devices known already go on.

    The first step when the key of a device CA may be in wrong hands. It is undone by enable-device-ca.
    """
    from ownroot.cli.keys_ca_judge import judge_device_cas
    from ownroot.pki.revocation import Verdict

    judge_device_cas(target, directory, Verdict.DISABLE, options)


@click.command(
    "enable-device-ca",
    short_help="Undo a disable, or bring a revoked device CA back.",
    epilog="""\b
Examples:
  ownroot keys ca enable-device-ca ~/acme-pki --ca-file line-2.pem
""",
)
@_verdict_options
def enable_device_ca(target: Target, directory: Path, options: "JudgeOptions") -> None:
    """Admit new devices under disabled device CAs again.

    A revoked device CA comes back by its certificate (--ca-file) together with a fresh signature of the root.
    """
    from ownroot.cli.keys_ca_judge import judge_device_cas
    from ownroot.pki.revocation import Verdict

    judge_device_cas(target, directory, Verdict.RENEW, options)
