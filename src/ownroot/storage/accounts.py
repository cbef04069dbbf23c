"""Users, their roles in factories, and API tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.services.records import Factory, Member, Token, User
from ownroot.services.scopes import Role, Scope
from ownroot.storage.factories import FACTORY_COLUMNS, read_factory
from ownroot.storage.inserts import insert_if_absent, insert_returning_id, upsert
from ownroot.storage.schema import factories, members, tokens, users
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_ADD_USER: Final = insert_if_absent(users, "polis_id", "name")
_USER: Final = sa.select(users.c.polis_id, users.c.name)
_FIND_USER: Final = Statement(_USER.where(users.c.polis_id == param("user")))
_FIND_USER_BY_NAME: Final = Statement(_USER.where(users.c.name == param("wanted")))
_LIST_USERS: Final = Statement(_USER.order_by(users.c.name))
_SET_ROLE: Final = upsert(
    members,
    "factory_id",
    "polis_id",
    "role",
    conflict=("factory_id", "polis_id"),
    update=lambda new: {"role": new.role},
)
_MEMBER: Final = sa.select(users.c.polis_id, users.c.name, members.c.role).join_from(
    members, users, members.c.polis_id == users.c.polis_id
)
_MEMBERS: Final = Statement(_MEMBER.where(members.c.factory_id == param("factory")).order_by(users.c.name))
_FIND_MEMBER: Final = Statement(
    _MEMBER.where(members.c.factory_id == param("factory"), members.c.polis_id == param("user"))
)
_MEMBERSHIPS: Final = Statement(
    sa.select(members.c.role, *FACTORY_COLUMNS)
    .join_from(members, factories, members.c.factory_id == factories.c.id)
    .where(members.c.polis_id == param("user"))
    .order_by(factories.c.name)
)
_ADD_TOKEN: Final = insert_returning_id(
    tokens, "factory_id", "polis_id", "token_sha256", "scopes", "created_at", "expires_at"
)
_TOKEN: Final = sa.select(
    tokens.c.id,
    tokens.c.factory_id,
    tokens.c.polis_id,
    tokens.c.scopes,
    tokens.c.created_at,
    tokens.c.expires_at,
)
_FIND_TOKEN: Final = Statement(_TOKEN.where(tokens.c.token_sha256 == param("hash")))
_LIST_TOKENS: Final = Statement(_TOKEN.where(tokens.c.factory_id == param("factory")).order_by(tokens.c.id))
_DELETE_TOKEN: Final = Statement(
    sa.delete(tokens).where(tokens.c.factory_id == param("factory"), tokens.c.id == param("row"))
)
_DELETE_MEMBERS_TOKENS: Final = Statement(
    sa.delete(tokens).where(tokens.c.factory_id == param("factory"), tokens.c.polis_id == param("user"))
)
_DELETE_MEMBER: Final = Statement(
    sa.delete(members).where(members.c.factory_id == param("factory"), members.c.polis_id == param("user"))
)


class SqlAccounts:
    """Implements `services.repositories.Accounts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add_user(self, user: User) -> None:
        """Make a user known.

        Raises:
            ConflictError: `user-exists` or `user-name-taken`.
        """
        if self._session.run(_ADD_USER, polis_id=user.polis_id, name=user.name):
            return
        if self.find_user(user.polis_id) is not None:
            raise ConflictError("user-exists", f"There is a user with the id {user.polis_id} already.")
        raise ConflictError("user-name-taken", f"There is a user called {user.name} already.")

    def find_user(self, polis_id: str) -> User | None:
        row = self._session.one(_FIND_USER, user=polis_id)
        return None if row is None else User(*row)

    def find_user_by_name(self, name: str) -> User | None:
        row = self._session.one(_FIND_USER_BY_NAME, wanted=name)
        return None if row is None else User(*row)

    def list_users(self) -> Sequence[User]:
        return [User(*row) for row in self._session.all(_LIST_USERS)]

    def set_role(self, factory_id: int, polis_id: str, role: Role) -> None:
        self._session.run(_SET_ROLE, factory_id=factory_id, polis_id=polis_id, role=role.value)

    def remove_member(self, factory_id: int, polis_id: str) -> None:
        self._session.run(_DELETE_MEMBERS_TOKENS, factory=factory_id, user=polis_id)
        self._session.run(_DELETE_MEMBER, factory=factory_id, user=polis_id)

    def members(self, factory_id: int) -> Sequence[Member]:
        rows = self._session.all(_MEMBERS, factory=factory_id)
        return [Member(User(polis_id, name), Role(role)) for polis_id, name, role in rows]

    def find_member(self, factory_id: int, polis_id: str) -> Member | None:
        row = self._session.one(_FIND_MEMBER, factory=factory_id, user=polis_id)
        return None if row is None else Member(User(row[0], row[1]), Role(row[2]))

    def memberships(self, polis_id: str) -> Sequence[tuple[Factory, Role]]:
        rows = self._session.all(_MEMBERSHIPS, user=polis_id)
        return [(read_factory(row[1:]), Role(row[0])) for row in rows]

    def add_token(  # noqa: PLR0913  (a token's columns)
        self,
        factory_id: int,
        polis_id: str,
        *,
        token_sha256: bytes,
        scopes: frozenset[Scope],
        expires_at: datetime | None,
        now: datetime,
    ) -> Token:
        """Store a token by its hash.

        Raises:
            ConflictError: `token-exists`.
        """
        created_at = to_seconds(now)
        row = self._session.one(
            _ADD_TOKEN,
            factory_id=factory_id,
            polis_id=polis_id,
            token_sha256=token_sha256,
            scopes=" ".join(sorted(scopes)),
            created_at=created_at,
            expires_at=None if expires_at is None else to_seconds(expires_at),
        )
        if row is None:
            raise ConflictError("token-exists", "This very token is stored already.")
        return Token(row[0], factory_id, polis_id, scopes, from_seconds(created_at), expires_at)

    def find_token(self, token_sha256: bytes) -> Token | None:
        row = self._session.one(_FIND_TOKEN, hash=token_sha256)
        return None if row is None else _token(row)

    def list_tokens(self, factory_id: int) -> Sequence[Token]:
        return [_token(row) for row in self._session.all(_LIST_TOKENS, factory=factory_id)]

    def delete_token(self, factory_id: int, token_id: int) -> bool:
        return self._session.run(_DELETE_TOKEN, factory=factory_id, row=token_id) == 1


def _token(row: Row) -> Token:
    id_, factory_id, polis_id, scopes, created_at, expires_at = row
    return Token(
        id_,
        factory_id,
        polis_id,
        frozenset(Scope(scope) for scope in scopes.split()),
        from_seconds(created_at),
        None if expires_at is None else from_seconds(expires_at),
    )
