"""Who holds which TUF key, as far as the root, the server and a key file tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ownroot.cli.tuf_key_file import KeyFile, OnToken
from ownroot.cli.tuf_roots import UpdateView
from ownroot.tuf.metadata import Role
from ownroot.tuf.owner_edits import draft_of

_SERVER = "the server"
_FIRST_KEY = "first-root-key-in-use"
_SERVERS_ROOTS = 2  # the roots a factory is born with


@dataclass(frozen=True, slots=True)
class TufHolder:
    """A key in a role, and where its private half is."""

    role: Role
    key_id: str
    is_online: bool
    holder: str


def is_taken_over(view: UpdateView) -> bool:
    """Is the root the owner's? The first root key is the server's, and so are the roots it made."""
    warnings = {note.kind for note in view.answer.issues.warnings}
    return view.verified.root.version > _SERVERS_ROOTS and _FIRST_KEY not in warnings


def find_tuf_holders(view: UpdateView, file: KeyFile, path: Path | None) -> Iterator[TufHolder]:
    """Yield every key of every role in the order of the root.

    No key is opened. A key that is not in the file is with whoever added it: the root says who that was.
    """
    root = view.verified.root
    for role, keys in root.roles.items():
        for key_id in keys.key_ids:
            if key_id in view.online.values():
                yield TufHolder(role, key_id, True, _SERVER)
            else:
                yield TufHolder(role, key_id, False, _offline_holder(view, file, path, key_id))


def production_threshold(view: UpdateView) -> int | None:
    """Return how many targets keys production devices ask for; None while they follow the CI root."""
    return None if view.current.production is None else draft_of(view.current).production_threshold


def _offline_holder(view: UpdateView, file: KeyFile, path: Path | None, key_id: str) -> str:
    half = file.private_half(key_id)
    if isinstance(half, OnToken):
        return f"you, key {half.label} on the token {half.token}"
    if half is not None:
        return f"you, file {path}"
    if not is_taken_over(view) and key_id not in view.verified.root.owners:
        return f"{_SERVER} (the first root key, for you to replace)"
    owner = view.verified.root.owners.get(key_id)
    return (
        "an owner, who is not told" if owner is None else f"user {owner.polis_id}, who added it {owner.created_at[:10]}"
    )
