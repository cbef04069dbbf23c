"""The terminal side of the steps of a change."""

from dataclasses import dataclass
from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.keys_tuf_run import opened_change, show_amendments
from ownroot.cli.options import Target
from ownroot.cli.tuf_change import RootChange
from ownroot.cli.tuf_editing import Edited
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_roots import UpdateView
from ownroot.console.output import Output
from ownroot.errors import NotFoundError
from ownroot.tuf.keys import KeyType
from ownroot.tuf.metadata import ONLINE_ROLES, Document, Role, read_root
from ownroot.tuf.owner_edits import offline_keys, remove_key, set_threshold
from ownroot.tuf.root_rules import Chains


@dataclass(frozen=True, slots=True)
class Step:
    """One edit of what is staged: `add`, `delete`, `rotate` or `threshold`."""

    what: str
    role: str
    key_type: str = KeyType.ED25519.value
    key_id: str | None = None
    threshold: int = 0


def run_init(target: Target, message: str, keys: Path | None, *, as_json: bool) -> None:
    """Begin, and show the transaction id."""
    output = Output(as_json=as_json)
    with opened_change(target, None, keys, None, output) as change:
        txid = change.begin(message, first_time=keys is not None)
    if as_json:
        output.document({"txid": txid, "file": None if keys is None else str(keys)})
    output.line(f"The change has begun. Its transaction id, shown now and never again: {txid}")
    if keys is not None:
        output.line(f"The first root key is in {keys}.")


def run_step(
    target: Target,
    hsm: HsmKeys | None,
    keys: Path | None,
    targets_keys: Path | None,
    step: Step,
    *,
    txid: str,
    sign: bool,
    as_json: bool,
    assume_yes: bool = True,
) -> None:
    """Edit what is staged, and sign it if that is wanted."""
    output = Output(as_json=as_json)
    if keys is not None and (step.what != "add"):
        KeyFileStore(keys).read()
    with opened_change(target, hsm, keys, targets_keys, output, txid=txid) as change:
        view = change.look()
        edited = _edited(change, view, step)
        chains = edited.draft.chains()
        show_amendments(output, view.amendments(chains))
        if sign:
            output.confirm("Sign this root now?", assume_yes=assume_yes)
            chains = change.sign(view, chains, edited.files.get(Role.ROOT))
        change.stage(chains, edited.files, edited.targets_signatures)
        _tell_staged(change, change.look(), output)


def run_online(
    target: Target,
    hsm: HsmKeys | None,
    keys: Path | None,
    roles: str,
    *,
    txid: str,
    sign: bool,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Stage new online keys, and sign if that is wanted."""
    output = Output(as_json=as_json)
    wanted = _online_roles(roles)
    with opened_change(target, hsm, keys, None, output, txid=txid) as change:
        view = change.make_online_keys(change.look(), wanted)
        chains = change.start_editing(view).draft.chains()
        show_amendments(output, view.amendments(chains))
        if sign:
            output.confirm("Sign this root now?", assume_yes=assume_yes)
            change.stage(change.sign(view, chains))
            view = change.look()
        _tell_staged(change, view, output)


def run_sign(target: Target, hsm: HsmKeys | None, keys: Path, *, txid: str, assume_yes: bool, as_json: bool) -> None:
    """Show what is staged, and sign it."""
    output = Output(as_json=as_json)
    KeyFileStore(keys).read()
    with opened_change(target, hsm, keys, None, output, txid=txid) as change:
        view = change.look()
        staged = view.require_staged()
        show_amendments(output, view.amendments(staged))
        output.confirm(f"Sign root {read_root(staged.ci.signed).version} now?", assume_yes=assume_yes)
        change.stage(change.sign(view, staged))
        _tell_staged(change, change.look(), output)


def run_sign_targets(
    target: Target, hsm: HsmKeys | None, keys: Path, tags: str, *, txid: str, assume_yes: bool, as_json: bool
) -> None:
    """Sign production targets for the staged root."""
    output = Output(as_json=as_json)
    KeyFileStore(keys).read()
    with opened_change(target, hsm, keys, None, output, txid=txid) as change:
        view = change.look()
        documents = change.production_targets(view, [tag for tag in tags.split(",") if tag])
        if not documents:
            raise NotFoundError("tuf-targets-none", "There are no production targets to sign.")
        for tag, document in documents.items():
            output.note(f"Targets of {tag}: {', '.join(names_of(document)) or 'none'}")
        output.confirm("Sign these now?", assume_yes=assume_yes)
        change.stage(view.require_staged(), None, change.sign_targets(view, documents))
        _tell_staged(change, change.look(), output)


def run_apply(target: Target, keys: Path | None, *, txid: str, as_json: bool) -> None:
    """Publish."""
    output = Output(as_json=as_json)
    with opened_change(target, None, keys, None, output, txid=txid) as change:
        view = change.look()
        root = read_root(view.require_staged().ci.signed)
        change.apply(view)
    if as_json:
        output.document({"version": root.version, "expires": f"{root.expires:%Y-%m-%dT%H:%M:%SZ}"})
    output.line(f"Root {root.version} is published, for test and production devices.")


def run_cancel(target: Target, *, as_json: bool) -> None:
    """Give up."""
    output = Output(as_json=as_json)
    with opened_change(target, None, None, None, output) as change:
        change.cancel()
    if as_json:
        output.document({"cancelled": True})
    output.line("The change was given up. The roots are as they were.")


def _edited(change: RootChange, view: UpdateView, step: Step) -> Edited:
    edited, role = change.start_editing(view), Role(step.role)
    if step.what == "add":
        return change.with_new_key(edited, role, KeyType(step.key_type.upper()))[0]
    if step.what == "rotate":
        return change.with_rotated_key(edited, view, role, KeyType(step.key_type.upper()))
    if step.what == "threshold":
        return Edited(set_threshold(edited.draft, role, step.threshold), {}, {})
    present = offline_keys(edited.draft.root, role, view.staged_online)
    key_id = step.key_id or change.key_file(role).find_one(role, present)
    if key_id in view.staged_online.values():
        raise NotFoundError("tuf-key-not-in-role", f"The role {role} has no offline key {key_id}.")
    return Edited(remove_key(edited.draft, role, key_id), {}, {})


def names_of(document: Document) -> list[str]:
    """Return the names of the targets in a targets document."""
    targets = document.signed.get("targets")
    return sorted(targets) if isinstance(targets, dict) else []


def _online_roles(text: str) -> frozenset[Role]:
    names = [name for name in text.split(",") if name]
    if not names or not set(names) <= {role.value for role in ONLINE_ROLES}:
        raise click.UsageError("--role takes targets, snapshot and timestamp, by comma.")
    return frozenset(Role(name) for name in names)


def _tell_staged(change: RootChange, view: UpdateView, output: Output) -> None:
    staged: Chains = view.require_staged()
    errors = [note.message for note in view.answer.issues.errors]
    if output.as_json:
        output.document(
            {
                "version": read_root(staged.ci.signed).version,
                "amendments": [note.message for note in view.amendments(staged)],
                "missing": errors,
            }
        )
    output.line("Staged.")
    for error in errors:
        output.line(f"  still missing: {error}")
    if not errors:
        output.line("It can be published: ownroot keys tuf updates apply")
