"""The terminal side of `devices updates`, `apps-states` and `tests`.

Everything shown here was written by devices: in tables and lines, control characters and line breaks are escaped.
"""

import base64
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from ownroot.cli.devices_show import app_states
from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.console.output import Output
from ownroot.console.text import one_line, printable
from ownroot.errors import InvalidInputError
from ownroot.wire.device_reports import DeviceTestObject, EventObject

_NOTHING = "-"
_OUTCOMES = {True: "ok", False: "failed", None: _NOTHING}


def list_updates(target: Target, name: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show the updates of a device."""
    with Api(target.access()) as api:
        found = api.updates(name, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(found)
        return
    rows = ((one.correlation_id, one.status, one.target, one.version, one.time) for one in found.updates)
    _table(output, ("UPDATE", "STATUS", "TARGET", "VERSION", "STARTED"), rows)
    output.note(_count(found.total, "update"))


def show_events(target: Target, name: str, update: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show the events of one update."""
    with Api(target.access()) as api:
        events = api.update_events(name, update, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(events)
        return
    _table(output, ("DEVICE TIME", "EVENT", "RESULT", "DETAILS"), map(_event_row, events))


def show_apps_states(target: Target, name: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show what a device said of its apps."""
    with Api(target.access()) as api:
        found = api.apps_states(name, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(found)
        return
    rows = ((str(state.get("deviceTime", "")), app_states(state)) for state in found.apps_states)
    _table(output, ("DEVICE TIME", "APPS"), rows)
    output.note(_count(len(found.apps_states), "report"))


def list_tests(target: Target, name: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show the tests of a device."""
    with Api(target.access()) as api:
        found = api.device_tests(name, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(found)
        return
    rows = ((test.test_id, test.name, test.status, _time(test.created_on)) for test in found.tests)
    _table(output, ("TEST", "NAME", "STATUS", "STARTED"), rows)
    output.note(_count(found.total, "test"))


def show_test(target: Target, name: str, test_id: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show one test."""
    with Api(target.access()) as api:
        test = api.device_test(name, test_id, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(test)
        return
    for label, value in _facts(test):
        if value:
            output.line(f"{label + ':':12}{one_line(value)}")
    rows = ((result.name, result.status, result.details) for result in test.results)
    _table(output, ("RESULT", "STATUS", "DETAILS"), rows)


def fetch_artifact(
    target: Target, path: tuple[str, str, str], *, by_uuid: bool, file: Path | None, as_json: bool
) -> None:
    """Fetch an artifact and write it to a file, to a pipe, or made harmless to a terminal.

    Raises:
        InvalidInputError: `artifact-unwritable`; as the API's client.
    """
    device, test_id, name = path
    with Api(target.access()) as api:
        content = api.test_artifact(device, test_id, name, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if file is not None:
        _write(file, content)
        output.line(f"Wrote {len(content)} bytes to {file}.")
    if as_json:
        said = {"file": str(file)} if file else {"content": base64.b64encode(content).decode("ascii")}
        output.document({"name": name, "bytes": len(content), **said})
    elif file is None:
        shown = printable(content.decode("utf-8", "backslashreplace")) if sys.stdout.isatty() else content
        click.echo(shown, nl=False)


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as exc:
        raise InvalidInputError("artifact-unwritable", f"{file} cannot be written: {exc.strerror}.") from exc


def _event_row(event: EventObject) -> tuple[str, str, str, str]:
    told = event.event
    return event.device_time, event.event_type.id, _OUTCOMES[told.success], told.details


def _facts(test: DeviceTestObject) -> Sequence[tuple[str, str]]:
    return (
        ("Test", test.test_id),
        ("Name", test.name),
        ("Device", test.device_name),
        ("Target", test.target or ""),
        ("Status", test.status),
        ("Started", _time(test.created_on)),
        ("Ended", _time(test.completed_on)),
        ("Details", test.details),
        ("Artifacts", ", ".join(test.artifacts)),
    )


def _table(output: Output, headings: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(one_line(cell) if cell else _NOTHING for cell in row))
    if table.row_count:
        output.draw(table)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}."
