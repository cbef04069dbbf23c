"""Refusal records of the gateway, merged and bounded.

Whatever is in them came from strangers, who can mint certificates for ever. So repeats are merged, the number is
bounded per factory, and beyond the bound the most frequent code loses its oldest record: a flood of one kind leaves the
other kinds readable.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from ownroot.services.records import Refusal
from ownroot.storage.inserts import upsert
from ownroot.storage.schema import refusals
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_MERGE: Final = upsert(
    refusals,
    "factory_id",
    "code",
    "subject",
    "certificate_sha256",
    "detail",
    "peer",
    "count",
    "first_at",
    "last_at",
    conflict=("factory_id", "code", "subject", "certificate_sha256"),
    update=lambda new: {
        "detail": new.detail,
        "peer": new.peer,
        "count": refusals.c.count + new["count"],
        "last_at": sa.case((new.last_at > refusals.c.last_at, new.last_at), else_=refusals.c.last_at),
    },
)
_COUNT_BY_CODE: Final = Statement(
    sa.select(refusals.c.code, sa.func.count())
    .where(refusals.c.factory_id == param("factory"))
    .group_by(refusals.c.code)
)
_DROP_OLDEST: Final = Statement(
    sa.delete(refusals).where(
        refusals.c.id.in_(
            sa.select(refusals.c.id)
            .where(refusals.c.factory_id == param("factory"), refusals.c.code == param("of_code"))
            .order_by(refusals.c.last_at, refusals.c.id)
            .limit(param("many"))
        )
    )
)
_COLUMNS: Final = (
    refusals.c.factory_id,
    refusals.c.code,
    refusals.c.detail,
    refusals.c.subject,
    refusals.c.certificate_sha256,
    refusals.c.peer,
    refusals.c["count"],
    refusals.c.first_at,
    refusals.c.last_at,
)
_NEWEST_FIRST: Final = (refusals.c.last_at.desc(), refusals.c.id.desc())
_LIST: Final = Statement(
    sa.select(*_COLUMNS).where(refusals.c.factory_id == param("factory")).order_by(*_NEWEST_FIRST).limit(param("most"))
)
_LIST_OF_SUBJECT: Final = Statement(
    sa.select(*_COLUMNS)
    .where(refusals.c.factory_id == param("factory"), refusals.c.subject == param("of_subject"))
    .order_by(*_NEWEST_FIRST)
    .limit(param("most"))
)


class SqlRefusals:
    """Implements `services.repositories.Refusals`."""

    def __init__(self, session: Session, *, kept_per_factory: int) -> None:
        self._session = session
        self._kept = kept_per_factory

    def record(self, refusals: Iterable[Refusal]) -> None:
        rows = [_row(refusal) for refusal in refusals]
        self._session.run_many(_MERGE, rows)
        for factory_id in sorted({row["factory_id"] for row in rows}):
            self._keep_bounded(factory_id)

    def list(self, factory_id: int, *, uuid: str | None = None, limit: int = 100) -> Sequence[Refusal]:
        if uuid is None:
            rows = self._session.all(_LIST, factory=factory_id, most=limit)
        else:
            rows = self._session.all(_LIST_OF_SUBJECT, factory=factory_id, of_subject=uuid, most=limit)
        return [_read(row) for row in rows]

    def _keep_bounded(self, factory_id: int) -> None:
        by_code: dict[str, int] = dict(self._session.all(_COUNT_BY_CODE, factory=factory_id))
        for code, surplus in _surplus(by_code, self._kept).items():
            self._session.run(_DROP_OLDEST, factory=factory_id, of_code=code, many=surplus)


def _surplus(by_code: dict[str, int], kept: int) -> Counter[str]:
    """How many records of which code must go: always one of the most frequent code."""
    left, surplus = dict(by_code), Counter[str]()
    for _ in range(sum(by_code.values()) - kept):
        code = max(left, key=lambda code: (left[code], code))
        left[code] -= 1
        surplus[code] += 1
    return surplus


def _row(refusal: Refusal) -> dict[str, Any]:
    return {
        "factory_id": refusal.factory_id,
        "code": refusal.code,
        "subject": _storable(refusal.subject),
        "certificate_sha256": refusal.certificate_sha256 or b"",
        "detail": _storable(refusal.detail),
        "peer": _storable(refusal.peer),
        "count": refusal.count,
        "first_at": to_seconds(refusal.first_at),
        "last_at": to_seconds(refusal.last_at),
    }


def _storable(text: str) -> str:
    """Replace what a database cannot hold; one odd name must not lose the records written along with it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _read(row: Row) -> Refusal:
    factory_id, code, detail, subject, certificate_sha256, peer, count, first_at, last_at = row
    return Refusal(
        factory_id=factory_id,
        code=code,
        detail=detail,
        subject=subject,
        certificate_sha256=bytes(certificate_sha256) or None,
        peer=peer,
        count=count,
        first_at=from_seconds(first_at),
        last_at=from_seconds(last_at),
    )
