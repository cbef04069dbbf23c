"""The terminal side of `import`: plan, ask, move the PKI, pin the devices, say what became of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ownroot.cli.fleet_list import parse_fleet_list
from ownroot.cli.hsm import HsmKeys
from ownroot.cli.moving_in import MovingIn, MovingPlan
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.cli.progress import Progress, progress_bar
from ownroot.cli.root_key import open_root
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.exit_codes import ExitCode
from ownroot.console.output import Output
from ownroot.console.text import counted
from ownroot.errors import InvalidInputError
from ownroot.pki.serials import serial_text
from ownroot.wire.fleet_import import MAX_DEVICES, ImportForm, ImportResult

# A million devices with their certificates.
_MAX_BYTES = 2 << 30
_REFUSED = "refused"
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Import:
    """What is to move, and how."""

    directory: Path
    fleet: Path
    hsm: HsmKeys | None
    backdate: timedelta
    dry_run: bool
    assume_yes: bool


def run_import(target: Target, order: Import, *, as_json: bool) -> ExitCode:
    """Move the fleet; returns CONFLICT if a device of the list was refused.

    Raises:
        InvalidInputError: the list (codes of `parse_fleet_list`, `fleet-list-unreadable`).
        OwnrootError: the directory, the server or the owner said no; devices pinned before stay pinned.
    """
    access, output = target.access(), Output(as_json=as_json)
    devices = parse_fleet_list(_read(order.fleet))
    directory = PkiDirectory(order.directory, order.hsm, backdate=order.backdate)
    with Api(access) as api:
        moving = MovingIn(api, directory, open_root=lambda: open_root(directory), now=utc_now(), say=output.note)
        plan = moving.plan(access.factory)
        _tell(plan, len(devices), access.factory, output)
        results: Sequence[ImportResult] = ()
        if not order.dry_run:
            output.confirm(f"Move this into factory {access.factory} now?", assume_yes=order.assume_yes)
            moving.carry_out(plan)
            with progress_bar(as_json=as_json) as progress:
                results = _pin(api, devices, progress)
    _report(plan, devices, results, order, output)
    return ExitCode.CONFLICT if any(result.outcome == _REFUSED for result in results) else ExitCode.OK


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise InvalidInputError("fleet-list-unreadable", f"{path} cannot be read: {exc.strerror}.") from exc
    if len(content) > _MAX_BYTES:
        raise InvalidInputError("fleet-list-unreadable", f"{path} is larger than 2 GiB; split it.")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInputError("fleet-list-unreadable", f"{path} is no UTF-8 text.") from exc


def _pin(api: Api, devices: Sequence[ImportForm], progress: Progress) -> list[ImportResult]:
    missing = {device.group for device in devices if device.group} - {g.name for g in api.device_groups().groups}
    for group in sorted(missing):
        api.create_device_group(group)
    results: list[ImportResult] = []
    for start in range(0, len(devices), MAX_DEVICES):
        results += api.import_devices(devices[start : start + MAX_DEVICES])
        progress("devices", len(results), len(devices))
    return results


def _tell(plan: MovingPlan, devices: int, factory: str, output: Output) -> None:
    if plan.takes_over:
        output.note(f"Factory {factory} gets the root with serial {serial_text(plan.root.serial_number)} for good.")
    for cas, words in (
        (plan.local, "comes along"),
        (plan.foreign, "comes along disabled: its devices go on, it admits no new ones"),
        (plan.expired, "has ended and stays behind"),
    ):
        for ca in cas:
            output.note(f"Device CA {ca.subject.rfc4514_string()} (serial {serial_text(ca.serial_number)}) {words}.")
    output.note(f"The list has {counted(devices, 'device')}.")


def _report(
    plan: MovingPlan,
    devices: Sequence[ImportForm],
    results: Sequence[ImportResult],
    order: Import,
    output: Output,
) -> None:
    counts = Counter(result.outcome for result in results)
    refused = [result for result in results if result.outcome == _REFUSED]
    if output.as_json:
        output.document(
            {
                "dry-run": order.dry_run,
                "takes-over": plan.takes_over,
                "device-cas": [serial_text(ca.serial_number) for ca in plan.local],
                "disabled-device-cas": [serial_text(ca.serial_number) for ca in plan.foreign],
                "expired-device-cas": [serial_text(ca.serial_number) for ca in plan.expired],
                "devices": len(devices),
                "pinned": counts["pinned"],
                "known": counts["known"],
                "refused": refused,
            }
        )
        return
    if order.dry_run:
        output.line("Nothing was changed.")
        return
    output.line(
        f"{counted(counts['pinned'], 'device')} pinned, {counts['known']} known already, {len(refused)} refused."
    )
    for result in refused[:_SHOWN]:
        output.line(f"  {result.uuid}: {result.detail} [{result.code}]")
    if len(refused) > _SHOWN:
        output.line(f"  and {len(refused) - _SHOWN} more; --json lists all of them.")
    output.line("Next: let the name that the devices know lead to this gateway, then watch: ownroot devices list")
