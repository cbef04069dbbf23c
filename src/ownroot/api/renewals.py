"""What an owner says about renewals: one cancelled, and whether expired devices may renew. Ours, see docs/wire."""

from functools import partial

from ownroot.api.backend import Backend
from ownroot.api.devices import DeviceQuery, named_device
from ownroot.services.authority import Principal
from ownroot.services.next_keys import cancel_rotation
from ownroot.services.records import Factory, RecoveryPolicy
from ownroot.services.recovery_policy import find_recovery_policy, set_recovery_policy
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.devices import wire_time
from ownroot.wire.renewals import RecoveryForm, RecoveryPolicyObject, parse_recovery_form

_ROTATION = "/ota/devices/{device}/rotation/"
_RECOVERY = "/ota/factories/{factory}/recovery/"
_MANAGERS = (Role.OWNER, Role.ADMIN)
_READ = Access(scopes=(Scope.CERTS_READ.value,), or_roles=_MANAGERS)
# It opens a door at the gateway, so it is on one level with changes of trust.
_MANAGE = Access(scopes=(Scope.CERTS_MANAGE.value,), roles=_MANAGERS, audited=True)
_UPDATE = Access(scopes=(Scope.DEVICES_READ_UPDATE.value,))


class RenewalsPage:
    """Handlers for the owner's side of renewals."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def cancel_rotation(self, call: Call[Principal]) -> Reply:
        """Forget the key a device announced."""
        work = partial(cancel_rotation, ref=named_device(call), by=call.caller, now=call.now)
        await self._backend.commit(work)
        return Reply(204)

    async def show_recovery(self, call: Call[Principal]) -> Reply:
        """What is in force."""
        policy = await self._backend.read(lambda uow: find_recovery_policy(uow, call.caller))
        return Reply(200, _policy_object(call.caller.factory, policy))

    async def set_recovery(self, call: Call[Principal]) -> Reply:
        """Store it and answer what is in force."""
        form: RecoveryForm = call.body
        work = partial(set_recovery_policy, max_expired_days=form.max_expired_days, by=call.caller, now=call.now)
        policy = await self._backend.commit(work)
        return Reply(200, _policy_object(call.caller.factory, policy))


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    page = RenewalsPage(backend)
    return (
        Endpoint(
            method="DELETE",
            path=_ROTATION,
            handler=page.cancel_rotation,
            access=_UPDATE,
            summary="Cancel a device's key rotation: forget the key it announced and unlock its configuration.",
            query=DeviceQuery,
            replies={204: None},
        ),
        Endpoint(
            method="GET",
            path=_RECOVERY,
            handler=page.show_recovery,
            access=_READ,
            summary="Show whether devices may renew an expired certificate.",
            replies={200: RecoveryPolicyObject},
        ),
        Endpoint(
            method="PUT",
            path=_RECOVERY,
            handler=page.set_recovery,
            access=_MANAGE,
            summary="Say how long after its end a device may renew its certificate; 0: never.",
            body=JsonBody(parse_recovery_form, RecoveryForm),
            replies={200: RecoveryPolicyObject},
        ),
    )


def _policy_object(factory: Factory, policy: RecoveryPolicy | None) -> RecoveryPolicyObject:
    if policy is None:
        return RecoveryPolicyObject(factory=factory.name, max_expired_days=0)
    return RecoveryPolicyObject(
        factory=factory.name,
        max_expired_days=policy.max_expired_days,
        set_by=policy.set_by,
        set_at=wire_time(policy.set_at),
    )
