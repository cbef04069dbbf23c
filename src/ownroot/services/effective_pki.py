"""Whose trust counts in a factory: its own once it has been taken over, until then the operator's shared PKI.

And what becomes of a device from before a take-over: nothing its old certificate says counts any more, so whoever the
factory's own CAs vouch for next under that uuid may have it.
"""

from ownroot.pki.encoding import certificate_sha256
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device, Factory
from ownroot.trust.state import FactoryPki


class EffectivePkis:
    """Reads the trust that counts in factories, in one transaction; the shared PKI once, however many live on it."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow
        self._shared: FactoryPki | None = None

    @property
    def shared(self) -> FactoryPki:
        """The shared PKI."""
        if self._shared is None:
            self._shared = self._uow.pki.load(None)
        return self._shared

    def of(self, factory_id: int) -> tuple[FactoryPki, bool]:
        """Return the trust that counts in a factory and whether it is the shared one."""
        own = self._uow.pki.load(factory_id)
        return (own, False) if own.is_taken_over else (self.shared, True)


def effective_pki(uow: UnitOfWork, factory: Factory) -> tuple[FactoryPki, bool]:
    """Return the trust that counts in one factory and whether it is the shared one."""
    return EffectivePkis(uow).of(factory.id)


def is_unclaimed(uow: UnitOfWork, device: Device) -> bool:
    """Was the device last accepted under the shared PKI, in a factory that has its own by now?"""
    pkis = EffectivePkis(uow)
    _, lives_on_shared = pkis.of(device.factory_id)
    if lives_on_shared:
        return False
    return any(certificate_sha256(ca.certificate) == device.issuer_sha256 for ca in pkis.shared.device_cas)
