"""Signs of copied keys, in the rows of their devices, and what owners make of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from ownroot.fleet.networks import Family
from ownroot.services.records import ClonePolicy, NetworkUse, Suspicion
from ownroot.storage.inserts import upsert
from ownroot.storage.schema import clone_policies, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_IS_DEVICE: Final = sa.and_(
    devices.c.factory_id == param("factory"),
    devices.c.uuid_folded == param("folded"),
    devices.c.uuid == param("wanted"),
)
_RETURNS: Final = Statement(sa.select(devices.c.returns).where(_IS_DEVICE))


def _note(column: str) -> Statement:
    values = {column: param("network"), "returns": param("counted", sa.Text)}
    return Statement(sa.update(devices).where(_IS_DEVICE).values(values))


_NOTE_USE: Final = {Family.IPV4: _note("network4"), Family.IPV6: _note("network6")}
_SUSPECT: Final = Statement(
    sa.update(devices)
    .where(_IS_DEVICE)
    .values(
        suspected_at=param("since"),
        suspicion=param("sign"),
        suspicion_detail=param("evidence"),
        quarantined_at=param("refused_since", sa.BigInteger),
    )
)
_RELEASE: Final = Statement(
    sa.update(devices)
    .where(_IS_DEVICE)
    .values(
        suspected_at=sa.null(),
        suspicion=sa.null(),
        suspicion_detail=sa.null(),
        quarantined_at=sa.null(),
        returns=sa.null(),
        network4=sa.null(),
        network6=sa.null(),
        released_at=param("looked_at"),
    )
)
_POLICY_COLUMNS: Final = (
    clone_policies.c.factory_id,
    clone_policies.c.quarantines,
    clone_policies.c.set_by,
    clone_policies.c.set_at,
)
_FIND_POLICY: Final = Statement(
    sa.select(*_POLICY_COLUMNS).where(clone_policies.c.factory_id == param("factory")),
)
_PUT_POLICY: Final = upsert(
    clone_policies,
    *(column.name for column in _POLICY_COLUMNS),
    conflict=("factory_id",),
    update=lambda new: {"quarantines": new.quarantines, "set_by": new.set_by, "set_at": new.set_at},
)


class SqlClones:
    """Implements `services.repositories.Clones`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def returns(self, factory_id: int, uuid: str) -> tuple[datetime, ...]:
        row = self._session.one(_RETURNS, **_device(factory_id, uuid))
        return tuple(from_seconds(int(part)) for part in row[0].split(",")) if row and row[0] else ()

    def note_use(self, use: NetworkUse, returns: Sequence[datetime]) -> None:
        counted = ",".join(str(to_seconds(one)) for one in returns) or None
        device = _device(use.factory_id, use.uuid)
        self._session.run(_NOTE_USE[use.network.family], **device, network=use.network.text, counted=counted)

    def suspect(self, factory_id: int, uuid: str, suspicion: Suspicion) -> None:
        self._session.run(
            _SUSPECT,
            **_device(factory_id, uuid),
            since=to_seconds(suspicion.since),
            sign=suspicion.sign.value,
            evidence=suspicion.detail,
            refused_since=None if suspicion.quarantined_at is None else to_seconds(suspicion.quarantined_at),
        )

    def release(self, factory_id: int, uuid: str, *, at: datetime) -> None:
        self._session.run(_RELEASE, **_device(factory_id, uuid), looked_at=to_seconds(at))

    def find_policy(self, factory_id: int) -> ClonePolicy | None:
        row = self._session.one(_FIND_POLICY, factory=factory_id)
        return None if row is None else ClonePolicy(row[0], bool(row[1]), row[2], from_seconds(row[3]))

    def put_policy(self, policy: ClonePolicy) -> None:
        self._session.run(
            _PUT_POLICY,
            factory_id=policy.factory_id,
            quarantines=policy.quarantines,
            set_by=policy.set_by,
            set_at=to_seconds(policy.set_at),
        )


def _device(factory_id: int, uuid: str) -> dict[str, Any]:
    return {"factory": factory_id, "folded": uuid.lower(), "wanted": uuid}
