"""What somebody should know about a uuid before they let a device register under it, in words.

Each warning says what is on record and what a yes would do about it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from ownroot.dashboard.html import Html, fill
from ownroot.services.read_uuid_record import UuidRecord
from ownroot.services.records import DeniedDevice, Device, User

_WARNING: Final = """<p class="warning"><strong>{what}</strong> {meaning}</p>
"""
_PLACEMENT: Final = """<dt>Its name</dt><dd>{name}</dd>
<dt>Its group</dt><dd>{group}</dd>
"""


def warnings(record: UuidRecord) -> Html:
    """Return a paragraph for each thing on record; nothing for a uuid that is new."""
    return Html("".join(fill(_WARNING, what=what, meaning=meaning) for what, meaning in _findings(record)))


def placement(record: UuidRecord) -> Html:
    """Return the name and the group a known device keeps, as rows of the list."""
    if record.known is None:
        return Html()
    group = record.known.group
    return fill(_PLACEMENT, name=record.known.name, group="none" if group is None else group.name)


def shown_time(at: datetime) -> str:
    """Write a time for people."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _findings(record: UuidRecord) -> Iterator[tuple[str, str]]:
    if record.denied is not None:
        yield _deleted(record.denied, record.denied_by)
    if record.waiting:
        yield _held(record)
    if record.known is not None:
        yield _unclaimed(record.known) if record.is_unclaimed else _known(record.known, record.owner)
    if record.has_case_twin:
        yield (
            "The factory knows this uuid in other letters.",
            "The known one differs in upper and lower case alone, so this device will be refused.",
        )


def _deleted(denied: DeniedDevice, by: User | None) -> tuple[str, str]:
    who = "somebody" if by is None else by.name
    called = "" if denied.name == denied.uuid else f"; it was called {denied.name}"
    return (
        "This device was deleted and is on the deny list.",
        f"{who} deleted it on {shown_time(denied.denied_at)}{called}. If you allow it, it is taken off the list and "
        "let in again.",
    )


def _held(record: UuidRecord) -> tuple[str, str]:
    since = shown_time(record.waiting[0].first_at)
    return (
        "A device with this uuid is held for review.",
        f"The server was restored from a backup and does not remember what came under this uuid on {since}. If you "
        "allow this device and its key is another one, the uuid is this device's and the held one stays outside.",
    )


def _unclaimed(known: Device) -> tuple[str, str]:
    return (
        "A device with this uuid is known from before the take-over.",
        f"It was registered on {shown_time(known.created_at)} under the shared PKI, which counts no more. If you allow "
        "this one, it takes that device's place with whatever key it has.",
    )


def _known(known: Device, owner: User | None) -> tuple[str, str]:
    whose = "somebody" if owner is None else owner.name
    return (
        "A device with this uuid is known already.",
        f"{whose} owns it since {shown_time(known.created_at)}. If this is that device with its own key, it gets its "
        "certificate again and its owner stays. With another key it will be refused: whoever replaces a board deletes "
        "the known device first.",
    )
