"""`ownroot keys tuf request`, `approve`, `apply`: a change whose keys are on a machine that never meets a network."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.keys_tuf import key_type_option, keys_option, role_option, targets_keys_option, txid_option
from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

if TYPE_CHECKING:
    from ownroot.wire.tuf_ceremony import TufOrder

_READ = click.Path(path_type=Path, exists=True, dir_okay=False)
_WRITE = click.Path(path_type=Path, dir_okay=False)
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(cls=OrderedGroup, short_help="Ask for a change that offline keys will sign.")
def request() -> None:
    """Write down a change for the offline machine: what is asked, every root, and what the server has staged.

    A change is begun for it, unless one is under way.

    \b
    Then:  ownroot keys tuf approve REQUEST.json APPROVAL.json -k KEYS.tgz --operator NAME   (where the keys are)
           ownroot keys tuf apply APPROVAL.json                                              (here)
    """


def _asking(function: Callable[..., None]) -> Callable[..., None]:
    """Give a request the options that all have."""

    @wraps(function)
    @click.option("-m", "--changelog", "message", metavar="TEXT", default="Change TUF keys", help="Why. ASCII.")
    @click.argument("out", metavar="OUT.json", type=_WRITE)
    @target_options
    @json_option
    def command(**options: object) -> None:
        function(**options)

    decorated: Callable[..., None] = command
    return decorated


@request.command(
    "rotate-offline-key",
    epilog="""\b
Examples:
  ownroot keys tuf request rotate-offline-key -r root --first-time -k first.tgz take-over.json
  ownroot keys tuf request rotate-offline-key -r targets targets.json
""",
)
@role_option
@key_type_option
@click.option("--first-time", is_flag=True, help="Take the root over. The first root key goes into KEYS, here.")
@keys_option(required=False, help="With --first-time: a new file for the first root key; `apply` signs with it.")
@_asking
def rotate(
    target: Target,
    out: Path,
    role: str,
    key_type: str,
    first_time: bool,
    keys: Path | None,
    message: str,
    as_json: bool,
) -> None:
    """Ask for a new key of root or targets in place of the one that is offline; it is made there.

    At a take-over the first root key, which the server made, never goes to the offline machine, nor a new one from it.
    """
    from ownroot.wire.tuf_ceremony import RotateKey

    if first_time != (keys is not None):
        raise click.UsageError("--first-time and --keys go together: the first root key is written to KEYS.")
    if first_time and role != "root":
        raise click.UsageError("--first-time is for the root; take that over first.")
    _ask(target, out, RotateKey(role=role, key_type=key_type.upper()), message, keys, as_json=as_json)


@request.command(
    "add-offline-key", epilog="\b\nExample:\n  ownroot keys tuf request add-offline-key -r root second.json\n"
)
@role_option
@key_type_option
@_asking
def add(target: Target, out: Path, role: str, key_type: str, message: str, as_json: bool) -> None:
    """Ask for one more offline key; it is made there."""
    from ownroot.wire.tuf_ceremony import AddKey

    _ask(target, out, AddKey(role=role, key_type=key_type.upper()), message, None, as_json=as_json)


@request.command(
    "delete-offline-key",
    epilog="\b\nExample:\n  ownroot keys tuf request delete-offline-key -r root -i 5f2c... without.json\n",
)
@role_option
@click.option("-i", "--key-id", metavar="KEYID", required=True, help="Which.")
@_asking
def delete(target: Target, out: Path, role: str, key_id: str, message: str, as_json: bool) -> None:
    """Ask to take an offline key out of its role."""
    from ownroot.wire.tuf_ceremony import DeleteKey

    _ask(target, out, DeleteKey(role=role, key_id=key_id), message, None, as_json=as_json)


@request.command("set-threshold", epilog="\b\nExample:\n  ownroot keys tuf request set-threshold 2 -r root two.json\n")
@click.argument("threshold", metavar="N", type=click.IntRange(1, 1000))
@role_option
@_asking
def threshold(target: Target, out: Path, threshold: int, role: str, message: str, as_json: bool) -> None:
    """Ask for another number of keys that must sign."""
    from ownroot.wire.tuf_ceremony import SetThreshold

    _ask(target, out, SetThreshold(role=role, threshold=threshold), message, None, as_json=as_json)


@request.command("resign-root", epilog="\b\nExample:\n  ownroot keys tuf request resign-root year.json\n")
@_asking
def resign(target: Target, out: Path, message: str, as_json: bool) -> None:
    """Ask for a year more for the root."""
    from ownroot.wire.tuf_ceremony import ResignRoot

    _ask(target, out, ResignRoot(), message, None, as_json=as_json)


@request.command("sign", epilog="\b\nExample:\n  ownroot keys tuf request sign staged.json\n")
@_asking
def sign(target: Target, out: Path, message: str, as_json: bool) -> None:
    """Ask to sign what is staged, as it is: for the next key holder, or after new online keys."""
    from ownroot.wire.tuf_ceremony import SignRoot

    _ask(target, out, SignRoot(), message, None, as_json=as_json)


@click.command(
    short_help="Where the keys are: check, show and sign a request.",
    epilog="""\b
