"""What a factory trusts, as its members see it."""

from dataclasses import dataclass

from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.trust.state import FactoryPki, Holder


@dataclass(frozen=True, slots=True)
class PkiView:
    """A factory's own PKI (without a root: still on the shared one) and who changed it when, as text."""

    pki: FactoryPki
    created_by: str
    created_at: str
    updated_by: str
    updated_at: str

    @property
    def online_ca_serials(self) -> tuple[int, ...]:
        """Of the trusted device CAs those whose key the backend holds or held."""
        return tuple(ca.serial for ca in self.pki.device_cas if ca.holder is Holder.ONLINE)


def view_pki(uow: UnitOfWork, factory: Factory) -> PkiView:
    """Return the factory's own PKI as it is in this transaction."""
    return PkiView(uow.pki.load(factory.id), *uow.pki.change_meta(factory.id))
