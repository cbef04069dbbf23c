"""Which factories let devices with an expired certificate renew it."""

from typing import Final

import sqlalchemy as sa

from ownroot.services.records import RecoveryPolicy
from ownroot.storage.inserts import upsert
from ownroot.storage.schema import recovery_policies
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_COLUMNS: Final = (
    recovery_policies.c.factory_id,
    recovery_policies.c.max_expired_days,
    recovery_policies.c.set_by,
    recovery_policies.c.set_at,
)
_IN_FACTORY: Final = recovery_policies.c.factory_id == param("factory")
_FIND: Final = Statement(sa.select(*_COLUMNS).where(_IN_FACTORY))
_REMOVE: Final = Statement(sa.delete(recovery_policies).where(_IN_FACTORY))
_PUT: Final = upsert(
    recovery_policies,
    *(column.name for column in _COLUMNS),
    conflict=("factory_id",),
    update=lambda new: {"max_expired_days": new.max_expired_days, "set_by": new.set_by, "set_at": new.set_at},
)


class SqlRecoveryPolicies:
    """Implements `services.repositories.RecoveryPolicies`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, factory_id: int) -> RecoveryPolicy | None:
        row = self._session.one(_FIND, factory=factory_id)
        return None if row is None else RecoveryPolicy(row[0], row[1], row[2], from_seconds(row[3]))

    def put(self, policy: RecoveryPolicy) -> None:
        self._session.run(
            _PUT,
            factory_id=policy.factory_id,
            max_expired_days=policy.max_expired_days,
            set_by=policy.set_by,
            set_at=to_seconds(policy.set_at),
        )

    def remove(self, factory_id: int) -> None:
        self._session.run(_REMOVE, factory=factory_id)
