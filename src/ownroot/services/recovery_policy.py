"""May devices of a factory renew a certificate that has expired? Off until the owner says otherwise.

An expired device that is let in does nothing but renew, and only with the key it is known by. Each such renewal is in
the audit log (`renew_device`).
"""

from datetime import datetime
from typing import Final

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError
from ownroot.services.authority import Principal
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import RecoveryPolicy

MAX_EXPIRED_DAYS: Final = 3650


def set_recovery_policy(
    uow: UnitOfWork, max_expired_days: int, *, by: Principal, now: datetime
) -> RecoveryPolicy | None:
    """Let devices renew up to so many days after the end of their certificate; 0 closes the lane.

    Returns: what is in force now; None: closed.
    Raises:
        InvalidInputError: `recovery-days`.
    """
    if not 0 <= max_expired_days <= MAX_EXPIRED_DAYS:
        rule = f"a number of days from 0 (never) to {MAX_EXPIRED_DAYS}"
        raise InvalidInputError("recovery-days", f"How long after its end: {rule}.", fields={"max-expired-days": rule})
    factory = by.factory
    policy = RecoveryPolicy(factory.id, max_expired_days, by.user.polis_id, now) if max_expired_days else None
    if policy is not None:
        uow.recovery_policies.put(policy)
    else:
        uow.recovery_policies.remove(factory.id)
    details = {"max-expired-days": str(max_expired_days)}
    uow.audit.append(by.event(EventKind.RECOVERY_POLICY_SET, factory.name, details, at=now))
    return policy


def find_recovery_policy(uow: UnitOfWork, by: Principal) -> RecoveryPolicy | None:
    """Return the policy of the caller's factory; None: the lane is closed."""
    return uow.recovery_policies.find(by.factory.id)
