"""The terminal side of `devices list` and `devices show`."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from ownroot.cli.devices_standing_run import worded
from ownroot.cli.devices_table import columns, fitting, table
from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.client.device_query import DeviceQuery
from ownroot.clock import utc_now
from ownroot.console.output import Output, console
from ownroot.console.text import one_line
from ownroot.errors import NotFoundError, RefusedError
from ownroot.wire.devices import DeviceList, DeviceObject

_NOTHING = "-"


class Presence(StrEnum):
    """Whether a device has checked in lately."""

    ONLINE = "online"
    OFFLINE = "offline"
    NEVER = "never seen"


def show_list(target: Target, query: DeviceQuery, *, offline_after_hours: int, as_json: bool) -> None:
    """Fetch and show one page.

    Raises:
        NotFoundError: `device-group-unknown`: nothing is found, and there is no such group.
    """
    access, output = target.access(needs_factory=False), Output(as_json=as_json)
    with Api(access) as api:
        page = api.devices(query)
        if query.group is not None and page.total == 0 and access.factory and not as_json:
            _require_group(api, query.group)
        owners = _names_of_users(api) if page.devices and access.factory and not as_json else {}
    if as_json:
        output.document(page)
        return
    if page.devices:
        _draw(output, page, owners, timedelta(hours=offline_after_hours))
    output.note(_summary(page, query))


def show_one(target: Target, name: str, *, by_uuid: bool, as_json: bool) -> None:
    """Fetch and show one device."""
    with Api(target.access()) as api:
        device = api.device(name, by_uuid=by_uuid)
        owners = {} if as_json else _names_of_users(api)
    output = Output(as_json=as_json)
    if as_json:
        output.document(device)
        return
    for label, value in _facts(device, owners).items():
        if value not in (None, "", ()):
            output.line(f"{label + ':':18}{one_line(str(value))}")
    if device.public_key:
        output.line(device.public_key.rstrip("\n"))


def presence(device: DeviceObject, *, now: datetime, offline_after: timedelta) -> Presence:
    """Judge by the last check-in; a time we cannot read counts as never."""
    if (seen := _parse_time(device.last_seen)) is None:
        return Presence.NEVER
    return Presence.OFFLINE if now - seen > offline_after else Presence.ONLINE


def standing(device: DeviceObject, seen: Presence) -> str:
    """Whether it is there, unless there is worse to tell."""
    if device.suspicion is None:
        return seen
    return "quarantined" if device.suspicion.quarantined_at else f"{seen}, copied?"


def app_states(report: dict[str, Any]) -> str:
    """Say in one line which app of a report is in which state; what is no report says nothing."""
    apps = report.get("apps")
    if not isinstance(apps, dict):
        return ""
    return ", ".join(f"{name} {app.get('state')}" for name, app in apps.items() if isinstance(app, dict))


def _draw(output: Output, page: DeviceList, owners: Mapping[str, str], offline_after: timedelta) -> None:
    now = utc_now()
    every = columns(
        standing=lambda device: standing(device, presence(device, now=now, offline_after=offline_after)),
        last_seen=lambda device: _ago(_parse_time(device.last_seen), now),
        owners=owners,
        with_factory=len({device.factory for device in page.devices}) > 1,
    )
    kept = fitting(every, page.devices, console().width)
    output.draw(table(kept, page.devices))
    if missing := [column.heading for column in every if column not in kept]:
        output.note(f"Not shown at this width: {', '.join(missing)}. --json has everything.")


def _names_of_users(api: Api) -> Mapping[str, str]:
    """Names by polis-id; without leave to list users a table shows the ids."""
    try:
        return {user.polis_id: user.name for user in api.users()}
    except RefusedError:
        return {}


def _require_group(api: Api, name: str) -> None:
    """Tell a group that is empty from one that is misspelt; without leave to list groups nobody can."""
    with suppress(RefusedError):
        if all(group.name != name for group in api.device_groups().groups):
            raise NotFoundError("device-group-unknown", f"The factory has no device group {name!r}.")


def _parse_time(text: str | None) -> datetime | None:
    try:
        seen = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return seen if seen.tzinfo else seen.replace(tzinfo=UTC)


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
    if not page.total:
        narrowed = _narrowed(query)
        return f"No device matches: {', '.join(narrowed)}." if narrowed else "No devices."
    if not page.devices:
        return f"No devices on page {query.page}; there are {page.total}."
    text = f"{len(page.devices)} of {page.total} devices." if page.total != 1 else "1 device."
    return f"{text} Next page: add -p{query.page + 1}" if page.next else text


def _narrowed(query: DeviceQuery) -> tuple[str, ...]:
    """Say what a listing was narrowed to."""
    texts = {
        "name": query.name,
        "group": query.group,
        "tag": query.match_tag,
        "target": query.target_name,
        "CA serial": query.ca_serial,
        "uuid": query.uuid,
    }
    switches = {"yours": query.mine, "production": query.prod, "test": query.prod is False, "copied?": query.suspected}
    said = (f"{word} {text!r}" for word, text in texts.items() if text is not None)
    return (*said, *(word for word, is_on in switches.items() if is_on))


def _facts(device: DeviceObject, owners: Mapping[str, str]) -> dict[str, object]:
    group = device.group.name if device.group else device.device_group
    return {
        "Name": device.name,
        "UUID": device.uuid,
        "Factory": device.factory,
        "Owner": _named(device.owner, owners),
        "CA serial": device.ca_serial,
        "Certificate ends": device.certificate_ends,
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
        "Key copied?": worded(device.suspicion) if device.suspicion else None,
        "Host name": device.network_info.hostname if device.network_info else None,
        "Local address": device.network_info.local_ipv4 if device.network_info else None,
        "Made at": device.change_meta.created_at if device.change_meta else None,
        "Made by": _named(device.change_meta.created_by, owners) if device.change_meta else None,
    }


def _named(polis_id: str | None, users: Mapping[str, str]) -> str | None:
    """Return name and id: `devices chown` wants the id."""
    name = users.get(polis_id or "")
    return polis_id if name is None else f"{name} ({polis_id})"
