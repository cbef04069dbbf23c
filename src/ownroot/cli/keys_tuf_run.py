"""The terminal side of whole changes: begin, edit, show, sign, stage and apply in one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.tuf_change import RootChange
from ownroot.cli.tuf_editing import Edited
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_owner_keys import KeyFiles, OwnerKeys
from ownroot.cli.tuf_roots import UpdateView
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.console.errors import DeclinedError
from ownroot.console.output import Output
from ownroot.errors import OwnrootError, RefusedError
from ownroot.tuf.keys import KeyType
from ownroot.tuf.metadata import ONLINE_ROLES, Role, read_root
from ownroot.tuf.owner_edits import prolong
from ownroot.tuf.root_review import Note
from ownroot.tuf.root_rules import Chains

_ADVICE = (
    "The change is still open. Look at it with `ownroot keys tuf updates review`, go on with "
    "`ownroot keys tuf updates apply`, or give it up: `ownroot keys tuf updates cancel`."
)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A whole change. `rotates`: roles whose offline key of ours is replaced; root comes first."""

    message: str
    rotates: tuple[str, ...]
    key_type: str
    first_time: bool = False
    all_online: bool = False
    prolongs: bool = False


@contextmanager
def opened_change(
    target: Target, hsm: HsmKeys | None, keys: Path | None, targets_keys: Path | None, output: Output, *, txid: str = ""
) -> Iterator[RootChange]:
    """Give a run against the server, with the key files held that it names."""
    files = None
    if keys is not None:
        files = KeyFiles(KeyFileStore(keys), KeyFileStore(targets_keys or keys))
    with RepositoryApi(target.access()) as api:
        change = RootChange(api, files, OwnerKeys(hsm), now=utc_now(), say=output.note, txid=txid)
        if files is None:
            yield change
        else:
            with files.held():
                yield change


def run_shortcut(
    target: Target,
    hsm: HsmKeys | None,
    keys: Path,
    targets_keys: Path | None,
    shortcut: Shortcut,
    *,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Carry a whole change out. Raises as `RootChange`; once begun and not declined, the change stays open then."""
    output = Output(as_json=as_json)
    if not shortcut.first_time:
        KeyFileStore(keys).read()  # before the server is asked: a path mistyped costs nobody anything
    with opened_change(target, hsm, keys, targets_keys, output) as change:
        change.begin(shortcut.message, first_time=shortcut.first_time, shortcut=True)
        try:
            view, chains = _prepare(change, shortcut, output, assume_yes=assume_yes)
            change.apply(view)
        except DeclinedError:
            change.cancel()
            raise
        except OwnrootError:
            output.note(_ADVICE)
            raise
    root = read_root(chains.ci.signed)
    if as_json:
        output.document(
            {"version": root.version, "expires": f"{root.expires:%Y-%m-%dT%H:%M:%SZ}", "file": str(keys)}
            | {"amendments": [note.message for note in view.amendments(chains)]}
        )
    output.line(
        f"Root {root.version} is published, for test and production devices. It expires on {root.expires:%Y-%m-%d}."
    )
    if shortcut.rotates:
        files = str(keys) if targets_keys is None else f"{keys} and {targets_keys}"
        output.line(f"Your new keys are in {files}. Keep two copies of it, offline: nobody can make these keys again.")


def _prepare(change: RootChange, shortcut: Shortcut, output: Output, *, assume_yes: bool) -> tuple[UpdateView, Chains]:
    view = change.look()
    view.require_only_begun()
    edited = _edited(change, view, shortcut)
    if shortcut.all_online:
        # The server puts its new keys into what is staged, so ours must be there first.
        change.stage(edited.draft.chains(), edited.files, edited.targets_signatures)
        view = change.make_online_keys(change.look(), ONLINE_ROLES)
        edited = change.start_editing(view)
    chains = edited.draft.chains()
    show_amendments(output, view.amendments(chains))
    output.confirm(f"Sign and publish root {edited.draft.root.version} now?", assume_yes=assume_yes)
    signed = change.sign(view, chains, edited.files.get(Role.ROOT))
    change.stage(signed, edited.files, edited.targets_signatures)
    after = change.look()
    if after.require_staged().ci.signed != signed.ci.signed:
        raise RefusedError("tuf-staged-unexpected", "The server shows another staged root than the one it just took.")
    return after, signed


def _edited(change: RootChange, view: UpdateView, shortcut: Shortcut) -> Edited:
    edited = change.start_editing(view)
    for role in shortcut.rotates:
        edited = change.with_rotated_key(edited, view, Role(role), KeyType(shortcut.key_type.upper()))
    if shortcut.prolongs:
        return Edited(prolong(edited.draft, utc_now()), edited.files, edited.targets_signatures)
    return edited


def show_amendments(output: Output, notes: list[Note]) -> None:
    """Tell what a change does, a line each."""
    output.note("What changes:")
    for note in notes:
        output.note(f"  - {note.message}")
    if not notes:
        output.note("  - nothing")
