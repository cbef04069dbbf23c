"""What a device fetches, and what it may change itself (protocol: gateway.md §6.3-6.5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.errors import ConflictError, NotFoundError, RefusedError
from ownroot.fleet.config_files import MAX_REASON_CHARS, ConfigFile, check_files, keep_handlers, put_files
from ownroot.fleet.config_merge import delivered_alone, merge_scopes
from ownroot.pki.encoding import parse_ec_public_key, spki_sha256
from ownroot.services.config_store import (
    Authorship,
    keys_above,
    put_device_config,
    read_own_files,
    read_shared_files,
    times_of,
)
from ownroot.services.config_values import device_public_key, require_readable_by
from ownroot.services.config_vault import ConfigVault
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device

DEVICE_FILES = frozenset({"fio-remote-actions", "wireguard-client"})
"""Files a device may make in its own configuration; others it may only put in place of what the owner made."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The files a device is to have, and their time; `config_time` 0 = nothing was ever configured."""

    files: tuple[ConfigFile, ...]
    config_time: int


@dataclass(frozen=True, slots=True)
class DevicePatch:
    """What a device sends. `public_key`: PEM of the key its values are encrypted to, empty outside a rotation."""

    files: tuple[ConfigFile, ...]
    reason: str = ""
    public_key: str = ""


def read_delivery(uow: UnitOfWork, vault: ConfigVault, device: Device) -> Delivery:
    """Read what a device gets, all scopes merged, in one transaction with its time.

    Raises:
        NotFoundError: `device-unknown`: deleted meanwhile.
        KeyStoreError: `config-unreadable`.
    """
    stored = _find(uow, device)
    factory, group = keys_above(stored)
    files = merge_scopes(
        read_shared_files(uow, vault, factory), read_shared_files(uow, vault, group), read_own_files(uow, vault, stored)
    )
    return Delivery(files, times_of(uow, stored).effective)


def read_own_delivery(uow: UnitOfWork, vault: ConfigVault, device: Device) -> tuple[ConfigFile, ...]:
    """Return a device's own files as it is to read them; raises as `read_delivery`."""
    return delivered_alone(read_own_files(uow, vault, _find(uow, device)))


def patch_own_config(uow: UnitOfWork, vault: ConfigVault, device: Device, patch: DevicePatch, *, now: datetime) -> None:
    """Store what a device sends of its own files. Sent again, it changes nothing.

    Raises:
        ConflictError: `rotation-key-differs`: encrypted to another key than the one it announced.
        RefusedError: `config-file-not-yours`.
        InvalidInputError: as `check_files`; `config-value-plain`, the `pem-` codes.
    """
    stored = _find(uow, device)
    key = _require_next_key(stored, patch.public_key) if patch.public_key else device_public_key(stored)
    current = read_own_files(uow, vault, stored)
    _require_own(current, patch)
    require_readable_by(key, patch.files)
    check_files(patch.files, is_plain=False)
    files = put_files(current, keep_handlers(current, patch.files))
    if files == tuple(current):
        return
    check_files(files, is_plain=False)
    actor = device_actor(stored.uuid)
    reason = patch.reason[:MAX_REASON_CHARS]
    put_device_config(uow, vault, stored, files, Authorship(actor, reason, now))
    details = {"scope": "device", "files": ",".join(file.name for file in patch.files)[:1024], "reason": reason}
    uow.audit.append(AuditEvent(stored.factory_id, now, actor, EventKind.CONFIG_CHANGED, stored.uuid, details))


def _find(uow: UnitOfWork, device: Device) -> Device:
    stored = uow.devices.find(device.factory_id, device.uuid)
    if stored is None or stored.spki_sha256 != device.spki_sha256:
        raise NotFoundError("device-unknown", f"There is no device {device.uuid} with this key any more.")
    return stored


def _require_next_key(device: Device, public_key: str) -> ec.EllipticCurvePublicKey:
    key = parse_ec_public_key(public_key)
    if spki_sha256(key) != device.next_spki_sha256:
        raise ConflictError(
            "rotation-key-differs",
            "These values are encrypted to another key than the one this device announced (PATCH /device).",
        )
    return key


def _require_own(current: Sequence[ConfigFile], patch: DevicePatch) -> None:
    allowed = DEVICE_FILES.union(file.name for file in current)
    foreign = [file.name for file in patch.files if file.name not in allowed]
    if foreign:
        raise RefusedError(
            "config-file-not-yours",
            f"A device changes the files of its own configuration and {', '.join(sorted(DEVICE_FILES))}; "
            f"{foreign[0][:80]!r} is neither.",
        )
