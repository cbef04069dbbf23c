"""`ownroot keys ca request`: the first step of a ceremony, on the machine that reaches the server."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup
from ownroot.console.switches import SwitchCommand

if TYPE_CHECKING:
    from ownroot.cli.pki_changes import LocalCa
    from ownroot.pki.revocation import Verdict

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

out_argument = click.argument("out", metavar="OUT.json", type=click.Path(path_type=Path, dir_okay=False))


@click.group(cls=OrderedGroup, short_help="Ask for a change that an offline root will sign.")
def request() -> None:
    """Write down a change for the offline machine: what is asked, the server's CSRs, and what the factory trusts now.

    \b
    Then:  ownroot keys ca approve REQUEST.json APPROVAL.json --pki-dir DIR --operator NAME   (where the root is)
           ownroot keys ca apply APPROVAL.json                                              (here)
    """


def _cas(*, default: bool) -> Decorator:
    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in (
            click.option("--local-ca-filename", metavar="FILE", default="local-ca.pem", show_default=True),
            click.option("--local-ca/--no-local-ca", default=default, help="A device CA whose key is made offline."),
            click.option("--online-ca/--no-online-ca", default=default, help="A device CA whose key the server holds."),
        ):
            function = option(function)
        return function

    return decorate


@request.command(cls=SwitchCommand, epilog="\b\nExample:\n  ownroot keys ca request create take-over.json\n")
@_cas(default=True)
@out_argument
@target_options
@json_option
def create(target: Target, out: Path, online_ca: bool, local_ca: bool, local_ca_filename: str, as_json: bool) -> None:
    """Ask for a take-over: a root made offline, and certificates for the server's keys."""
    from ownroot.cli.ceremony_request_run import run_request
    from ownroot.cli.pki_changes import CreatePki

    local = _local_ca(local_ca, local_ca_filename)
    run_request(target, out, lambda user: CreatePki(online_ca=online_ca, local_ca=local(user)), as_json=as_json)


@request.command(
    "add-device-ca",
    cls=SwitchCommand,
    epilog="\b\nExample:\n  ownroot keys ca request add-device-ca --local-ca line-2.json\n",
)
@_cas(default=False)
@out_argument
@target_options
@json_option
def add_device_ca(
    target: Target, out: Path, online_ca: bool, local_ca: bool, local_ca_filename: str, as_json: bool
) -> None:
    """Ask for another device CA."""
    from ownroot.cli.ceremony_request_run import run_request
    from ownroot.cli.pki_changes import AddDeviceCas

    if not (online_ca or local_ca):
        raise click.UsageError("Say which: --local-ca, --online-ca, or both.")
    local = _local_ca(local_ca, local_ca_filename)
    run_request(target, out, lambda user: AddDeviceCas(online_ca=online_ca, local_ca=local(user)), as_json=as_json)


@request.command("rotate-tls", epilog="\b\nExample:\n  ownroot keys ca request rotate-tls rotate.json\n")
@out_argument
@target_options
@json_option
def rotate_tls(target: Target, out: Path, as_json: bool) -> None:
    """Ask for a new gateway key and certificate."""
    from ownroot.cli.ceremony_request_run import run_request
    from ownroot.cli.pki_changes import RotateTls

    run_request(target, out, lambda _user: RotateTls(), as_json=as_json)


@request.command("est-authorize", epilog="\b\nExample:\n  ownroot keys ca request est-authorize est.json\n")
@out_argument
@target_options
@json_option
def est_authorize(target: Target, out: Path, as_json: bool) -> None:
    """Ask for a TLS certificate of the EST server."""
    from ownroot.cli.ceremony_request_run import run_request
    from ownroot.cli.pki_changes import AuthorizeEst

    run_request(target, out, lambda _user: AuthorizeEst(), as_json=as_json)


def _verdict_options(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def command(**options: object) -> None:
        function(**options)

    decorated: Callable[..., None] = command
    for option in (
        json_option,
        target_options,
        out_argument,
        click.option(
            "--ca-file",
            "files",
            multiple=True,
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="A device CA by its certificate. Repeatable.",
        ),
        click.option("--ca-serial", "serials", metavar="DECIMAL", multiple=True, help="By its serial. Repeatable."),
    ):
        decorated = option(decorated)
    return decorated


@request.command("revoke", epilog="\b\nExample:\n  ownroot keys ca request revoke --ca-serial 4711 revoke.json\n")
@_verdict_options
def revoke(target: Target, out: Path, files: tuple[Path, ...], serials: tuple[str, ...], as_json: bool) -> None:
    """Ask to cut off every device of a device CA."""
    from ownroot.pki.revocation import Verdict

    _judge(target, out, Verdict.REVOKE, files, serials, as_json=as_json)


@request.command(
    "disable", epilog="\b\nExample:\n  ownroot keys ca request disable --ca-file line-2.pem disable.json\n"
)
@_verdict_options
def disable(target: Target, out: Path, files: tuple[Path, ...], serials: tuple[str, ...], as_json: bool) -> None:
    """Ask to admit no new devices of a device CA."""
    from ownroot.pki.revocation import Verdict

    _judge(target, out, Verdict.DISABLE, files, serials, as_json=as_json)


@request.command("enable", epilog="\b\nExample:\n  ownroot keys ca request enable --ca-file line-2.pem enable.json\n")
@_verdict_options
def enable(target: Target, out: Path, files: tuple[Path, ...], serials: tuple[str, ...], as_json: bool) -> None:
    """Ask to undo a disable, or (with --ca-file) to bring a revoked device CA back."""
    from ownroot.pki.revocation import Verdict

    _judge(target, out, Verdict.RENEW, files, serials, as_json=as_json)


def _judge(
    target: Target,
    out: Path,
    verdict: "Verdict",
    files: tuple[Path, ...],
    serials: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    from ownroot.cli.ceremony_request_run import read_judgement, run_request

    change = read_judgement(verdict, files, serials)
    run_request(target, out, lambda _user: change, as_json=as_json)


def _local_ca(wanted: bool, filename: str) -> "Callable[[str], LocalCa | None]":
    from ownroot.cli.keys_ca_create import parse_local_ca_file
    from ownroot.cli.pki_changes import LocalCa

    file = parse_local_ca_file(filename) if wanted else None
    return lambda user: LocalCa(file=file, polis_id=user) if file is not None else None
