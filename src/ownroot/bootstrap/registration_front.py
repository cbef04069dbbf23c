"""The front of the floor half: what `ownroot serve registration` and `ownroot registration` ask of it.

Like the package's own front it loads the server's libraries when something is done, so that an installation without
them can say so.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ownroot.bootstrap import server_half
from ownroot.bootstrap.registration_options import RegistrationOptions
from ownroot.bootstrap.report import RegistrationReport
from ownroot.errors import NotFoundError
from ownroot.registration.outbox import Entry, TargetView

__all__ = [
    "Entry",
    "RegistrationOptions",
    "RegistrationReport",
    "TargetView",
    "add_station_token",
    "drop_announcements",
    "list_station_tokens",
    "open_queue",
    "read_log",
    "remove_station_token",
    "replay_announcements",
    "retry_announcements",
    "run_registration_server",
]

if TYPE_CHECKING:
    from ownroot.registration.journal import Journal
    from ownroot.registration.tokens import StationToken


def run_registration_server(options: RegistrationOptions, say: Callable[[RegistrationReport], None]) -> None:
    """Serve until SIGTERM or SIGINT. `say` is called once, when devices can be registered.

    Raises:
        OwnrootError: the server cannot start, and why.
    """
    with server_half():
        from ownroot.bootstrap.registration import serve_registration  # noqa: PLC0415
        from ownroot.bootstrap.registration_settings import check_options  # noqa: PLC0415

    serve_registration(check_options(options), say)


def open_queue(data: Path | None, *, only_dead: bool, limit: int) -> tuple[list[TargetView], list[Entry]]:
    """Return the targets of a site, and the announcements that wait or are dead."""
    from ownroot.registration import outbox  # noqa: PLC0415

    states = (outbox.State.DEAD,) if only_dead else (outbox.State.WAITING, outbox.State.DEAD)
    with _journal(data) as journal:
        return journal.read(outbox.targets), journal.read(partial(outbox.entries, states=states, limit=limit))


def retry_announcements(data: Path | None, ids: Sequence[int], *, now: datetime) -> int:
    """Send announcements again at once; returns how many. Raises NotFoundError `no-such-announcement`."""
    from ownroot.registration import outbox  # noqa: PLC0415

    with _journal(data) as journal:
        return journal.write(partial(outbox.retry, ids=ids, now=int(now.timestamp())))


def drop_announcements(data: Path | None, ids: Sequence[int], *, now: datetime) -> int:
    """Give announcements up; returns how many. Raises NotFoundError `no-such-announcement`."""
    from ownroot.registration import outbox  # noqa: PLC0415

    with _journal(data) as journal:
        return journal.write(partial(outbox.drop, ids=ids, at=now))


def replay_announcements(data: Path | None, target: str, *, now: datetime) -> int:
    """Announce every device anew to one target; returns how many there are."""
    from ownroot.registration import outbox  # noqa: PLC0415

    with _journal(data) as journal:
        return journal.write(partial(outbox.replay, target=target, now=int(now.timestamp())))


def read_log(data: Path | None, *, since: datetime | None) -> tuple[Sequence[str], list[tuple[object, ...]]]:
    """Return the columns and the rows of a site's log, oldest first."""
    from ownroot.registration.decisions import COLUMNS, read_entries  # noqa: PLC0415

    with _journal(data) as journal:
        return COLUMNS, journal.read(partial(read_entries, since=since))


def add_station_token(data: Path | None, name: str, *, now: datetime) -> str:
    """Make a token and return it. Before the server's first start this begins its journal."""
    from ownroot.registration.tokens import add_token  # noqa: PLC0415

    with _journal(data, make=True) as journal:
        return journal.write(partial(add_token, name=name, now=now))


def list_station_tokens(data: Path | None) -> list["StationToken"]:
    """Return the stations that have a token."""
    from ownroot.registration.tokens import list_tokens  # noqa: PLC0415

    with _journal(data) as journal:
        return journal.read(list_tokens)


def remove_station_token(data: Path | None, name: str) -> None:
    """Take a token out of use. Raises NotFoundError `no-such-token`."""
    from ownroot.registration.tokens import remove_token  # noqa: PLC0415

    with _journal(data) as journal:
        journal.write(partial(remove_token, name=name))


@contextmanager
def _journal(data: Path | None, *, make: bool = False) -> Iterator["Journal"]:
    """Open a site's journal beside its server, which may be running.

    Args:
        make: begin a journal where there is none yet.
    Raises:
        NotFoundError: `no-journal`.
        OwnrootError: as `registration.journal.Journal`.
    """
    from ownroot.bootstrap.registration_settings import registration_data_dir  # noqa: PLC0415
    from ownroot.registration.journal import JOURNAL_FILE, opened_journal  # noqa: PLC0415

    directory = registration_data_dir(data)
    if not make and not (directory / JOURNAL_FILE).exists():
        raise NotFoundError(
            "no-journal",
            f"There is no journal of a registration server in {directory}. Name its directory with --data.",
        )
    with opened_journal(directory) as journal:
        yield journal
