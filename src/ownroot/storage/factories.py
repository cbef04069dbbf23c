"""Factories and the gateway names they hold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.pki.names import FactoryName, ostree_name
from ownroot.services.records import Factory
from ownroot.storage.inserts import insert, insert_returning_id
from ownroot.storage.schema import device_counts, factories, gateway_names
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

FACTORY_COLUMNS: Final = (
    factories.c.id,
    factories.c.name,
    factories.c.gateway_name,
    factories.c.is_default,
    factories.c.created_at,
)
_FIND: Final = Statement(sa.select(*FACTORY_COLUMNS).where(factories.c.name == param("wanted")))
_LIST: Final = Statement(sa.select(*FACTORY_COLUMNS).order_by(factories.c.name))
_ADD: Final = insert_returning_id(factories, "name", "gateway_name", "is_default", "created_at")
_NAME_HOLDER: Final = Statement(sa.select(gateway_names.c.factory_id).where(gateway_names.c.name == param("wanted")))
_HOLD_NAME: Final = insert(gateway_names, "name", "factory_id")
_START_COUNT: Final = insert(device_counts, "factory_id", "devices")


class SqlFactories:
    """Implements `services.repositories.Factories`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, name: FactoryName, *, gateway_name: str, is_default: bool, now: datetime) -> Factory:
        """Make a factory and take its gateway names.

        Raises:
            ConflictError: `factory-exists`, `gateway-name-taken` or `default-factory-exists`.
        """
        at = to_seconds(now)
        held = (gateway_name, ostree_name(gateway_name))
        for held_name in held:
            # Looked up first, so that a caller who goes on after the error leaves no factory without its names.
            if self._session.one(_NAME_HOLDER, wanted=held_name) is not None:
                raise _gateway_name_taken(held_name)
        row = self._session.one(_ADD, name=name, gateway_name=gateway_name, is_default=is_default, created_at=at)
        if row is None:
            raise self._why_not_added(name)
        self._session.run_many(_HOLD_NAME, [{"name": name, "factory_id": row[0]} for name in held])
        self._session.run(_START_COUNT, factory_id=row[0], devices=0)
        return Factory(row[0], name, gateway_name, is_default, from_seconds(at))

    def find(self, name: str) -> Factory | None:
        row = self._session.one(_FIND, wanted=name)
        return None if row is None else read_factory(row)

    def list(self) -> Sequence[Factory]:
        return [read_factory(row) for row in self._session.all(_LIST)]

    def _why_not_added(self, name: str) -> ConflictError:
        if self.find(name) is not None:
            return ConflictError("factory-exists", f"There is a factory called {name} already.")
        return ConflictError(
            "default-factory-exists",
            "Another factory is the default one. A gateway has one default factory, for good.",
        )


def _gateway_name_taken(name: str) -> ConflictError:
    return ConflictError(
        "gateway-name-taken", f"The gateway name {name} belongs to another factory; choose another name."
    )


def read_factory(row: Row) -> Factory:
    """Turn the values of `FACTORY_COLUMNS` into a factory."""
    id_, name, gateway_name, is_default, created_at = row
    return Factory(id_, FactoryName(name), gateway_name, bool(is_default), from_seconds(created_at))
