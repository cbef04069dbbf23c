"""The terminal side of `forecast`: ask the server, put it into one table, print."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from ownroot.cli.forecast_table import Line, lines_of
from ownroot.cli.options import Target
from ownroot.cli.pki_view import PkiView, view_pki
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output, console
from ownroot.console.text import printable
from ownroot.errors import NotFoundError
from ownroot.wire.forecast import ForecastObject

_HEADINGS = ("ACT UNTIL", "LEFT", "ENDS", "WHAT", "")
_NARROW = 3  # days and weeks: never broken over lines
_NOTHING = "-"


def show_forecast(target: Target, *, weeks: int, as_json: bool) -> None:
    """Print a factory's forecast.

    Raises:
        NotFoundError: `forecast-not-offered`: the server does not make one.
        OwnrootError: it cannot be asked.
    """
    access = target.access()
    with Api(access) as api:
        view, found = view_pki(api.certs(), utc_now()), api.forecast(weeks=weeks)
    if found is None:
        raise NotFoundError("forecast-not-offered", "This server makes no forecast; it is an older or another one.")
    output = Output(as_json=as_json)
    if as_json:
        output.document(_document(view, found))
    else:
        _draw(lines_of(view, found), found, output)


def _document(view: PkiView, found: ForecastObject) -> dict[str, Any]:
    """The server's answer, and with it the ends that are read from certificates."""
    certificates = [
        {
            "kind": entry.kind,
            "serial": entry.serial,
            "standing": entry.standing,
            "not-after": entry.certificate.not_valid_after_utc.isoformat(),
            "last-safe-day": entry.last_safe_day.isoformat(),
        }
        for entry in view.entries
    ]
    return {**msgspec.to_builtins(found), "certificates": certificates}


def _draw(lines: Sequence[Line], found: ForecastObject, output: Output) -> None:
    from rich.table import Table

    today = date.fromisoformat(found.now[:10])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, no_wrap=number < _NARROW, overflow="fold")
    rows = [_row(line, today) for line in lines]
    if _width(rows) > console().width:
        rows = [_row(line.shortened(), today) for line in lines]
    for line, row in zip(lines, rows, strict=True):
        is_late = line.last_safe_day is not None and line.last_safe_day < today
        table.add_row(*row, style="bold red" if is_late else None)
    if table.row_count:
        output.draw(table)
    else:
        output.line(f"Factory {found.factory}: nothing ends.")


def _row(line: Line, today: date) -> tuple[str, ...]:
    day = line.last_safe_day
    cells = (_NOTHING if day is None else day.isoformat(), line.left(today), line.ends or _NOTHING)
    return tuple(map(printable, (*cells, line.what, line.remark)))


def _width(rows: Sequence[tuple[str, ...]]) -> int:
    """Return how wide the rows are beside one another."""
    return sum(max(map(len, column)) + 1 for column in zip(*rows, _HEADINGS, strict=True))
