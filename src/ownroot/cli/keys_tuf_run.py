"""The terminal side of whole changes: begin, edit, show, sign, stage and apply in one command."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

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
from ownroot.tuf.metadata import ONLINE_ROLES, Role, Root, read_root
from ownroot.tuf.owner_edits import prolong
from ownroot.tuf.root_review import Note
from ownroot.tuf.root_rules import Chains

_NONE_OPEN = "tuf-update-none"
_STILL_OPEN = (
    "The change is still open, as far as this program knows, and nobody can begin another. Look at it with "
    "`ownroot keys tuf updates review`, go on with `ownroot keys tuf updates apply`, or give it up: `ownroot keys tuf "
    "updates cancel`. Its transaction id, for whoever else should go on with it: "
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

    @property
    def roles(self) -> tuple[Role, ...]:
        """Those of `rotates`."""
        return tuple(Role(role) for role in self.rotates)

    @property
    def new_keytype(self) -> KeyType:
        """What new keys are to be."""
        return KeyType(self.key_type.upper())


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

    @property
    def files(self) -> str:
        """The key files that are named, for people."""
        return " and ".join(str(file) for file in (self.keys, self.targets_keys) if file is not None)

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
    """Carry a whole change out; what could refuse it here is asked before it is begun.

    A take-over that is done already, with these key files, is no error.

    Raises:
        OwnrootError: as `RootChange`. What becomes of the change then: `given_up_on_failure`.
    """
    if not shortcut.first_time:
        options.require_keys()
    with options.opened() as change:
        before = change.look()
        if shortcut.first_time and change.holds_all(before, shortcut.roles):
            _tell_done_before(options, shortcut, before.verified.root)
            return
        change.require_none_open(before)
        change.require_keys(before, shortcut.roles, shortcut.new_keytype, is_first_time=shortcut.first_time)
        if not options.output.can_ask:  # known now, and it would end the change later
            options.output.confirm("Sign and publish a new root?", assume_yes=options.assume_yes)
        with given_up_on_failure(change, options.output):
            change.begin(shortcut.message, first_time=shortcut.first_time, shortcut=True)
            view, chains = _prepare(change, shortcut, options)
            change.apply(view)
    _tell_published(options, shortcut, read_root(chains.ci.signed), view.amendments(chains))


@contextmanager
def given_up_on_failure(change: RootChange, output: Output) -> Iterator[None]:
    """Leave no change open that this run began in vain; of one that stays open, tell.

    It is given up when somebody says no, and when it fails while nothing of ours can be in it.
    """
    try:
        yield
    except (DeclinedError, click.Abort):
        _give_up(change, output)
        raise
    except OwnrootError as error:
        if not change.may_be_staged:
            with suppress(OwnrootError):  # what went wrong first is what they have to know
                _give_up(change, output)
        elif error.code != _NONE_OPEN:  # else somebody has given it up meanwhile
            _tell_still_open(change, output)
        raise


def _give_up(change: RootChange, output: Output) -> None:
    if change.open_txid is None:
        return
    try:
        change.give_up()
    except OwnrootError:
        _tell_still_open(change, output)
        raise


def _tell_still_open(change: RootChange, output: Output) -> None:
    if change.open_txid is not None:
        output.warn(_STILL_OPEN + change.open_txid)


def _tell_done_before(options: ChangeOptions, shortcut: Shortcut, root: Root) -> None:
    if options.as_json:
        options.output.document(_document(options, root, [], already_done=True))
    options.output.line(
        f"TUF {' and '.join(shortcut.rotates)} of factory {options.target.access().factory}: yours already, with what "
        f"is in {options.files}. Nothing to do."
    )


def _tell_published(options: ChangeOptions, shortcut: Shortcut, root: Root, notes: list[Note]) -> None:
    output = options.output
    if options.as_json:
        output.document(_document(options, root, notes, already_done=False))
    output.line(
        f"Root {root.version} is published, for test and production devices. It expires on {root.expires:%Y-%m-%d}."
    )
    if shortcut.rotates:
        output.line(
            f"Your new keys are in {options.files}. Keep two copies of it, offline: nobody can make these keys again."
        )


def _document(options: ChangeOptions, root: Root, notes: list[Note], *, already_done: bool) -> dict[str, object]:
    return {
        "version": root.version,
        "expires": f"{root.expires:%Y-%m-%dT%H:%M:%SZ}",
        "file": str(options.keys),
        "amendments": [note.message for note in notes],
        "already-done": already_done,
    }


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
    for role in shortcut.roles:
        edited = change.with_rotated_key(edited, view, role, shortcut.new_keytype)
    if shortcut.prolongs:
        return Edited(prolong(edited.draft, utc_now()), edited.files, edited.targets_signatures)
    return edited


def show_amendments(output: Output, notes: list[Note]) -> None:
    """Tell what a change does, a line each."""
    output.note("What changes:")
    for note in notes:
        output.note(f"  - {note.message}")
