"""The terminal side of `devices list` and `devices show`."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ownroot.cli.options import Target
from ownroot.client.api import Api, DeviceQuery
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.console.text import one_line
from ownroot.wire.devices import DeviceList, DeviceObject

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_NOTHING = "-"


class Presence(StrEnum):
    """Whether a device has checked in lately."""

    ONLINE = "online"
    OFFLINE = "offline"
    NEVER = "never seen"


def show_list(target: Target, query: DeviceQuery, *, offline_after_hours: int, as_json: bool) -> None:
    """Fetch and show one page."""
    with Api(target.access()) as api:
        page = api.devices(query)
    output = Output(as_json=as_json)
    if as_json:
        output.document(page)
        return
    if page.devices:
        output.draw(_table(page, now=utc_now(), offline_after=timedelta(hours=offline_after_hours)))
    output.note(_summary(page, query))


def show_one(target: Target, name: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show one device."""
    with Api(target.access()) as api:
        device = api.device(name, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(device)
        return
    for label, value in _facts(device).items():
        if value not in (None, "", ()):
            output.line(f"{label + ':':18}{one_line(str(value))}")
    if device.public_key:
        output.line(device.public_key.rstrip("\n"))


def presence(device: DeviceObject, *, now: datetime, offline_after: timedelta) -> Presence:
    """Judge by the last check-in; a time we cannot read counts as never."""
    if (seen := _parse_time(device.last_seen)) is None:
        return Presence.NEVER
    return Presence.OFFLINE if now - seen > offline_after else Presence.ONLINE


def app_states(report: dict[str, Any]) -> str:
    """Say in one line which app of a report is in which state; what is no report says nothing."""
    apps = report.get("apps")
    if not isinstance(apps, dict):
        return ""
    return ", ".join(f"{name} {app.get('state')}" for name, app in apps.items() if isinstance(app, dict))


def _parse_time(text: str | None) -> datetime | None:
    try:
        seen = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return seen if seen.tzinfo else seen.replace(tzinfo=UTC)


def _table(page: DeviceList, *, now: datetime, offline_after: timedelta) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("NAME", "UUID", "STATUS", "LAST SEEN", "PROD", "GROUP", "TAG", "TARGET"):
        table.add_column(heading, overflow="fold")
    for device in page.devices:
        state = presence(device, now=now, offline_after=offline_after)
        table.add_row(
            _cell(device.name),
            _cell(device.uuid),
            _coloured(state),
            _ago(_parse_time(device.last_seen), now),
            "yes" if device.is_prod else "no",
            _cell(device.device_group),
            _cell(device.tag),
            _cell(device.target_name),
        )
    return table


def _cell(text: str | None) -> str:
    return one_line(text) if text else _NOTHING


def _coloured(state: Presence) -> "Text":
    from rich.text import Text

    return Text(state, style={Presence.ONLINE: "green", Presence.OFFLINE: "red"}.get(state, "dim"))


def _ago(seen: datetime | None, now: datetime) -> str:
    if seen is None:
        return _NOTHING
    seconds = max(0, int((now - seen).total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"{seconds} seconds ago" if seconds != 1 else "1 second ago"


def _summary(page: DeviceList, query: DeviceQuery) -> str:
    if not page.devices:
        return "No devices." if query.page == 1 else f"No devices on page {query.page}; there are {page.total}."
    text = f"{len(page.devices)} of {page.total} devices." if page.total != 1 else "1 device."
    return f"{text} Next page: add -p{query.page + 1}" if page.next else text


def _facts(device: DeviceObject) -> dict[str, object]:
    group = device.group.name if device.group else device.device_group
    return {
        "Name": device.name,
        "UUID": device.uuid,
        "Factory": device.factory,
        "Owner": device.owner,
        "Production": "yes" if device.is_prod else "no",
        "Group": group,
        "Last seen": device.last_seen or Presence.NEVER,
        "Status": device.status,
        "Current update": device.current_update,
        "Target": device.target_name,
        "Up to date": None if device.up_to_date is None else ("yes" if device.up_to_date else "no"),
        "OSTree hash": device.ostree_hash,
        "Tag": device.tag,
        "Apps": ", ".join(device.docker_apps or ()),
        "App states": app_states(device.apps_state or {}),
        "Next key since": device.next_key.announced_at if device.next_key else None,
        "Host name": device.network_info.hostname if device.network_info else None,
        "Local address": device.network_info.local_ipv4 if device.network_info else None,
        "Made at": device.change_meta.created_at if device.change_meta else None,
        "Made by": device.change_meta.created_by if device.change_meta else None,
    }
