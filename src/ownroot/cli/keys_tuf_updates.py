"""`ownroot keys tuf updates`: one change of the roots, step by step, by one admin or several (tuf.md §5)."""

from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.keys_tuf import (
    connected,
    first_time_option,
    key_type_option,
    keys_option,
    prod_option,
    role_option,
    targets_keys_option,
    txid_option,
)
from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

_SIGN = click.option("-s", "--sign", is_flag=True, help="Sign with KEYS at once; a later step voids signatures.")


@click.group(cls=OrderedGroup, short_help="Change the roots step by step.")
def updates() -> None:
    """Change the roots step by step.

    \b
    Steps:  init, then any of add-offline-key, delete-offline-key, rotate-offline-key, rotate-online-key, set-threshold,
            then sign (each key holder), then apply. Look at it with review; give it up with cancel.
    """


@updates.command(epilog='\b\nExample:\n  ownroot keys tuf updates init -m "A second root key, for Grace"\n')
@click.option(
    "-m", "--changelog", "message", metavar="TEXT", required=True, help="Why; part of the root. Printable ASCII."
)
@first_time_option
@keys_option(required=False, help="With --first-time: the new file for the first root key.")
@target_options
@json_option
def init(target: Target, message: str, first_time: bool, keys: Path | None, as_json: bool) -> None:
    """Begin a change. Shows its transaction id, once: other admins go on with that."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import run_init

    if first_time != (keys is not None):
        raise click.UsageError("--first-time and --keys go together: the first root key is written to KEYS.")
    run_init(ChangeOptions(target=target, keys=keys, as_json=as_json), message, first_time=first_time)


@updates.command(epilog="\b\nExamples:\n  ownroot keys tuf updates review\n  ownroot keys tuf updates review --diff\n")
@click.option("--raw", is_flag=True, help="Print the staged root itself.")
@click.option("--diff", is_flag=True, help="Print both roots, line by line, where they differ.")
@prod_option
@keys_option(required=False, help="Verify up from the newest root that this key file knows.")
@target_options
@json_option
def review(target: Target, raw: bool, diff: bool, prod: bool, keys: Path | None, as_json: bool) -> None:
    """Show what would change, what is missing, and what is unwise."""
    from ownroot.cli.keys_tuf_review import run_review
    from ownroot.cli.keys_tuf_run import ChangeOptions

    options = ChangeOptions(target=target, keys=keys, as_json=as_json)
    run_review(options, raw=raw, diff=diff, production=prod)


@updates.command(
    "add-offline-key",
    epilog="\b\nExample:\n  ownroot keys tuf updates add-offline-key -r root -k grace.tgz -x ELNOADKR\n",
)
@role_option
@keys_option(help="Your key file; made if it is not there.")
@key_type_option
@txid_option
@hsm_options()
@target_options
@json_option
def add_offline_key(
    target: Target, hsm: HsmKeys | None, role: str, keys: Path, key_type: str, txid: str, as_json: bool
) -> None:
    """Make a key of yours and stage it."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import Step, run_step

    options = ChangeOptions(target=target, hsm=hsm, keys=keys, txid=txid, as_json=as_json)
    run_step(options, Step("add", role, key_type=key_type), sign=False)


