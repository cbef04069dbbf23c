"""What a refresh means for this device: the newest target for it, and whether that is what it runs."""

from typing import Any

from ownroot.device.identity import DeviceIdentity
from ownroot.device.update_check import Beginning, Refreshed
from ownroot.errors import InvalidInputError
from ownroot.tuf.device_rules import Verified
from ownroot.tuf.metadata import Role, format_time
from ownroot.tuf.offers import Offer, newest_offer

UP_TO_DATE, AVAILABLE, NOTHING = "up-to-date", "update-available", "no-target"


def report_update(done: Refreshed, identity: DeviceIdentity, installed: str | None) -> dict[str, Any]:
    """Return the report, ready for JSON.

    Args:
        installed: name of the target that this device runs; None if nobody said so.
    Raises:
        InvalidInputError: `device-settings`, `sota.toml` does not say what hardware this is.
    """
    if not identity.hardware_id:
        raise InvalidInputError(
            "device-settings",
            "sota.toml has no `primary_ecu_hardware_id` in section [provision], so no target can be said to be for it.",
        )
    trust = done.trust
    tags = [tag.strip() for tag in (identity.tags or "").split(",")]
    body = None if trust.targets is None else trust.targets.body
    offer = newest_offer(body, tags=tags, hardware_id=identity.hardware_id)
    return {
        "status": _status(offer, installed),
        "installed": installed,
        "target": None if offer is None else {"name": offer.name, "version": offer.version, **offer.entry},
        "tags": tags,
        "hardware-id": identity.hardware_id,
        "trust": done.beginning.value,
        "root": {"version": trust.root.version, "expires": format_time(trust.root.expires)},
        **_versions((Role.TIMESTAMP, trust.timestamp), (Role.SNAPSHOT, trust.snapshot), (Role.TARGETS, trust.targets)),
    }


def describe(report: dict[str, Any]) -> list[str]:
    """Say a report in words."""
    target, installed = report["target"], report["installed"]
    whom = f"{report['hardware-id']}, tag {', '.join(report['tags'])}"
    match report["status"]:
        case "up-to-date":
            lines = [f"Up to date: {installed} is the newest target for {whom}."]
        case "update-available":
            lines = [f"Update available: {target['name']} (version {target['version']}) for {whom}."]
            lines.append(f"This device runs {installed}." if installed else "What runs now is not known (--installed).")
        case _:
            lines = [f"No target is published for {whom}."]
    root = report["root"]
    lines.append(f"Verified by root {root['version']}, which ends on {root['expires'][:10]}.")
    if report["trust"] == Beginning.FIRST_USE.value:
        lines.append("This device was made without a root, so it has believed root 1 of its gateway, this once.")
    return lines


def _status(offer: Offer | None, installed: str | None) -> str:
    if offer is None:
        return NOTHING
    return UP_TO_DATE if offer.name == installed else AVAILABLE


def _versions(*documents: tuple[Role, Verified | None]) -> dict[str, Any]:
    return {
        role.value: {"version": found.version, "expires": format_time(found.expires)}
        for role, found in documents
        if found is not None
    }