Example:
  ownroot keys tuf approve take-over.json approved.json -k tuf-keys.tgz --operator "Ada Lovelace"
""",
)
@click.argument("source", metavar="REQUEST.json", type=_READ)
@click.argument("out", metavar="APPROVAL.json", type=_WRITE)
@keys_option(help="Your key file; made if it is not there.")
@targets_keys_option
@click.option("--operator", "operators", metavar="NAME", multiple=True, required=True, help="Who is there. Repeatable.")
@click.option("--record", metavar="FILE", type=_WRITE, help="Where the record goes. [default: APPROVAL.record.json]")
@_yes_option
@hsm_options()
@json_option
def approve(
    hsm: HsmKeys | None,
    source: Path,
    out: Path,
    keys: Path,
    targets_keys: Path | None,
    operators: tuple[str, ...],
    record: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Verify the roots of a request up from the newest one your key file knows, show what would change, ask, and sign.

    Writes the approval for `keys tuf apply` and a signed record to keep. No server is needed.
    """
    from ownroot.cli.keys_tuf_ceremony_run import ApproveOptions, run_approve

    options = ApproveOptions(
        keys=keys,
        targets_keys=targets_keys,
        operators=operators,
        record=record or out.with_name(f"{out.name.removesuffix('.json')}.record.json"),
        assume_yes=yes,
        as_json=as_json,
    )
    run_approve(source, out, hsm, options)


@click.command(
    short_help="Carry out what was approved.", epilog="\b\nExample:\n  ownroot keys tuf apply approved.json\n"
)
@click.argument("source", metavar="APPROVAL.json", type=_READ)
@keys_option(required=False, help="At a take-over: the file with the first root key, which signs too.")
@txid_option
@_yes_option
@target_options
@json_option
def apply(target: Target, source: Path, keys: Path | None, txid: str, yes: bool, as_json: bool) -> None:
    """Upload an approval, and publish once nothing is missing. May be repeated at will."""
    from ownroot.cli.keys_tuf_ceremony_run import run_apply
    from ownroot.cli.keys_tuf_run import ChangeOptions

    run_apply(ChangeOptions(target=target, keys=keys, txid=txid, assume_yes=yes, as_json=as_json), source)


@click.command(
    "verify-record",
    short_help="Check a record years later.",
    epilog="\b\nExample:\n  ownroot keys tuf verify-record approved.record.json --root 3.root.json\n",
)
@click.argument("source", metavar="RECORD.json", type=_READ)
@click.option("--root", "root_file", metavar="ROOT.json", type=_READ, required=True, help="A root you trust.")
@json_option
def verify_record(source: Path, root_file: Path, as_json: bool) -> None:
    """Check that a root key of ROOT signed a record, and tell what it says. No server is needed."""
    from ownroot.cli.keys_tuf_ceremony_run import run_verify_record

    run_verify_record(source, root_file, as_json=as_json)


def _ask(target: Target, out: Path, order: "TufOrder", message: str, keys: Path | None, *, as_json: bool) -> None:
    from ownroot.cli.keys_tuf_ceremony_run import run_request
    from ownroot.cli.keys_tuf_run import ChangeOptions

    run_request(ChangeOptions(target=target, keys=keys, as_json=as_json), out, order, message)
