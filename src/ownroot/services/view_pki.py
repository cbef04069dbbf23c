"""What a factory trusts, as its members see it."""

from dataclasses import dataclass

from ownroot.services.ports import Factory, UnitOfWork
from ownroot.trust.state import FactoryPki


@dataclass(frozen=True, slots=True)
class PkiView:
    """A factory's own PKI (without a root: still on the shared one) and who changed it when, as text."""

    pki: FactoryPki
    created_by: str
    created_at: str
    updated_by: str
    updated_at: str


def view_pki(uow: UnitOfWork, factory: Factory) -> PkiView:
    """Return the factory's own PKI as it is in this transaction."""
    return PkiView(uow.pki.load(factory.id), *uow.pki.change_meta(factory.id))
