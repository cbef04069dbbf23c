"""Why a device cannot have the uuid, name or key it asks for, in words that tell its owner what to do.

Source: registration.md §8.
"""

from collections.abc import Mapping

from ownroot.errors import ConflictError, InvalidInputError
from ownroot.pki.names import parse_resource_name
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device, User


def uuid_taken(known: Device, owner: User | None) -> ConflictError:
    """Say who has the uuid and since when."""
    who = owner.name if owner else known.owner
    return ConflictError(
        "device-uuid-taken",
        f"Device uuid already in use: {known.uuid}. {who} registered it with another key on "
        f"{known.created_at:%Y-%m-%d %H:%M:%S} UTC. If this device replaces that one, delete that one first.",
        fields={"uuid": "in use"},
    )


def name_taken(name: str) -> ConflictError:
    """Say that the name belongs to another device."""
    return ConflictError("device-name-taken", f"Device name already in use: {name}", fields={"name": "in use"})


def require_no_uuid_of_another(uow: UnitOfWork, device: Device) -> None:
    """Refuse a name that is another device's uuid: it would be mistaken for that one in every path that takes either.

    Raises:
        ConflictError: `device-name-taken`.
    """
    if device.name != device.uuid and uow.devices.find(device.factory_id, device.name) is not None:
        raise name_taken(device.name)


def require_no_name_of_another(uow: UnitOfWork, device: Device) -> None:
    """Refuse a new device's uuid that is another device's name, for the same reason.

    Raises:
        ConflictError: `device-uuid-is-name`.
    """
    namesake = None if device.name == device.uuid else uow.devices.find_by_name(device.factory_id, device.uuid)
    if namesake is not None and namesake.uuid != device.uuid:
        raise ConflictError(
            "device-uuid-is-name",
            f"Device uuid already in use: {device.uuid} is the name of device {namesake.uuid}. Rename that one first.",
            fields={"uuid": "in use as a name"},
        )


def parse_device_name(text: str) -> str:
    """Check the name a request gives a device.

    Raises:
        InvalidInputError: `name-invalid`, with the member at fault.
    """
    try:
        return parse_resource_name(text)
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, exc.detail, fields={"name": exc.detail}) from exc


def denied(uuid: str) -> ConflictError:
    """Say that the device was deleted, and who can bring it back."""
    return ConflictError(
        "device-denied",
        f"Device {uuid} was deleted from this factory and is on its deny list. Register it through the API with a "
        "token that may create devices, or take it off the list first.",
        fields={"uuid": "denied"},
    )


def case_twin(uuid: str) -> ConflictError:
    """Say that the uuid differs from a known one only in the case of its letters."""
    return ConflictError(
        "device-uuid-case-twin",
        f"Device uuid already in use: {uuid} differs from a known device only in upper and lower case.",
        fields={"uuid": "in use"},
    )


def key_taken(uuid: str) -> ConflictError:
    """Say that another device is pinned to this key."""
    return ConflictError(
        "device-key-taken",
        f"The key of device {uuid} already belongs to another device. Every device makes a key of its own: "
        "was an image cloned after its first start?",
        fields={"csr": "key in use"},
    )


def superseded(uuid: str) -> ConflictError:
    """Say that the reservation went while the certificate was being signed."""
    return ConflictError(
        "registration-superseded",
        f"Device {uuid} was deleted while it was being registered, or its registration took too long. "
        "Nothing was issued.",
    )


def worded(error: ConflictError, *, uuid: str, name: str) -> ConflictError:
    """Put the store's verdict of a unique constraint into words for the caller; other conflicts stay as they are."""
    words: Mapping[str, ConflictError] = {
        "device-name-taken": name_taken(name),
        "device-uuid-case-twin": case_twin(uuid),
        "device-key-taken": key_taken(uuid),
    }
    return error if error.fields else words.get(error.code, error)
