"""Refusals, merged and capped, on their way to the store.

Strangers can mint certificates for ever, so what is kept between two writes is bounded: beyond that, refusals of one
kind are counted together, without a subject.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import structlog

from ownroot.errors import OwnrootError
from ownroot.services.ports import Database
from ownroot.services.record_check_ins import record_refusals
from ownroot.services.records import Refusal

_log = structlog.get_logger(__name__)
_MAX_PENDING = 1000
_Key: TypeAlias = tuple[int, str, str, bytes | None]


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """One refusal: of which factory, why, who claimed to be calling, from where."""

    factory_id: int
    code: str
    detail: str
    subject: str
    certificate_sha256: bytes | None
    peer: str


class RefusalRecorder:
    """Collects refusals of this process and writes them every two seconds.

    Attributes:
        totals: refusals by code since the start of this worker.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[_Key, Refusal] = {}
        self.totals: dict[str, int] = {}

    def note(self, refused: RefusedRequest, now: datetime) -> None:
        self.totals[refused.code] = self.totals.get(refused.code, 0) + 1
        key: _Key = (refused.factory_id, refused.code, refused.subject, refused.certificate_sha256)
        if key not in self._pending and len(self._pending) >= _MAX_PENDING:
            key = (refused.factory_id, refused.code, "", None)
        merged = self._pending.get(key)
        self._pending[key] = Refusal(
            factory_id=refused.factory_id,
            code=refused.code,
            detail=refused.detail,
            subject=key[2],
            certificate_sha256=key[3],
            peer=refused.peer,
            count=1 if merged is None else merged.count + 1,
            first_at=now if merged is None else merged.first_at,
            last_at=now,
        )

    async def run(self) -> None:
        """Write every two seconds until cancelled."""
        while True:
            await asyncio.sleep(2.0)
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending. On failure it is only logged: refusals are a record, not a promise."""
        batch, self._pending = list(self._pending.values()), {}
        if not batch:
            return
        try:
            await asyncio.wrap_future(self._database.write(record_refusals(batch)))
        except OwnrootError as error:
            _log.warning("refusals could not be stored", refusals=len(batch), code=error.code)
