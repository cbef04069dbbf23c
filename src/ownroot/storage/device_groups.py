"""Device groups: names for parts of a factory's devices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.services.records import DeviceGroup
from ownroot.storage.inserts import insert_returning_id
from ownroot.storage.schema import device_groups, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_COLUMNS: Final = (
    device_groups.c.id,
    device_groups.c.factory_id,
    device_groups.c.name,
    device_groups.c.description,
    device_groups.c.created_by,
    device_groups.c.created_at,
    device_groups.c.updated_by,
    device_groups.c.updated_at,
)
_ADD: Final = insert_returning_id(
    device_groups, "factory_id", "name", "description", "created_by", "created_at", "updated_by", "updated_at"
)
_IN_FACTORY: Final = device_groups.c.factory_id == param("factory")
_FIND: Final = Statement(sa.select(*_COLUMNS).where(_IN_FACTORY, device_groups.c.name == param("wanted")))
_LIST: Final = Statement(sa.select(*_COLUMNS).where(_IN_FACTORY).order_by(device_groups.c.name))
_SAVE: Final = Statement(
    sa.update(device_groups)
    .where(_IN_FACTORY, device_groups.c.id == param("group"))
    .values(name=param("new_name"), description=param("text"), updated_by=param("by"), updated_at=param("at"))
)
_DELETE: Final = Statement(sa.delete(device_groups).where(_IN_FACTORY, device_groups.c.id == param("group")))
_ANY_DEVICE: Final = Statement(
    sa.select(devices.c.id)
    .where(devices.c.factory_id == param("factory"), devices.c.group_id == param("group"))
    .limit(sa.literal_column("1"))
)


class SqlDeviceGroups:
    """Implements `services.repositories.DeviceGroups`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, factory_id: int, name: str, *, description: str, by: str, now: datetime) -> DeviceGroup:
        """Make a group.

        Raises:
            ConflictError: `device-group-exists`.
        """
        at = to_seconds(now)
        row = self._session.one(
            _ADD,
            factory_id=factory_id,
            name=name,
            description=description,
            created_by=by,
            created_at=at,
            updated_by=by,
            updated_at=at,
        )
        if row is None:
            raise _exists(name)
        made = from_seconds(at)
        return DeviceGroup(row[0], factory_id, name, description, by, made, by, made)

    def find(self, factory_id: int, name: str) -> DeviceGroup | None:
        row = self._session.one(_FIND, factory=factory_id, wanted=name)
        return None if row is None else _read(row)

    def list(self, factory_id: int) -> Sequence[DeviceGroup]:
        return [_read(row) for row in self._session.all(_LIST, factory=factory_id)]

    def save(self, group: DeviceGroup) -> None:
        """Store name, description and the marks of the update.

        Raises:
            ConflictError: `device-group-exists`.
        """
        # Writers take turns, so nobody takes the name between the look and the update.
        holder = self.find(group.factory_id, group.name)
        if holder is not None and holder.id != group.id:
            raise _exists(group.name)
        self._session.run(
            _SAVE,
            factory=group.factory_id,
            group=group.id,
            new_name=group.name,
            text=group.description,
            by=group.updated_by,
            at=to_seconds(group.updated_at),
        )

    def delete(self, group: DeviceGroup) -> None:
        """Forget a group that no device is in.

        Raises:
            ConflictError: `device-group-in-use`.
        """
        if self._session.one(_ANY_DEVICE, factory=group.factory_id, group=group.id) is not None:
            raise ConflictError(
                "device-group-in-use",
                f"There are devices in the group {group.name}. Move them to another group first.",
            )
        self._session.run(_DELETE, factory=group.factory_id, group=group.id)


def _exists(name: str) -> ConflictError:
    return ConflictError(
        "device-group-exists", f"A device group called {name} exists already.", fields={"name": "in use"}
    )


def _read(row: Row) -> DeviceGroup:
    id_, factory_id, name, description, created_by, created_at, updated_by, updated_at = row
    return DeviceGroup(
        id_,
        factory_id,
        name,
        description,
        created_by,
        from_seconds(created_at),
        updated_by,
        from_seconds(updated_at),
    )
