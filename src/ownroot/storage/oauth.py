"""OAuth clients, their logins, and the tokens of those."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.services.login_ports import NewToken, OAuthClient, OAuthToken, OAuthTokenKind
from ownroot.services.scopes import Scope
from ownroot.storage.inserts import insert, insert_returning_id
from ownroot.storage.options import StorageOptions
from ownroot.storage.schema import oauth_clients, oauth_grants, oauth_tokens
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_CLIENT_COLUMNS: Final = (
    oauth_clients.c.id,
    oauth_clients.c.client_id,
    oauth_clients.c.secret_sha256,
    oauth_clients.c.factory_id,
    oauth_clients.c.polis_id,
    oauth_clients.c.scopes,
    oauth_clients.c.created_at,
    oauth_clients.c.expires_at,
)
_ADD_CLIENT: Final = insert_returning_id(oauth_clients, *(column.name for column in _CLIENT_COLUMNS[1:]))
_FIND_CLIENT: Final = Statement(sa.select(*_CLIENT_COLUMNS).where(oauth_clients.c.client_id == param("name")))
_LIST_CLIENTS: Final = Statement(
    sa.select(*_CLIENT_COLUMNS).where(oauth_clients.c.factory_id == param("factory")).order_by(oauth_clients.c.id)
)
_DELETE_CLIENT: Final = Statement(sa.delete(oauth_clients).where(oauth_clients.c.id == param("row")))

_GRANTS_OF_CLIENT: Final = sa.select(oauth_grants.c.id).where(oauth_grants.c.client == param("row"))
_ADD_GRANT: Final = insert_returning_id(oauth_grants, "client", "scopes", "created_at")
_OLD_GRANTS: Final = Statement(_GRANTS_OF_CLIENT.order_by(oauth_grants.c.id.desc()).limit(100).offset(param("kept")))
_DELETE_GRANT: Final = Statement(sa.delete(oauth_grants).where(oauth_grants.c.id == param("row")))
_DELETE_GRANTS: Final = Statement(sa.delete(oauth_grants).where(oauth_grants.c.client == param("row")))

_ADD_TOKEN: Final = insert(oauth_tokens, "grant_id", "kind", "token_sha256", "expires_at", "replaced_at", "scopes")
_TOKENS_OF_GRANT: Final = sa.select(oauth_tokens.c.id).where(oauth_tokens.c.grant_id == param("row"))
_OLD_TOKENS: Final = Statement(
    sa.delete(oauth_tokens).where(
        oauth_tokens.c.grant_id == param("row"),
        oauth_tokens.c.id
        <= _TOKENS_OF_GRANT.order_by(oauth_tokens.c.id.desc())
        .limit(1)
        .offset(param("kept"))
        .correlate(None)
        .scalar_subquery(),
    )
)
_FIND_TOKEN: Final = Statement(
    sa.select(
        oauth_tokens.c.id,
        oauth_tokens.c.grant_id,
        oauth_tokens.c.kind,
        oauth_tokens.c.expires_at,
        oauth_tokens.c.replaced_at,
        sa.func.coalesce(oauth_tokens.c.scopes, oauth_grants.c.scopes),
        *_CLIENT_COLUMNS,
    )
    .join_from(oauth_tokens, oauth_grants, oauth_tokens.c.grant_id == oauth_grants.c.id)
    .join(oauth_clients, oauth_grants.c.client == oauth_clients.c.id)
    .where(oauth_tokens.c.token_sha256 == param("hash"))
)
_REPLACE_TOKEN: Final = Statement(
    sa.update(oauth_tokens)
    .where(oauth_tokens.c.id == param("row"), oauth_tokens.c.replaced_at == 0)
    .values(replaced_at=param("at"), expires_at=param("forget_at"))
)
_UNUSED: Final = sa.and_(
    oauth_tokens.c.grant_id == param("row"),
    oauth_tokens.c.kind == OAuthTokenKind.REFRESH.value,
    oauth_tokens.c.replaced_at == 0,
)
_COUNT_UNUSED: Final = Statement(sa.select(sa.func.count()).where(_UNUSED, oauth_tokens.c.expires_at > param("at")))
_FORGET_UNUSED: Final = Statement(sa.delete(oauth_tokens).where(_UNUSED, oauth_tokens.c.id < param("token")))
_DELETE_TOKENS: Final = Statement(sa.delete(oauth_tokens).where(oauth_tokens.c.grant_id == param("row")))
_DELETE_CLIENT_TOKENS: Final = Statement(sa.delete(oauth_tokens).where(oauth_tokens.c.grant_id.in_(_GRANTS_OF_CLIENT)))
_SWEEP_TOKENS: Final = Statement(sa.delete(oauth_tokens).where(oauth_tokens.c.expires_at <= param("at")))
_SWEEP_GRANTS: Final = Statement(
    sa.delete(oauth_grants).where(
        ~sa.exists(sa.select(oauth_tokens.c.id).where(oauth_tokens.c.grant_id == oauth_grants.c.id))
    )
)


class SqlOAuth:
    """Implements `services.login_ports.OAuth`."""

    def __init__(self, session: Session, options: StorageOptions) -> None:
        self._session = session
        self._options = options

    def add_client(self, client: OAuthClient) -> OAuthClient:
        """Store a client.

        Raises:
            ConflictError: `client-exists`.
        """
        row = self._session.one(
            _ADD_CLIENT,
            client_id=client.client_id,
            secret_sha256=client.secret_sha256,
            factory_id=client.factory_id,
            polis_id=client.polis_id,
            scopes=_written(client.scopes),
            created_at=to_seconds(client.created_at),
            expires_at=None if client.expires_at is None else to_seconds(client.expires_at),
        )
        if row is None:
            raise ConflictError("client-exists", f"There is a client {client.client_id} already.")
        return replace(client, id=row[0])

    def find_client(self, client_id: str) -> OAuthClient | None:
        row = self._session.one(_FIND_CLIENT, name=client_id)
        return None if row is None else _client(row)

    def list_clients(self, factory_id: int) -> Sequence[OAuthClient]:
        return [_client(row) for row in self._session.all(_LIST_CLIENTS, factory=factory_id)]

    def delete_client(self, client: OAuthClient) -> None:
        for statement in (_DELETE_CLIENT_TOKENS, _DELETE_GRANTS, _DELETE_CLIENT):
            self._session.run(statement, row=client.id)

    def add_grant(self, client: OAuthClient, scopes: frozenset[Scope], *, now: datetime) -> int:
        row = self._session.one(_ADD_GRANT, client=client.id, scopes=_written(scopes), created_at=to_seconds(now))
        assert row is not None  # noqa: S101  (no unique constraint can be in the way)
        for (old,) in self._session.all(_OLD_GRANTS, row=client.id, kept=self._options.grants_kept):
            self.delete_grant(old)
        return int(row[0])

    def add_tokens(self, grant_id: int, tokens: Sequence[NewToken]) -> None:
        rows = [
            {
                "grant_id": grant_id,
                "kind": token.kind.value,
                "token_sha256": token.token_sha256,
                "expires_at": to_seconds(token.expires_at),
                "replaced_at": 0,
                "scopes": None if token.scopes is None else _written(token.scopes),
            }
            for token in tokens
        ]
        self._session.run_many(_ADD_TOKEN, rows)
        self._session.run(_OLD_TOKENS, row=grant_id, kept=self._options.login_tokens_kept)

    def find_token(self, token_sha256: bytes) -> OAuthToken | None:
        row = self._session.one(_FIND_TOKEN, hash=token_sha256)
        if row is None:
            return None
        id_, grant_id, kind, expires_at, replaced_at, scopes, *client = row
        return OAuthToken(
            id=id_,
            grant_id=grant_id,
            client=_client(client),
            scopes=_scopes(scopes),
            kind=OAuthTokenKind(kind),
            expires_at=from_seconds(expires_at),
            replaced_at=from_seconds(replaced_at) if replaced_at else None,
        )

    def replace_token(self, token_id: int, *, now: datetime, forget_at: datetime) -> None:
        self._session.run(_REPLACE_TOKEN, row=token_id, at=to_seconds(now), forget_at=to_seconds(forget_at))

    def count_unused(self, grant_id: int, *, now: datetime) -> int:
        return int(self._session.all(_COUNT_UNUSED, row=grant_id, at=to_seconds(now))[0][0])

    def forget_unused(self, token: OAuthToken) -> None:
        self._session.run(_FORGET_UNUSED, row=token.grant_id, token=token.id)

    def delete_grant(self, grant_id: int) -> None:
        self._session.run(_DELETE_TOKENS, row=grant_id)
        self._session.run(_DELETE_GRANT, row=grant_id)

    def sweep(self, *, now: datetime) -> None:
        self._session.run(_SWEEP_TOKENS, at=to_seconds(now))
        self._session.run(_SWEEP_GRANTS)


def _client(row: Row | list[object]) -> OAuthClient:
    id_, client_id, secret_sha256, factory_id, polis_id, scopes, created_at, expires_at = tuple(row)
    return OAuthClient(
        id=id_,
        client_id=client_id,
        secret_sha256=bytes(secret_sha256),
        factory_id=factory_id,
        polis_id=polis_id,
        scopes=_scopes(scopes),
        created_at=from_seconds(created_at),
        expires_at=None if expires_at is None else from_seconds(expires_at),
    )


def _written(scopes: frozenset[Scope]) -> str:
    return " ".join(sorted(scopes))


def _scopes(text: str) -> frozenset[Scope]:
    return frozenset(Scope(scope) for scope in text.split())
