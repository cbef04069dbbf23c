"""Devices as stored, in the shape of the wire (protocol: api.md §5)."""

from typing import Any, Final

import msgspec

from ownroot.pki.encoding import spki_pem
from ownroot.pki.serials import serial_text
from ownroot.services.change_config import StoredConfig
from ownroot.services.records import DeniedDevice, Device, DeviceGroup, Factory
from ownroot.services.report_ports import DocumentKind, UpdateState
from ownroot.services.view_reports import DeviceReports
from ownroot.wire.certs import ChangeMeta
from ownroot.wire.config import ConfigObject, file_forms
from ownroot.wire.devices import DeviceObject, GroupObject, NetworkInfo, NextKeyObject, SuspicionObject, wire_time
from ownroot.wire.documents import read_object

_STATUSES: Final = {UpdateState.RUNNING: "Updating", UpdateState.COMPLETED: "OK", UpdateState.FAILED: "Update failed"}


def listed_device_object(device: Device, factory: Factory) -> DeviceObject:
    """Show a device as listings do: its group by name."""
    return msgspec.structs.replace(
        device_object(device, factory), device_group=device.group.name if device.group else None
    )


def group_object(group: DeviceGroup) -> GroupObject:
    """Show a device group."""
    return GroupObject(
        id=group.id,
        name=group.name,
        description=group.description,
        change_meta=ChangeMeta(
            created_by=group.created_by,
            created_at=wire_time(group.created_at) or "",
            updated_by=group.updated_by,
            updated_at=wire_time(group.updated_at) or "",
        ),
    )


def device_object(device: Device, factory: Factory, group: DeviceGroup | None = None) -> DeviceObject:
    """Show a device with everything we know of it; what we do not know is null."""
    created = wire_time(device.created_at) or ""
    return DeviceObject(
        uuid=device.uuid,
        factory=factory.name,
        name=device.name,
        owner=device.owner,
        group=None if group is None else group_object(group),
        last_seen=wire_time(device.last_seen),
        ostree_hash=device.ostree_hash,
        target_name=device.target_name,
        is_prod=device.production,
        is_wave=False,
        public_key=spki_pem(device.spki_der),
        docker_apps=tuple(device.docker_apps.split(",")) if device.docker_apps else (),
        tag=device.tags,
        secondary_ecus=(),
        next_key=_next_key(device),
        suspicion=_suspicion(device),
        ca_serial=serial_text(device.issuer_serial),
        certificate_ends=wire_time(device.not_after),
        change_meta=ChangeMeta(created_by=device.owner, created_at=created),
    )


def with_reports(device: DeviceObject, reports: DeviceReports) -> DeviceObject:
    """Add what the device said about itself; texts of a member that is none are left out."""
    documents, ota = reports.documents, reports.last_ota
    hardware, network = documents.get(DocumentKind.HARDWARE), documents.get(DocumentKind.NETWORK)
    settings = documents.get(DocumentKind.SETTINGS)
    return msgspec.structs.replace(
        device,
        status=None if ota is None else _STATUSES[ota.state],
        current_update=ota.correlation_id if ota is not None and ota.state is UpdateState.RUNNING else None,
        up_to_date=None if ota is None else ota.state is UpdateState.COMPLETED,
        network_info=None if network is None else _network_info(network.body),
        hardware_info=None if hardware is None else _hardware_info(hardware.body),
        aktualizr_toml=None if settings is None else settings.body.decode("utf-8", "replace"),
        apps_state=None if reports.apps_state is None else read_object(reports.apps_state.body),
    )


def _network_info(body: bytes) -> NetworkInfo:
    said = read_object(body)
    texts = {name: said.get(name) for name in ("hostname", "local_ipv4", "mac")}
    return NetworkInfo(**{name: text for name, text in texts.items() if isinstance(text, str)})


def _hardware_info(body: bytes) -> dict[str, Any] | list[Any] | None:
    said = msgspec.json.decode(body)
    return said if isinstance(said, dict | list) else None


def config_object(stored: StoredConfig) -> ConfigObject:
    """Show one entry of a configuration's history."""
    change = stored.change
    return ConfigObject(
        created_at=wire_time(change.created_at) or "",
        applied_at=wire_time(change.applied_at),
        created_by=change.by,
        reason=change.reason,
        files=file_forms(stored.files),
    )


def _next_key(device: Device) -> NextKeyObject | None:
    if device.next_spki_sha256 is None or device.next_key_at is None:
        return None
    announced_at = wire_time(device.next_key_at) or ""
    return NextKeyObject(key_sha256=device.next_spki_sha256.hex(), announced_at=announced_at)


def _suspicion(device: Device) -> SuspicionObject | None:
    known = device.suspicion
    if known is None:
        return None
    quarantined_at = wire_time(known.quarantined_at)
    since = wire_time(known.since) or ""
    return SuspicionObject(sign=known.sign.value, detail=known.detail, since=since, quarantined_at=quarantined_at)


def denied_object(denied: DeniedDevice, factory: Factory) -> DeviceObject:
    """Show an entry of the deny list; clients need its uuid, name, owner and factory."""
    denied_at = wire_time(denied.denied_at) or ""
    return DeviceObject(
        uuid=denied.uuid,
        factory=factory.name,
        name=denied.name,
        owner=denied.owner,
        change_meta=ChangeMeta(updated_by=denied.denied_by, updated_at=denied_at),
    )
