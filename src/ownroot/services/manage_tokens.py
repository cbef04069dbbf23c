"""API tokens that exist already: which there are, and how one is taken back. The operator's acts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import OPERATOR, AuditEvent, EventKind
from ownroot.errors import NotFoundError
from ownroot.services.known_accounts import holders, known_factory
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Token, User
from ownroot.services.steps import Steps


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token and whose it is."""

    token: Token
    user: User


def list_tokens(uow: UnitOfWork, factory_name: str) -> Sequence[HeldToken]:
    """Return the tokens of a factory, oldest first.

    Raises:
        NotFoundError: `factory-unknown`.
    """
    factory = known_factory(uow, factory_name)
    whose = holders(uow, factory)
    return [HeldToken(token, whose(token.polis_id)) for token in uow.accounts.list_tokens(factory.id)]


def revoke_token(factory_name: str, token_id: int, *, now: datetime) -> Steps[None]:
    """Make a token worthless; a running server follows within a second.

    Raises:
        NotFoundError: `factory-unknown`, `token-unknown`.
    """

    def store(uow: UnitOfWork) -> None:
        factory = known_factory(uow, factory_name)
        tokens = {token.id: token for token in uow.accounts.list_tokens(factory.id)}
        if token_id not in tokens:
            raise NotFoundError("token-unknown", f"Factory {factory.name} has no token {token_id}.")
        uow.accounts.delete_token(factory.id, token_id)
        subject = tokens[token_id].polis_id
        details = {"scopes": " ".join(sorted(tokens[token_id].scopes))}
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.TOKEN_REVOKED, subject, details))

    yield store
