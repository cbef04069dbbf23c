"""The terminal side of a review: what would change, by our own reading of what the server shows."""

import difflib
import json

from ownroot.cli.keys_tuf_run import ChangeOptions
from ownroot.cli.tuf_roots import UpdateView
from ownroot.cli.user_names import called
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.tuf.metadata import Document, Role, read_root
from ownroot.tuf.owner_edits import draft_of
from ownroot.tuf.root_rules import Chains, count_signatures


def run_review(options: ChangeOptions, *, raw: bool, diff: bool, production: bool) -> None:
    """Show a change. Raises as `RootChange.look`, NotFoundError `tuf-update-none`."""
    output = options.output
    with options.opened() as change:
        view = change.look()
        staged = view.require_staged()
        amendments = [note.message for note in view.amendments(staged)]
        by = "" if raw or diff or options.as_json else called(change.api, view.answer.change_meta.created_by)
    if raw:
        output.document(json.loads(_chosen(staged, production).encoded()))
    elif diff:
        output.line("\n".join(_diff(view, staged, production=production)))
    elif options.as_json:
        output.document(_document(view, staged, amendments))
    else:
        _tell(view, staged, amendments, by, output)


def _tell(view: UpdateView, staged: Chains, amendments: list[str], by: str, output: Output) -> None:
    meta, root = view.answer.change_meta, read_root(staged.ci.signed)
    log = "" if root.changelog is None else root.changelog.message
    output.line(f"Root {root.version}, begun by {by} at {meta.created_at}: {log}")
    sections = {
        "What changes": amendments,
        "Still missing": [note.message for note in view.answer.issues.errors],
        "Unwise": [note.message for note in view.warnings(utc_now())],
    }
    for title, lines in sections.items():
        for number, line in enumerate(lines):
            output.line(f"{title + ':' if number == 0 else '':15}{line}")
    for name, count, wanted in _signature_counts(view, staged):
        output.line(f"{'Signatures:':15}{count} of {wanted} by keys of the {name} root")


def _document(view: UpdateView, staged: Chains, amendments: list[str]) -> dict[str, object]:
    root = read_root(staged.ci.signed)
    return {
        "version": root.version,
        "message": None if root.changelog is None else root.changelog.message,
        "begun-by": view.answer.change_meta.created_by,
        "amendments": amendments,
        "missing": [note.message for note in view.answer.issues.errors],
        "warnings": [note.message for note in view.warnings(utc_now())],
        "signatures": {name: {"have": have, "want": want} for name, have, want in _signature_counts(view, staged)},
    }


def _signature_counts(view: UpdateView, staged: Chains) -> list[tuple[str, int, int]]:
    """Count what we verified ourselves: signatures by keys of the present root, and by those of the new one."""
    new = draft_of(staged).root
    roots = {"present": view.verified.root, "new": new}
    return [
        (name, count_signatures(staged.ci, root.keys, root.roles[Role.ROOT]), root.roles[Role.ROOT].threshold)
        for name, root in roots.items()
    ]


def _diff(view: UpdateView, staged: Chains, *, production: bool) -> list[str]:
    before, after = (_chosen(chains, production) for chains in (view.current, staged))
    old, new = (json.dumps(each.signed, indent=2, sort_keys=True).splitlines() for each in (before, after))
    return list(difflib.unified_diff(old, new, "present", "staged", lineterm=""))


def _chosen(chains: Chains, production: bool) -> Document:
    return chains.production_or_ci if production else chains.ci
