"""`ownroot keys tuf`: the command line of a factory's TUF keys. Names, flags and files are those of tuf.md §5."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import LazyCommand, LazyGroup

Result = TypeVar("Result")

# Without the `-y` of other commands: existing clients of this protocol give it to --key-type.
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
KEY_FILE = click.Path(path_type=Path, dir_okay=False)
prod_option = click.option("--prod", is_flag=True, help="The root of production devices.")
role_option = click.option(
    "-r", "--role", type=click.Choice(["root", "targets"]), required=True, help="Whose offline key."
)
key_type_option = click.option(
    "-y",
    "--key-type",
    type=click.Choice(["ED25519", "RSA"], case_sensitive=False),
    default="ED25519",
    show_default=True,
    help="Devices with the Go client refuse every root that holds an RSA key.",
)
message_option = click.option(
    "-m", "--changelog", "message", metavar="TEXT", help="Why; it becomes part of the root. Printable ASCII."
)
txid_option = click.option(
    "-x", "--txid", metavar="ID", default="", help="The id of a change that somebody else began."
)
first_time_option = click.option(
    "--first-time",
    is_flag=True,
    help="Take over the first root key from the server. KEYS is a new file, or that of a take-over that is done.",
)


def keys_option(*, required: bool = True, help: str = "Your key file.") -> Callable[..., Callable[..., Result]]:  # noqa: A002
    """Return `-k/--keys`."""
    return click.option("-k", "--keys", metavar="KEYS.tgz", type=KEY_FILE, required=required, help=help)


targets_keys_option = click.option(
    "-K", "--targets-keys", metavar="KEYS.tgz", type=KEY_FILE, help="Another file for targets keys. [default: KEYS]"
)


def connected(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the options of every change that asks the server and signs: token, target, JSON and `--yes`."""

    @wraps(function)
    @_yes_option
    @hsm_options()
    @target_options
    @json_option
    def command(**options: object) -> Result:
        return function(**options)

    decorated: Callable[..., Result] = command
    return decorated


@click.group(
    cls=LazyGroup,
    lazy={
        "updates": LazyCommand("ownroot.cli.keys_tuf_updates:updates", "Change the roots step by step."),
        "request": LazyCommand(
            "ownroot.cli.keys_tuf_ceremony:request", "Ask for a change that offline keys will sign."
        ),
        "approve": LazyCommand("ownroot.cli.keys_tuf_ceremony:approve", "Where the keys are: check, show and sign it."),
        "apply": LazyCommand("ownroot.cli.keys_tuf_ceremony:apply", "Carry out what was approved."),
        "verify-record": LazyCommand("ownroot.cli.keys_tuf_ceremony:verify_record", "Check a record years later."),
    },
)
def tuf() -> None:
    """Root and targets keys: who says which software is genuine."""


@tuf.command(
    "show-root",
    epilog="""\b
Examples:
  ownroot keys tuf show-root
  ownroot keys tuf show-root --prod -k tuf-keys.tgz
""",
)
@prod_option
@keys_option(required=False, help="Verify up from the newest root that this key file knows.")
@target_options
@json_option
def show_root(target: Target, prod: bool, keys: Path | None, as_json: bool) -> None:
    """Show the newest root, once the chain that leads to it is verified."""
    from ownroot.cli.keys_tuf_show import run_show_root

    run_show_root(target, production=prod, keys=keys, as_json=as_json)


@tuf.command("download-roots", epilog="\b\nExample:\n  ownroot keys tuf download-roots roots.tgz\n")
@prod_option
@click.argument("file", metavar="FILE.tgz", type=KEY_FILE)
@target_options
@json_option
def download_roots(target: Target, prod: bool, file: Path, as_json: bool) -> None:
    """Write every root there is, each verified by the one before, into a new archive."""
    from ownroot.cli.keys_tuf_show import run_download_roots

    run_download_roots(target, file, production=prod, as_json=as_json)


@tuf.command(
    "rotate-offline-key",
    epilog="""\b
Examples:
  ownroot keys tuf rotate-offline-key -r root --first-time -k tuf-keys.tgz
  ownroot keys tuf rotate-offline-key -r targets -k tuf-keys.tgz -K release-keys.tgz
""",
)
@role_option
@keys_option()
@targets_keys_option
@key_type_option
@message_option
@first_time_option
@connected
def rotate_offline_key(
    target: Target,
    hsm: HsmKeys | None,
    role: str,
    keys: Path,
    targets_keys: Path | None,
    key_type: str,
    message: str | None,
    first_time: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Replace your root or targets key by a new one, from begin to apply.

    With --first-time the root is taken over from the server. Do it first; the first targets key comes after it.
    """
    from ownroot.cli.keys_tuf_run import ChangeOptions, Shortcut, run_shortcut

    if first_time and role != "root":
        raise click.UsageError("--first-time is for the root; take that over first.")
    shortcut = Shortcut(message or f"Rotate TUF {role} offline signing key", (role,), key_type, first_time=first_time)
    options = ChangeOptions(
        target=target, hsm=hsm, keys=keys, targets_keys=targets_keys, assume_yes=yes, as_json=as_json
    )
    run_shortcut(options, shortcut)


@tuf.command(
    "rotate-all-keys",
    epilog="\b\nExample:\n  ownroot keys tuf rotate-all-keys --first-time -k tuf-keys.tgz -K release-keys.tgz\n",
)
@keys_option()
@targets_keys_option
@key_type_option
@message_option
@first_time_option
@connected
def rotate_all_keys(
    target: Target,
    hsm: HsmKeys | None,
    keys: Path,
    targets_keys: Path | None,
    key_type: str,
    message: str | None,
    first_time: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Replace root key, targets key and all the server's online keys in one change."""
    from ownroot.cli.keys_tuf_run import ChangeOptions, Shortcut, run_shortcut

    shortcut = Shortcut(
        message or "Rotate all TUF keys", ("root", "targets"), key_type, first_time=first_time, all_online=True
    )
    options = ChangeOptions(
        target=target, hsm=hsm, keys=keys, targets_keys=targets_keys, assume_yes=yes, as_json=as_json
    )
    run_shortcut(options, shortcut)


@tuf.command("resign-root", epilog="\b\nExample:\n  ownroot keys tuf resign-root tuf-keys.tgz\n")
@click.argument("keys", metavar="KEYS.tgz", type=KEY_FILE)
@message_option
@connected
def resign_root(target: Target, hsm: HsmKeys | None, keys: Path, message: str | None, yes: bool, as_json: bool) -> None:
    """Let the root live a year from now, with the keys it has."""
    from ownroot.cli.keys_tuf_run import ChangeOptions, Shortcut, run_shortcut

    shortcut = Shortcut(message or "Re-sign TUF root", (), "ED25519", prolongs=True)
    run_shortcut(ChangeOptions(target=target, hsm=hsm, keys=keys, assume_yes=yes, as_json=as_json), shortcut)


@tuf.command("copy-targets", epilog="\b\nExample:\n  ownroot keys tuf copy-targets tuf-keys.tgz release-keys.tgz\n")
@click.argument("keys", metavar="KEYS.tgz", type=KEY_FILE)
@click.argument("out", metavar="OUT.tgz", type=KEY_FILE)
@target_options
@json_option
def copy_targets(target: Target, keys: Path, out: Path, as_json: bool) -> None:
    """Copy the active targets keys of a key file into a new one, for whoever signs releases."""
    from ownroot.cli.keys_tuf_show import run_copy_targets

    run_copy_targets(target, keys, out, as_json=as_json)
