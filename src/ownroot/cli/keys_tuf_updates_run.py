"""The terminal side of the steps of a change."""

from dataclasses import dataclass

import click

from ownroot.cli.keys_tuf_run import ChangeOptions, given_up_on_failure
from ownroot.cli.tuf_change import RootChange
from ownroot.cli.tuf_editing import Edited
from ownroot.cli.tuf_roots import UpdateView
from ownroot.console.output import Output
from ownroot.errors import ConflictError, NotFoundError
from ownroot.tuf.keys import KeyType
from ownroot.tuf.metadata import ONLINE_ROLES, Role, read_root
from ownroot.tuf.owner_edits import offline_keys, remove_key, set_threshold
from ownroot.tuf.production_targets import read_targets


@dataclass(frozen=True, slots=True)
class Step:
    """One edit of what is staged: `add`, `delete`, `rotate` or `threshold`."""

    what: str
    role: str
    key_type: str = KeyType.ED25519.value
    key_id: str | None = None
    threshold: int = 0


def run_init(options: ChangeOptions, message: str, *, first_time: bool) -> None:
    """Begin, and show the transaction id."""
    output = options.output
    with options.opened() as change, given_up_on_failure(change, output):
        txid = change.begin(message, first_time=first_time)
    if options.as_json:
        output.document({"txid": txid, "file": str(options.keys) if first_time else None})
    output.line(f"The change has begun. Its transaction id, shown now and never again: {txid}")
    if first_time:
        output.line(f"The first root key is in {options.keys}.")


def run_step(options: ChangeOptions, step: Step, *, sign: bool) -> None:
    """Edit what is staged, and sign it if that is wanted."""
    if step.what != "add":
        options.require_keys()
    with options.opened() as change:
        view = change.look()
        edited = _edited(change, view, step)
        chains = edited.draft.chains()
        if sign:
            options.confirm("Sign this root now?", view.amendments(chains))
            chains = change.sign(view, chains, edited.files.get(Role.ROOT))
        change.stage(chains, edited.files, edited.targets_signatures)
        _tell_staged(change.look(), options.output)


def run_online(options: ChangeOptions, roles: str, *, sign: bool) -> None:
    """Stage new online keys, and sign if that is wanted."""
    wanted = _online_roles(roles)
    with options.opened() as change:
        view = change.make_online_keys(change.look(), wanted)
        if sign:
            chains = change.start_editing(view).draft.chains()
            options.confirm("Sign this root now?", view.amendments(chains))
            change.stage(change.sign(view, chains))
            view = change.look()
        _tell_staged(view, options.output)


def run_sign(options: ChangeOptions) -> None:
    """Show what is staged, and sign it."""
    options.require_keys()
    with options.opened() as change:
        view = change.look()
        staged = view.require_ready_to_sign()
        options.confirm(f"Sign root {read_root(staged.ci.signed).version} now?", view.amendments(staged))
        change.stage(change.sign(view, staged))
        _tell_staged(change.look(), options.output)


def run_sign_targets(options: ChangeOptions, tags: str) -> None:
    """Sign production targets for the staged root.

    Raises:
        ConflictError: `tuf-nothing-staged`. NotFoundError: `tuf-targets-none`; and as `RootEditing`.
    """
    options.require_keys()
    with options.opened() as change:
        view = change.look()
        staged = view.require_ready_to_sign()
        if staged.production is None:
            raise ConflictError(
                "tuf-nothing-staged", "Nothing was changed yet, so there is no root to sign targets for."
            )
        documents = change.production_targets(view, [tag for tag in tags.split(",") if tag])
        if not documents:
            raise NotFoundError("tuf-targets-none", "There are no production targets to sign.")
        for tag, document in documents.items():
            options.shown.note(f"Targets of {tag}: {', '.join(sorted(read_targets(document))) or 'none'}")
        options.output.confirm("Sign these now?", assume_yes=options.assume_yes)
        change.stage(staged, None, change.sign_targets(view, documents))
        _tell_staged(change.look(), options.output)


def run_apply(options: ChangeOptions) -> None:
    """Publish."""
    output = options.output
    with options.opened() as change:
        view = change.look()
        root = read_root(view.require_staged().ci.signed)
        change.apply(view)
    if options.as_json:
        output.document({"version": root.version, "expires": f"{root.expires:%Y-%m-%dT%H:%M:%SZ}"})
    output.line(f"Root {root.version} is published, for test and production devices.")


def run_cancel(options: ChangeOptions) -> None:
    """Give up."""
    with options.opened() as change:
        change.cancel()
    if options.as_json:
        options.output.document({"cancelled": True})
    options.output.line("The change was given up. The roots are as they were.")


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


def _online_roles(text: str) -> frozenset[Role]:
    names = [name for name in text.split(",") if name]
    if not names or not set(names) <= {role.value for role in ONLINE_ROLES}:
        raise click.UsageError("--role takes targets, snapshot and timestamp, by comma.")
    return frozenset(Role(name) for name in names)


def _tell_staged(view: UpdateView, output: Output) -> None:
    staged = view.require_staged()
    errors = [note.message for note in view.answer.issues.errors]
    if output.as_json:
        output.document(
            {
                "version": read_root(staged.ci.signed).version,
                "amendments": [note.message for note in view.amendments(staged)],
                "missing": errors,
            }
        )
    output.line("Staged. What changes:")
    for note in view.amendments(staged):
        output.line(f"  - {note.message}")
    for error in errors:
        output.line(f"  still missing: {error}")
    if not errors:
        output.line("It can be published: ownroot keys tuf updates apply")
