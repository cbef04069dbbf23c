"""Devices that ask to be registered: one row from the question to the token's end."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.pki.names import DeviceUuid
from ownroot.services.login_ports import AuthorizationRequest, AuthorizationState, DeviceAuthorization
from ownroot.storage.inserts import insert_if_absent
from ownroot.storage.schema import device_authorizations
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_T: Final = device_authorizations.c
_COLUMNS: Final = (
    _T.id,
    _T.factory_id,
    _T.uuid,
    _T.user_code,
    _T.peer,
    _T.state,
    _T.created_at,
    _T.expires_at,
    _T.decided_by,
    _T.spki_sha256,
)
_PENDING: Final = _T.state == AuthorizationState.PENDING.value
_ADD: Final = insert_if_absent(
    device_authorizations,
    "factory_id",
    "uuid",
    "code_sha256",
    "user_code",
    "peer",
    "state",
    "created_at",
    "expires_at",
)
_DROP_EARLIER: Final = Statement(
    sa.delete(device_authorizations).where(
        _T.factory_id == param("factory"), _T.uuid == param("device"), _T.peer == param("from_peer"), _PENDING
    )
)
_BY_CODE: Final = Statement(sa.select(*_COLUMNS).where(_T.code_sha256 == param("hash")))
_BY_USER_CODE: Final = Statement(sa.select(*_COLUMNS).where(_T.user_code == param("code")))
_BY_TOKEN: Final = Statement(sa.select(*_COLUMNS).where(_T.token_sha256 == param("hash")))
_COUNT_OF_FACTORY: Final = Statement(
    sa.select(sa.func.count()).where(_T.factory_id == param("factory"), _PENDING, _T.expires_at > param("at"))
)
_COUNT_OF_PEER: Final = Statement(
    sa.select(sa.func.count()).where(_T.peer == param("from_peer"), _PENDING, _T.expires_at > param("at"))
)
_DECIDE: Final = Statement(
    sa.update(device_authorizations)
    .where(_T.id == param("row"), _PENDING)
    .values(state=param("decision"), decided_by=param("decider"))
)
_REDEEM: Final = Statement(
    sa.update(device_authorizations)
    .where(_T.id == param("row"), _T.state == AuthorizationState.ALLOWED.value)
    .values(state=AuthorizationState.REDEEMED.value, token_sha256=param("hash"), expires_at=param("end"))
)
_BIND_KEY: Final = Statement(
    sa.update(device_authorizations)
    .where(
        _T.id == param("row"),
        _T.state == AuthorizationState.REDEEMED.value,
        sa.or_(_T.spki_sha256.is_(None), _T.spki_sha256 == param("key")),
    )
    .values(spki_sha256=param("key"))
)
_SWEEP: Final = Statement(sa.delete(device_authorizations).where(_T.expires_at <= param("ended")))


class SqlDeviceAuthorizations:
    """Implements `services.login_ports.DeviceAuthorizations`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, request: AuthorizationRequest) -> bool:
        self._session.run(_DROP_EARLIER, factory=request.factory_id, device=request.uuid, from_peer=request.peer)
        added = self._session.run(
            _ADD,
            factory_id=request.factory_id,
            uuid=request.uuid,
            code_sha256=request.code_sha256,
            user_code=request.user_code,
            peer=request.peer,
            state=AuthorizationState.PENDING.value,
            created_at=to_seconds(request.created_at),
            expires_at=to_seconds(request.expires_at),
        )
        return added == 1

    def find_by_code(self, code_sha256: bytes) -> DeviceAuthorization | None:
        return _read(self._session.one(_BY_CODE, hash=code_sha256))

    def find_by_user_code(self, user_code: str) -> DeviceAuthorization | None:
        return _read(self._session.one(_BY_USER_CODE, code=user_code))

    def find_by_token(self, token_sha256: bytes) -> DeviceAuthorization | None:
        return _read(self._session.one(_BY_TOKEN, hash=token_sha256))

    def count_pending(self, factory_id: int, peer: str, *, now: datetime) -> tuple[int, int]:
        at = to_seconds(now)
        of_factory = self._session.all(_COUNT_OF_FACTORY, factory=factory_id, at=at)[0][0]
        of_peer = self._session.all(_COUNT_OF_PEER, from_peer=peer, at=at)[0][0]
        return of_factory, of_peer

    def decide(self, authorization_id: int, state: AuthorizationState, *, by: str) -> bool:
        return self._session.run(_DECIDE, row=authorization_id, decision=state.value, decider=by) == 1

    def redeem(self, authorization_id: int, *, token_sha256: bytes, expires_at: datetime) -> bool:
        return self._session.run(_REDEEM, row=authorization_id, hash=token_sha256, end=to_seconds(expires_at)) == 1

    def bind_key(self, authorization_id: int, spki_sha256: bytes) -> bool:
        return self._session.run(_BIND_KEY, row=authorization_id, key=spki_sha256) == 1

    def sweep(self, *, before: datetime) -> None:
        self._session.run(_SWEEP, ended=to_seconds(before))


def _read(row: Row | None) -> DeviceAuthorization | None:
    if row is None:
        return None
    id_, factory_id, uuid, user_code, peer, state, created_at, expires_at, decided_by, spki_sha256 = row
    return DeviceAuthorization(
        id=id_,
        factory_id=factory_id,
        uuid=DeviceUuid(uuid),
        user_code=user_code,
        peer=peer,
        state=AuthorizationState(state),
        created_at=from_seconds(created_at),
        expires_at=from_seconds(expires_at),
        decided_by=decided_by,
        spki_sha256=None if spki_sha256 is None else bytes(spki_sha256),
    )
