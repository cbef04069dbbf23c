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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOptions:
    """What a command line says beside the change itself.

    Attributes:
        keys, targets_keys: key files; None: none is named, and targets keys are in the file for root.
    """

    target: Target
    hsm: HsmKeys | None = None
    keys: Path | None = None
    targets_keys: Path | None = None
    txid: str = ""
    assume_yes: bool = False
    as_json: bool = False

    @property
    def output(self) -> Output:
        """Where the result goes."""
        return Output(as_json=self.as_json)

    @property
    def shown(self) -> Output:
        """Where that goes which somebody has to see before they are asked, also when the result is JSON."""
        return Output(as_json=self.as_json and self.assume_yes)

    def require_keys(self) -> None:
        """Refuse a key file that is not there before the server is asked. Raises as `KeyFileStore.read`."""
        if self.keys is not None:
            KeyFileStore(self.keys).read()

    def confirm(self, question: str, notes: list[Note]) -> None:
        """Show what a change does, a line each, and ask. Raises as `Output.confirm`."""
        show_amendments(self.shown, notes)
        self.output.confirm(question, assume_yes=self.assume_yes)

    @contextmanager
    def opened(self) -> Iterator[RootChange]:
        """Give a run against the server, with the key files held that are named."""
        files = None
        if self.keys is not None:
            files = KeyFiles(KeyFileStore(self.keys), KeyFileStore(self.targets_keys or self.keys))
        with RepositoryApi(self.target.access()) as api:
            keys = OwnerKeys(self.hsm)
            change = RootChange(api, files, keys, now=utc_now(), say=self.output.note, txid=self.txid)
            if files is None:
                yield change
            else:
                with files.held():
                    yield change


def run_shortcut(options: ChangeOptions, shortcut: Shortcut) -> None:
    """Carry a whole change out. Raises as `RootChange`; once begun and not declined, the change stays open then."""
    output = options.output
    if not shortcut.first_time:
        options.require_keys()
    with options.opened() as change:
        change.begin(shortcut.message, first_time=shortcut.first_time, shortcut=True)
        try:
            view, chains = _prepare(change, shortcut, options)
            change.apply(view)
        except DeclinedError:
            change.cancel()
            raise
        except OwnrootError:
            output.note(_ADVICE)
            raise
    root = read_root(chains.ci.signed)
    expires, notes = f"{root.expires:%Y-%m-%dT%H:%M:%SZ}", [note.message for note in view.amendments(chains)]
    if options.as_json:
        file = str(options.keys)
        output.document({"version": root.version, "expires": expires, "file": file, "amendments": notes})
    output.line(f"Root {root.version} is published, for test and production devices. It expires on {expires[:10]}.")
    if shortcut.rotates:
        files = " and ".join(str(file) for file in (options.keys, options.targets_keys) if file is not None)
        output.line(f"Your new keys are in {files}. Keep two copies of it, offline: nobody can make these keys again.")


def _prepare(change: RootChange, shortcut: Shortcut, options: ChangeOptions) -> tuple[UpdateView, Chains]:
    view = change.look()
    view.require_only_begun()
    edited = _edited(change, view, shortcut)
    if shortcut.all_online:
        # The server puts its new keys into what is staged, so ours must be there first.
        change.stage(edited.draft.chains(), edited.files, edited.targets_signatures)
        view = change.make_online_keys(change.look(), ONLINE_ROLES)
        edited = change.start_editing(view)
    chains = edited.draft.chains()
    options.confirm(f"Sign and publish root {edited.draft.root.version} now?", view.amendments(chains))
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
