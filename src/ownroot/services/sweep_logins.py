"""What has ended is dropped: sessions, tokens of OAuth clients, devices that asked to be registered."""

from datetime import datetime

from ownroot.services.authorize_registration import ENDED_KEPT
from ownroot.services.ports import UnitOfWork


def sweep_logins(uow: UnitOfWork, *, now: datetime) -> None:
    """Drop it. Nothing depends on when this runs: whatever has ended is refused by its time already."""
    uow.logins.sweep(now=now)
    uow.oauth.sweep(now=now)
    uow.device_authorizations.sweep(before=now - ENDED_KEPT)
