"""What people are called in what an owner reads: by the name they know, where servers name an id."""

from typing import Final

from ownroot.client.api import Api
from ownroot.errors import NotFoundError, RefusedError

YOU: Final = "you"


def called(api: Api, polis_id: str) -> str:
    """Return `YOU` for whoever asks, else a member's name and id, else the id: this token may not know.

    The id stays, since people choose their names, and one could choose `YOU`.
    """
    try:
        if polis_id == api.self_user().polis_id:
            return YOU
        members = api.users()
    except (RefusedError, NotFoundError):
        return polis_id
    return next((f"{member.name} ({polis_id})" for member in members if member.polis_id == polis_id), polis_id)
