"""Shapes of devices as the API shows them (protocol: api.md §5).

Clients of the field fail as a whole on one member of a wrong type, and take `null` for absent everywhere; so a member
we have no value for is sent as null rather than guessed.
"""

from datetime import datetime
from typing import Any

import msgspec

from ownroot.wire.certs import ChangeMeta
from ownroot.wire.config import ConfigObject
from ownroot.wire.documents import read_document


class GroupObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A device group."""

    id: int
    name: str
    description: str = ""
    change_meta: ChangeMeta = ChangeMeta()


class GroupList(msgspec.Struct, frozen=True, kw_only=True):
    """All device groups of a factory."""

    groups: tuple[GroupObject, ...]


class GroupForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A group to make, or what to change of one: absent members stay as they are."""

    name: str | None = None
    description: str | None = None


class DeviceForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to change of a device: absent members stay as they are, an empty group takes it out of its group."""

    name: str | None = None
    owner: str | None = None
    group: str | None = None


class NetworkInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a device reported of its network; spelled with underscores on the wire."""

    hostname: str | None = None
    local_ipv4: str | None = None
    mac: str | None = None


class SecondaryEcu(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A second controller updated by the device."""

    serial: str
    target_name: str | None = None
    hardware_id: str | None = None


class NextKeyObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A rotation under way: the hash of the key a device announced (SHA-256 of the SubjectPublicKeyInfo), and when.

    Its configuration is locked since. The member is ours.
    """

    key_sha256: str
    announced_at: str


class SuspicionObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A device whose key may be copied: what told so (`two-networks`, `old-key`, `owner`), the evidence, since when.

    `quarantined_at` is null while the device is let in all the same. The member is ours.
    """

    sign: str
    detail: str
    since: str
    quarantined_at: str | None = None


class DeviceObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One device. Follow-up requests take `uuid` and `factory` from it, so both are always there.

    `owner` is a user's polis-id, `last_seen` RFC 3339 with its zone, `public_key` PEM. `device_group` is the name in
    listings, `group` the whole object in the reply for a single device. `ca_serial` is ours: the decimal serial of the
    device CA that signed its certificate. So is `certificate_ends`: RFC 3339, null if that certificate was never shown.
    """

    uuid: str
    factory: str
    name: str | None = None
    owner: str | None = None
    device_group: str | None = None
    group: GroupObject | None = None
    last_seen: str | None = None
    ostree_hash: str | None = None
    target_name: str | None = None
    status: str | None = None
    current_update: str | None = None
    up_to_date: bool | None = None
    is_prod: bool | None = None
    is_wave: bool | None = None
    public_key: str | None = None
    docker_apps: tuple[str, ...] | None = None
    tag: str | None = None
    lmp_ver: str | None = None
    network_info: NetworkInfo | None = None
    hardware_info: dict[str, Any] | list[Any] | None = None
    aktualizr_toml: str | None = None
    active_config: ConfigObject | None = None
    secondary_ecus: tuple[SecondaryEcu, ...] | None = None
    apps_state: dict[str, Any] | None = None
    next_key: NextKeyObject | None = None
    suspicion: SuspicionObject | None = None
    ca_serial: str | None = None
    certificate_ends: str | None = None
    change_meta: ChangeMeta | None = None


class DeviceList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of devices, or of denied devices. `total` counts all pages; `next` is an absolute URL or null."""

    devices: tuple[DeviceObject, ...]
    total: int
    next: str | None = None


def parse_device(body: bytes) -> DeviceObject:
    """Read the reply for one device. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, DeviceObject)


def parse_device_list(body: bytes) -> DeviceList:
    """Read one page of a listing. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, DeviceList)


def wire_time(moment: datetime | None) -> str | None:
    """Return an aware UTC time in RFC 3339 with the zone spelled out, as clients of the field parse it."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")