@updates.command(
    "delete-offline-key",
    epilog="\b\nExample:\n  ownroot keys tuf updates delete-offline-key -r root -i 5f2c...\n",
)
@role_option
@keys_option(required=False, help="Your key file: the key of it that is in the role.")
@click.option("-i", "--key-id", metavar="KEYID", help="A key by its id.")
@txid_option
@target_options
@json_option
def delete_offline_key(
    target: Target, role: str, keys: Path | None, key_id: str | None, txid: str, as_json: bool
) -> None:
    """Stage the removal of an offline key, named by its id or by the key file that has it."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import Step, run_step

    if (keys is None) == (key_id is None):
        raise click.UsageError("Name the key with --keys or with --key-id.")
    options = ChangeOptions(target=target, keys=keys, txid=txid, as_json=as_json)
    run_step(options, Step("delete", role, key_id=key_id), sign=False)


@updates.command(
    "rotate-offline-key",
    epilog="\b\nExample:\n  ownroot keys tuf updates rotate-offline-key -r root -k tuf-keys.tgz --sign\n",
)
@role_option
@keys_option()
@targets_keys_option
@key_type_option
@_SIGN
@txid_option
@connected
def rotate_offline_key(
    target: Target,
    hsm: HsmKeys | None,
    role: str,
    keys: Path,
    targets_keys: Path | None,
    key_type: str,
    sign: bool,
    txid: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Stage a new key of yours in place of the one you have in this role."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import Step, run_step

    options = ChangeOptions(
        target=target, hsm=hsm, keys=keys, targets_keys=targets_keys, txid=txid, assume_yes=yes, as_json=as_json
    )
    run_step(options, Step("rotate", role, key_type=key_type), sign=sign)


@updates.command(
    "rotate-online-key", epilog="\b\nExample:\n  ownroot keys tuf updates rotate-online-key -r snapshot,timestamp\n"
)
@click.option("-r", "--role", "roles", metavar="ROLES", required=True, help="targets, snapshot, timestamp; by comma.")
@keys_option(required=False, help="With --sign: your key file.")
@_SIGN
@txid_option
@connected
def rotate_online_key(
    target: Target, hsm: HsmKeys | None, roles: str, keys: Path | None, sign: bool, txid: str, yes: bool, as_json: bool
) -> None:
    """Let the server make new online keys, and stage them."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import run_online

    if sign and keys is None:
        raise click.UsageError("--sign needs --keys.")
    options = ChangeOptions(target=target, hsm=hsm, keys=keys, txid=txid, assume_yes=yes, as_json=as_json)
    run_online(options, roles, sign=sign)


@updates.command(
    "set-threshold", epilog="\b\nExample:\n  ownroot keys tuf updates set-threshold 2 -r root -k tuf-keys.tgz --sign\n"
)
@click.argument("threshold", metavar="N", type=click.IntRange(1, 1000))
@role_option
@keys_option(required=False, help="With --sign: your key file.")
@_SIGN
@txid_option
@connected
def set_threshold(
    target: Target,
    hsm: HsmKeys | None,
    threshold: int,
    role: str,
    keys: Path | None,
    sign: bool,
    txid: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Stage how many keys must sign: for root 1 or more, for targets (of production devices) 2 or more."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import Step, run_step

    if sign and keys is None:
        raise click.UsageError("--sign needs --keys.")
    options = ChangeOptions(target=target, hsm=hsm, keys=keys, txid=txid, assume_yes=yes, as_json=as_json)
    run_step(options, Step("threshold", role, threshold=threshold), sign=sign)


@updates.command("sign", epilog="\b\nExample:\n  ownroot keys tuf updates sign -k grace.tgz -x ELNOADKR\n")
@keys_option()
@txid_option
@connected
def sign(target: Target, hsm: HsmKeys | None, keys: Path, txid: str, yes: bool, as_json: bool) -> None:
    """Look at what is staged, and sign it with every root key of your file."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import run_sign

    run_sign(ChangeOptions(target=target, hsm=hsm, keys=keys, txid=txid, assume_yes=yes, as_json=as_json))


@updates.command(
    "sign-prod-targets",
    epilog="\b\nExample:\n  ownroot keys tuf updates sign-prod-targets -k release-keys.tgz --tags main\n",
)
@keys_option(help="The file with your targets key.")
@click.option("--tags", metavar="TAGS", default="", help="Only these tags, by comma. [default: all]")
@txid_option
@connected
def sign_prod_targets(
    target: Target, hsm: HsmKeys | None, keys: Path, tags: str, txid: str, yes: bool, as_json: bool
) -> None:
    """Sign the production targets anew, for a root with another targets key or a higher threshold."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import run_sign_targets

    options = ChangeOptions(target=target, hsm=hsm, keys=keys, txid=txid, assume_yes=yes, as_json=as_json)
    run_sign_targets(options, tags)


@updates.command(epilog="\b\nExample:\n  ownroot keys tuf updates apply -k tuf-keys.tgz\n")
@keys_option(required=False, help="Remember the new root in this key file.")
@txid_option
@target_options
@json_option
def apply(target: Target, keys: Path | None, txid: str, as_json: bool) -> None:
    """Publish what is staged, and see that devices get it."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import run_apply

    run_apply(ChangeOptions(target=target, keys=keys, txid=txid, as_json=as_json))


@updates.command(epilog="\b\nExample:\n  ownroot keys tuf updates cancel\n")
@target_options
@json_option
def cancel(target: Target, as_json: bool) -> None:
    """Give the change up. Any admin may; nothing that was staged is kept."""
    from ownroot.cli.keys_tuf_run import ChangeOptions
    from ownroot.cli.keys_tuf_updates_run import run_cancel

    run_cancel(ChangeOptions(target=target, as_json=as_json))
