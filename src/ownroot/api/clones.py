"""What an owner says about copied device keys: what follows a sign, quarantine, release. Ours, see docs/wire."""

from functools import partial

from ownroot.api.backend import Backend
from ownroot.api.device_objects import listed_device_object
from ownroot.api.devices import DeviceQuery, named_device
from ownroot.services.authority import Principal
from ownroot.services.records import ClonePolicy, Factory
from ownroot.services.scopes import Role, Scope
from ownroot.services.suspect_clones import find_clone_policy, quarantine_device, release_device, set_clone_policy
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.clones import (
    ClonePolicyForm,
    ClonePolicyObject,
    QuarantineForm,
    parse_clone_policy_form,
    parse_quarantine_form,
)
from ownroot.wire.devices import DeviceObject, wire_time

_QUARANTINE = "/ota/devices/{device}/quarantine/"
_POLICY = "/ota/factories/{factory}/clones/"
_READ = Access(scopes=(Scope.DEVICES_READ.value,))
# Who may let a copy in again, or shut a device out, answers for the factory.
_MANAGE = Access(scopes=(Scope.DEVICES_READ_UPDATE.value,), roles=(Role.OWNER, Role.ADMIN), audited=True)


class ReleaseQuery(DeviceQuery, frozen=True, rename="kebab"):
    """As `DeviceQuery`, with the reason for the audit log."""

    reason: str = ""


class ClonesPage:
    """Handlers for the owner's side of copied keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def show_policy(self, call: Call[Principal]) -> Reply:
        """What is in force."""
        policy = await self._backend.read(lambda uow: find_clone_policy(uow, call.caller))
        return Reply(200, _policy_object(call.caller.factory, policy))

    async def set_policy(self, call: Call[Principal]) -> Reply:
        """Store it and answer what is in force."""
        form: ClonePolicyForm = call.body
        quarantines = form.on_suspicion == "quarantine"
        work = partial(set_clone_policy, quarantines=quarantines, by=call.caller, now=call.now)
        return Reply(200, _policy_object(call.caller.factory, await self._backend.commit(work)))

    async def quarantine(self, call: Call[Principal]) -> Reply:
        """Refuse a device from now on."""
        form: QuarantineForm = call.body
        work = partial(quarantine_device, ref=named_device(call), reason=form.reason, by=call.caller, now=call.now)
        return Reply(200, listed_device_object(await self._backend.commit(work), call.caller.factory))

    async def release(self, call: Call[Principal]) -> Reply:
        """End a suspicion."""
        reason: str = call.query.reason
        work = partial(release_device, ref=named_device(call), reason=reason, by=call.caller, now=call.now)
        return Reply(200, listed_device_object(await self._backend.commit(work), call.caller.factory))


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    page = ClonesPage(backend)
    return (
        Endpoint(
            method="GET",
            path=_POLICY,
            handler=page.show_policy,
            access=_READ,
            summary="Show what follows when a device's key seems to be copied.",
            replies={200: ClonePolicyObject},
        ),
        Endpoint(
            method="PUT",
            path=_POLICY,
            handler=page.set_policy,
            access=_MANAGE,
            summary="Say what follows when a device's key seems to be copied.",
            body=JsonBody(parse_clone_policy_form, ClonePolicyForm),
            replies={200: ClonePolicyObject},
        ),
        Endpoint(
            method="PUT",
            path=_QUARANTINE,
            handler=page.quarantine,
            access=_MANAGE,
            summary="Refuse a device and cut its connections until it is released.",
            query=DeviceQuery,
            body=JsonBody(parse_quarantine_form, QuarantineForm, required=False),
            replies={200: DeviceObject},
        ),
        Endpoint(
            method="DELETE",
            path=_QUARANTINE,
            handler=page.release,
            access=_MANAGE,
            summary="End a suspicion that a device's key is copied, and its quarantine.",
            query=ReleaseQuery,
            replies={200: DeviceObject},
        ),
    )


def _policy_object(factory: Factory, policy: ClonePolicy | None) -> ClonePolicyObject:
    if policy is None:
        return ClonePolicyObject(factory=factory.name, on_suspicion="tell")
    return ClonePolicyObject(
        factory=factory.name,
        on_suspicion="quarantine" if policy.quarantines else "tell",
        set_by=policy.set_by,
        set_at=wire_time(policy.set_at),
    )
