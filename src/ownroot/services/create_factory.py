"""A new factory: its name, its gateway name, its owner and the owner's first token, on the shared PKI."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ownroot.audit.events import OPERATOR, AuditEvent, EventKind
from ownroot.errors import ConflictError
from ownroot.pki.names import FactoryName, parse_dns_name, parse_factory_name, parse_factory_ou
from ownroot.services.authority import new_polis_id
from ownroot.services.backend_keys import Keyring
from ownroot.services.create_token import user_named
from ownroot.services.gateway_names import settle_base_name
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Factory, User
from ownroot.services.scopes import Role, Scope
from ownroot.services.shared_pki import ensure_shared_tls
from ownroot.services.steps import Steps
from ownroot.services.tokens import new_token, token_sha256
from ownroot.services.tuf_publishing import ensure_repository


@dataclass(frozen=True, slots=True)
class FactoryOrder:
    """What the operator asks for.

    Args:
        owner: name of the owner's account; made if new. None: `<factory>-owner`.
        gateway_name: None gives the base name to the default factory and `<factory>.<base>` to every other.
        default: this factory answers for the base name and for devices that send no name.
    """

    name: str
    owner: str | None = None
    gateway_name: str | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class CreatedFactory:
    """The factory, its owner, and the owner's token, which is shown once."""

    factory: Factory
    owner: User
    token: str


def create_factory(
    order: FactoryOrder, keyring: Keyring, *, now: datetime, backdate: timedelta = timedelta()
) -> Steps[CreatedFactory]:
    """Make a factory that devices can register with and connect to at once.

    Args:
        backdate: how long before `now` its TLS certificate begins.
    Raises:
        InvalidInputError: a name that cannot be one.
        ConflictError: `factory-exists`, `gateway-name-taken`, `default-factory-exists`.
    """
    name = _factory_name(order)
    explicit = None if order.gateway_name is None else parse_dns_name(order.gateway_name)
    token = new_token()
    polis_id = new_polis_id()

    def store(uow: UnitOfWork) -> CreatedFactory:
        factory = _add_factory(uow, name, explicit, default=order.default, now=now)
        owner = user_named(uow, order.owner or f"{name}-owner", polis_id, now=now)
        uow.accounts.set_role(factory.id, owner.polis_id, Role.OWNER)
        uow.accounts.add_token(
            factory.id,
            owner.polis_id,
            token_sha256=token_sha256(token),
            scopes=frozenset(Scope),
            expires_at=None,
            now=now,
        )
        details = {"gateway-name": factory.gateway_name, "owner": owner.polis_id}
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.FACTORY_CREATED, name, details))
        ensure_repository(uow, factory, keyring, now=now)
        uow.changes.announce(ChangeKind.FACTORY, factory.id)
        return CreatedFactory(factory, owner, token)

    created: CreatedFactory = yield store
    # A crash between these two commits leaves a factory without a face; the next start gives it one.
    yield from ensure_shared_tls(created.factory, keyring, now=now, backdate=backdate)
    return created


def _factory_name(order: FactoryOrder) -> FactoryName:
    """A name of ours becomes a DNS label; one that moved here keeps its OU and brings its gateway name along."""
    if order.gateway_name is None:
        return parse_factory_name(order.name)
    return parse_factory_ou(order.name)


def _add_factory(uow: UnitOfWork, name: FactoryName, explicit: str | None, *, default: bool, now: datetime) -> Factory:
    base = settle_base_name(uow, None)
    known = uow.factories.list()
    is_default = default or not known
    if default and any(factory.is_default for factory in known):
        raise ConflictError(
            "default-factory-exists",
            "There is a default factory already, and its devices rely on its name. Leave --default out.",
        )
    gateway_name = explicit or (base if is_default else parse_dns_name(f"{name}.{base}"))
    return uow.factories.add(name, gateway_name=gateway_name, is_default=is_default, now=now)
