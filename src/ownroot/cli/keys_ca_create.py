"""The terminal side of `keys ca create`."""

import re
from datetime import timedelta
from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory
from ownroot.cli.take_over import Survey, TakenOver, TakeOver, TakeOverWish
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.pki.encoding import certificate_sha256
from ownroot.pki.serials import serial_text

_LOCAL_CA_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,59}\.pem")


def parse_local_ca_file(name: str) -> str:
    """Return the name of a local CA's file if it is a plain `*.pem` that is not the root's.

    Raises:
        click.BadParameter: it is not.
    """
    if not _LOCAL_CA_FILE.fullmatch(name) or name == ROOT_FILE:
        raise click.BadParameter(
            f"{name!r} must be a plain file name that ends in .pem and is not {ROOT_FILE}.",
            param_hint="'--local-ca-filename'",
        )
    return name


def create_pki(
    target: Target,
    directory: Path,
    hsm: HsmKeys | None,
    *,
    backdate: timedelta,
    online_ca: bool,
    local_ca_file: str | None,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Run the take-over and say what came of it."""
    access = target.access()
    output = Output(as_json=as_json)
    pki_directory = PkiDirectory(directory, hsm, backdate=backdate)
    wish = TakeOverWish(factory=access.factory, online_ca=online_ca, local_ca_file=local_ca_file)
    with Api(access) as api:
        run = TakeOver(api, pki_directory, wish, now=utc_now(), say=output.note)
        taken = run.run(lambda survey: _confirm(survey, output, assume_yes=assume_yes))
    for name in pki_directory.exposed_keys():
        output.warn(f"{directory / name} can be read by others; run `chmod 0400` on it.")
    if as_json:
        output.document(_document(wish, pki_directory, taken))
        return
    _say_result(wish, pki_directory, taken, output)


def _confirm(survey: Survey, output: Output, *, assume_yes: bool) -> None:
    output.note(f"Factory {survey.factory}, logged in as {survey.user.name}.")
    if survey.devices is None:
        output.note("How many devices are registered is not known: this token may not list devices.")
    elif survey.devices:
        one = survey.devices == 1
        output.note(
            f"{survey.devices} {'device is' if one else 'devices are'} registered under the shared PKI. After the "
            f"take-over {'it' if one else 'each of them'} is refused until it has registered again."
        )
    else:
        output.note("No device is registered yet, so none will have to register again.")
    if survey.devices == 0 and not output.can_ask:
        return
    output.confirm(f"Take over factory {survey.factory} now? This cannot be undone.", assume_yes=assume_yes)


def _say_result(wish: TakeOverWish, directory: PkiDirectory, taken: TakenOver, output: Output) -> None:
    if taken.was_done:
        output.line(f"Factory {wish.factory} is yours already, with the root in {directory.path}. Nothing to do.")
        return
    output.line(f"Factory {wish.factory} is yours. Its root: {directory.path / ROOT_FILE}")
    output.line(
        f"  serial {serial_text(taken.root.serial_number)}, valid until {taken.root.not_valid_after_utc:%Y-%m-%d}"
    )
    output.line("Next:")
    output.line(
        f"  1. Copy {directory.path} to two safe places that are not online. {directory.root_key_name} "
        "cannot be replaced."
    )
    if directory.hsm is not None:
        output.line("     The key never leaves the token: back the token up as its vendor says, or lose both together.")
    output.line("  2. See who holds which key: ownroot keys ca show --pretty")
    if taken.devices:
        output.line("  3. Register the devices again: ownroot-device register --force, or your registration server.")


def _document(wish: TakeOverWish, directory: PkiDirectory, taken: TakenOver) -> dict[str, object]:
    return {
        "factory": wish.factory,
        "directory": str(directory.path.absolute()),
        "files": directory.files(),
        "root": {
            "serial": serial_text(taken.root.serial_number),
            "sha256": certificate_sha256(taken.root).hex(),
            "not-after": taken.root.not_valid_after_utc.isoformat(),
        },
        "devices-to-register-again": taken.devices,
        "resumed": taken.resumed,
        "already-done": taken.was_done,
    }
