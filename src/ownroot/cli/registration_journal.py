"""`ownroot registration`: the journal of a registration server, for whoever runs it; the server may be running."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownroot.clock import utc_now
from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.console.lazy import OrderedGroup
from ownroot.console.output import Output
from ownroot.console.text import counted

if TYPE_CHECKING:
    from ownroot.bootstrap.registration_front import Entry, TargetView

_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's data directory. [default: $OWNROOT_DATA, else the platform's place for it]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_IDS = click.argument("ids", nargs=-1, type=int, metavar="[ID]...")


@click.group(cls=OrderedGroup, epilog=EXIT_CODES_HELP)
def journal() -> None:
    """Journal, announcements and tokens of a registration server.

    \b
    Examples:
      ownroot registration queue
      ownroot registration export > line-7.csv
    """


@journal.command()
@click.option("--dead", "only_dead", is_flag=True, help="Only those that were given up.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many to show.")
@_DATA
@_JSON
def queue(only_dead: bool, limit: int, data: Path | None, as_json: bool) -> None:
    """Show what is still to be announced, and what could not be.

    \b
    Example:
      ownroot registration queue --dead --json
    """
    from ownroot.bootstrap.registration_front import open_queue

    targets, entries = open_queue(data, only_dead=only_dead, limit=limit)
    output = Output(as_json=as_json)
    if as_json:
        output.document(
            {"targets": [*map(_target_document, targets)], "announcements": [*map(_entry_document, entries)]}
        )
        return
    for target in targets:
        output.line(_target_line(target))
    for entry in entries:
        output.line(_entry_line(entry))
    if not entries:
        output.line("Nothing is dead." if only_dead else "Nothing waits and nothing is dead.")


@journal.command()
@_IDS
@_DATA
@_JSON
def retry(ids: tuple[int, ...], data: Path | None, as_json: bool) -> None:
    """Send announcements again at once: those with these IDs, dead or not; without one all that are not done.

    \b
    Example:
      ownroot registration retry 17 18
    """
    from ownroot.bootstrap.registration_front import retry_announcements

    number = retry_announcements(data, ids, now=utc_now())
    _say(as_json, {"retried": number}, f"{counted(number, 'announcement')} will be sent now.")


@journal.command()
@click.argument("ids", nargs=-1, type=int, required=True, metavar="ID...")
@_DATA
@_JSON
def drop(ids: tuple[int, ...], data: Path | None, as_json: bool) -> None:
    """Give announcements up. The devices keep their certificates; the log keeps that you did this.

    \b
    Example:
      ownroot registration drop 17
    """
    from ownroot.bootstrap.registration_front import drop_announcements

    number = drop_announcements(data, ids, now=utc_now())
    _say(as_json, {"dropped": number}, f"{counted(number, 'announcement')} will not be sent.")


@journal.command()
@click.argument("target")
@_DATA
@_JSON
def replay(target: str, data: Path | None, as_json: bool) -> None:
    """Announce every device anew to one TARGET: backend, webhook, or a hook as the queue names it.

    \b
    Example:
      ownroot registration replay webhook
    """
    from ownroot.bootstrap.registration_front import replay_announcements

    number = replay_announcements(data, target, now=utc_now())
    _say(as_json, {"queued": number}, f"{counted(number, 'device')} will be announced to {target}.")


@journal.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="From this time on (UTC).")
@_DATA
@_JSON
def export(since: datetime | None, data: Path | None, as_json: bool) -> None:
    """Print the log as CSV: every request that was understood, the decision, the certificate, the station.

    \b
    Example:
      ownroot registration export --since 2026-11-01 > november.csv
    """
    from ownroot.bootstrap.registration_front import read_log

    columns, rows = read_log(data, since=None if since is None else since.replace(tzinfo=UTC))
    if as_json:
        Output(as_json=True).document([dict(zip(columns, row, strict=True)) for row in rows])
        return
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


@journal.group(cls=OrderedGroup)
def token() -> None:
    """Tokens of the stations that may register devices (`ownroot serve registration --require-token`).

    \b
    Example:
      ownroot registration token add station-7
    """


@token.command("add", epilog="\b\nExample:\n  ownroot registration token add station-1 --data /var/lib/site\n")
@click.argument("name")
@_DATA
@_JSON
def add_token(name: str, data: Path | None, as_json: bool) -> None:
    """Make a token for the station NAME; it is printed once."""
    from ownroot.bootstrap.registration_front import add_station_token

    made = add_station_token(data, name, now=utc_now())
    _say(as_json, {"name": name, "token": made}, made)


@token.command("list", epilog="\b\nExample:\n  ownroot registration token list --data /var/lib/site\n")
@_DATA
@_JSON
def list_tokens(data: Path | None, as_json: bool) -> None:
    """List the stations that have a token."""
    from ownroot.bootstrap.registration_front import list_station_tokens

    tokens = list_station_tokens(data)
    output = Output(as_json=as_json)
    if as_json:
        output.document([{"name": each.name, "made-at": each.made_at} for each in tokens])
    for each in tokens:
        output.line(f"{each.name:<32} {each.made_at}")


@token.command("remove", epilog="\b\nExample:\n  ownroot registration token remove station-1 --data /var/lib/site\n")
@click.argument("name")
@_DATA
@_JSON
def remove_token(name: str, data: Path | None, as_json: bool) -> None:
    """Take the token of the station NAME out of use, at once."""
    from ownroot.bootstrap.registration_front import remove_station_token

    remove_station_token(data, name)
    _say(as_json, {"removed": name}, f"The token of {name} is out of use.")


def _say(as_json: bool, document: dict[str, object], line: str) -> None:
    output = Output(as_json=as_json)
    if as_json:
        output.document(document)
    output.line(line)


def _target_document(target: "TargetView") -> dict[str, object]:
    return {
        "name": target.name,
        "waiting": target.waiting,
        "dead": target.dead,
        "done": target.done,
        "resumes-at": _time(target.resumes_at) if target.fault else None,
        "attempts": target.attempts,
        "fault": target.fault,
        "is-alarm": bool(target.is_alarm),
    }


def _entry_document(entry: "Entry") -> dict[str, object]:
    return {
        "id": entry.id,
        "target": entry.target,
        "uuid": entry.uuid,
        "serial": entry.serial,
        "state": entry.state,
        "attempts": entry.attempts,
        "due-at": _time(entry.due_at) if entry.due_at else None,
        "made-at": _time(entry.made_at),
        "fault": entry.fault,
    }


def _target_line(target: "TargetView") -> str:
    line = f"{target.name}: {target.waiting} waiting, {target.dead} dead, {target.done} done"
    if not target.fault:
        return line
    needs = "; this needs you" if target.is_alarm else ""
    return f"{line}; down, next try {_time(target.resumes_at)}{needs}: {target.fault}"


def _entry_line(entry: "Entry") -> str:
    history = f"since {_time(entry.made_at)}, {entry.attempts} tries"
    fault = entry.fault + _remedy(entry)
    return f"{entry.id:>6} {entry.state:<8} {entry.target} {entry.uuid} {history} {fault}".rstrip()


def _remedy(entry: "Entry") -> str:
    """The backend never takes another key by itself: its owner has to say that the board has one on purpose."""
    if (entry.target, entry.state) != ("backend", "dead") or not entry.fault.startswith("HTTP 409"):
        return ""
    return (
        " If the board has another key on purpose, the factory's owner runs `ownroot devices delete NAME` and "
        f"`ownroot devices delete-denied {entry.uuid}`; then: `ownroot registration retry {entry.id}`"
    )


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
