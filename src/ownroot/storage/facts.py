"""Settings fixed once."""

from typing import Final

import sqlalchemy as sa

from ownroot.storage.inserts import insert_if_absent
from ownroot.storage.schema import facts
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param

_GET: Final = Statement(sa.select(facts.c.value).where(facts.c.name == param("fact")))
_FORGET: Final = Statement(sa.delete(facts).where(facts.c.name == param("fact")))
_PUT: Final = insert_if_absent(facts, "name", "value")


class SqlFacts:
    """Implements `services.repositories.Facts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, name: str) -> str | None:
        row = self._session.one(_GET, fact=name)
        return None if row is None else row[0]

    def put_once(self, name: str, value: str) -> str:
        """Store unless the name is taken; returns what is stored now."""
        self._session.run(_PUT, name=name, value=value)
        stored = self.get(name)
        return value if stored is None else stored

    def forget(self, name: str) -> None:
        self._session.run(_FORGET, fact=name)
