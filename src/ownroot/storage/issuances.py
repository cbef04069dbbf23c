"""The issuance log: intents before signatures, certificates before answers."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError, NotFoundError
from ownroot.pki.serials import parse_serial, serial_text
from ownroot.services.records import Issuance, IssuanceIntent
from ownroot.storage.inserts import insert_returning_id
from ownroot.storage.schema import issuances
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_OPEN, _RECORDED, _VOIDED = 0, 1, 2
_HISTORY_LENGTH: Final = 20

_ADD: Final = insert_returning_id(
    issuances,
    "factory_id",
    "issuer_sha256",
    "serial",
    "profile",
    "subject_key",
    "spki_sha256",
    "request_sha256",
    "actor",
    "recorded_at",
    "state",
)
# The state is written out: only a literal lets SQLite see that the index of open entries serves.
_IS_OPEN: Final = issuances.c.state == sa.literal_column(str(_OPEN))
_RECORD: Final = Statement(
    sa.update(issuances)
    .where(issuances.c.id == param("entry"), _IS_OPEN)
    .values(state=sa.literal_column(str(_RECORDED)), certificate_der=param("der"))
)
_VOID: Final = Statement(
    sa.update(issuances).where(issuances.c.id == param("entry"), _IS_OPEN).values(state=sa.literal_column(str(_VOIDED)))
)
_STATE: Final = Statement(sa.select(issuances.c.state).where(issuances.c.id == param("entry")))
_ENTRY: Final = sa.select(
    issuances.c.id,
    issuances.c.factory_id,
    issuances.c.issuer_sha256,
    issuances.c.serial,
    issuances.c.profile,
    issuances.c.subject_key,
    issuances.c.spki_sha256,
    issuances.c.request_sha256,
    issuances.c.actor,
    issuances.c.recorded_at,
    issuances.c.certificate_der,
    issuances.c.state,
)
_OPEN_INTENTS: Final = Statement(_ENTRY.where(_IS_OPEN).order_by(issuances.c.id))
_OF_KEY: Final = _ENTRY.where(
    issuances.c.subject_key == param("subject"),
    issuances.c.factory_id.is_not_distinct_from(param("factory", sa.BigInteger)),
    issuances.c.spki_sha256 == param("key"),
)
# Open ones are never cut off: a crowd of equal requests must not hide the certificate that one of them got.
_OPEN_OF_KEY: Final = Statement(_OF_KEY.where(_IS_OPEN))
_RECORDED_OF_KEY: Final = Statement(
    _OF_KEY.where(issuances.c.state == sa.literal_column(str(_RECORDED)))
    .order_by(issuances.c.id.desc())
    .limit(sa.literal_column(str(_HISTORY_LENGTH)))
)
# Counted in the index of serials; the few entries that are no certificate have indexes of their own.
_ENTRIES: Final = Statement(
    sa.select(sa.func.count()).select_from(issuances).where(issuances.c.issuer_sha256 == param("issuer"))
)
_OPEN_ENTRIES: Final = Statement(
    sa.select(sa.func.count()).select_from(issuances).where(_IS_OPEN, issuances.c.issuer_sha256 == param("issuer"))
)
_VOIDED_ENTRIES: Final = Statement(
    sa.select(sa.func.count())
    .select_from(issuances)
    .where(issuances.c.state == sa.literal_column(str(_VOIDED)), issuances.c.issuer_sha256 == param("issuer"))
)


class SqlIssuanceLog:
    """Implements `services.repositories.IssuanceLog`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record_intent(self, intent: IssuanceIntent) -> int:
        """Record what is about to be signed; returns the entry's id.

        Raises:
            ConflictError: `serial-repeated`.
        """
        row = self._session.one(
            _ADD,
            factory_id=intent.factory_id,
            issuer_sha256=intent.issuer_sha256,
            serial=serial_text(intent.serial),
            profile=intent.profile,
            subject_key=intent.subject_key,
            spki_sha256=intent.spki_sha256,
            request_sha256=intent.request_sha256,
            actor=intent.actor,
            recorded_at=to_seconds(intent.recorded_at),
            state=_OPEN,
        )
        if row is None:
            raise ConflictError("serial-repeated", "This issuer has used this serial number before; draw another one.")
        entry: int = row[0]
        return entry

    def record_certificate(self, issuance_id: int, certificate_der: bytes) -> None:
        """Record what was signed.

        Raises:
            ConflictError: `issuance-voided` or `issuance-recorded`.
            NotFoundError: `issuance-unknown`.
        """
        if self._session.run(_RECORD, entry=issuance_id, der=certificate_der):
            return
        row = self._session.one(_STATE, entry=issuance_id)
        if row is None:
            raise NotFoundError("issuance-unknown", "The issuance log has no such entry.")
        if row[0] == _VOIDED:
            raise ConflictError("issuance-voided", "This certificate was given up before it was recorded.")
        raise ConflictError("issuance-recorded", "This entry of the issuance log has its certificate already.")

    def void(self, issuance_id: int) -> None:
        self._session.run(_VOID, entry=issuance_id)

    def open_intents(self) -> Sequence[Issuance]:
        return [_read(row) for row in self._session.all(_OPEN_INTENTS)]

    def history(self, factory_id: int | None, subject_key: str, spki_sha256: bytes) -> Sequence[Issuance]:
        asked = {"factory": factory_id, "subject": subject_key, "key": spki_sha256}
        rows = [*self._session.all(_OPEN_OF_KEY, **asked), *self._session.all(_RECORDED_OF_KEY, **asked)]
        return [_read(row) for row in sorted(rows, reverse=True)]

    def count(self, issuer_sha256: bytes) -> int:
        entries, open_, voided = (
            self._number(statement, issuer_sha256) for statement in (_ENTRIES, _OPEN_ENTRIES, _VOIDED_ENTRIES)
        )
        return entries - open_ - voided

    def _number(self, statement: Statement, issuer_sha256: bytes) -> int:
        row = self._session.one(statement, issuer=issuer_sha256)
        return 0 if row is None else int(row[0])


def _read(row: Row) -> Issuance:
    id_, factory_id, issuer, serial, profile, subject_key, key, request, actor, recorded_at, der, state = row
    intent = IssuanceIntent(
        factory_id=factory_id,
        issuer_sha256=bytes(issuer),
        serial=parse_serial(serial),
        profile=profile,
        subject_key=subject_key,
        spki_sha256=bytes(key),
        request_sha256=bytes(request),
        actor=actor,
        recorded_at=from_seconds(recorded_at),
    )
    return Issuance(id_, intent, None if der is None else bytes(der), voided=state == _VOIDED)
