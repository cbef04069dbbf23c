"""Registering one device at a site: record, then sign, then answer.

The intent and the device's row are one commit, before the CA's key is used; the certificate, the log entry and the
announcements are the next one, before the answer leaves. A power cut in between loses nothing that left, and whoever
repeats a request whose answer got lost gets the same certificate.

Source: registration.md §3-8; architecture.md §8, P1-P3, P7.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import ConflictError, OwnrootError, RefusedError
from ownroot.pki.issuance import Plan, plan_device, sign_plan
from ownroot.pki.requests import as_production
from ownroot.pki.serials import new_serial
from ownroot.registration.allow_list import AllowedDevice, AllowList
from ownroot.registration.applicant import Applicant, Arrived, read_applicant
from ownroot.registration.before_signing import HookQuestions
from ownroot.registration.decisions import Decision, about, note
from ownroot.registration.delivery import Couriers
from ownroot.registration.journal import Journal
from ownroot.registration.known_devices import Placement
from ownroot.registration.policy import Production, SitePolicy
from ownroot.registration.reservations import (
    Claim,
    Issued,
    complete,
    find_issued,
    note_repeated,
    release,
    reserve,
)
from ownroot.registration.site import Site


class AllowLists(Protocol):
    """Gives the list of allowed devices as it is now."""

    def current(self) -> AllowList:
        """Raises UnavailableError `allow-list-unusable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a registrar works with. `allow_lists` None: every device may come."""

    site: Site
    policy: SitePolicy
    journal: Journal
    couriers: Couriers
    questions: HookQuestions
    allow_lists: AllowLists | None = None
    random: Callable[[int], bytes] = field(default=os.urandom)


class Registrar:
    """Registers devices, on one event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turns = _Turns()
        # A token takes milliseconds and must not hold up the loop; a key in memory takes less than a hop to a thread.
        self._signs_slowly = not _is_in_memory(desk.site.issuer.key)

    async def register(self, arrived: Arrived) -> Issued:
        """Register a device and return its certificate, or the one it already has for the same key.

        Raises:
            InvalidInputError: as `read_applicant`; nothing is stored of such a request.
            RefusedError: as `SitePolicy.judge`, `AllowList.demand`, `reserve`; `refused-by-hook`; `issuer-expired`.
            ConflictError: as `reserve` and `complete`. These and the refusals are in the log before they are raised.
            KeyStoreError: the CA's key cannot be used; nothing is left behind.
            UnavailableError: the journal, the allow-list or a hook cannot serve.
        """
        applicant = read_applicant(arrived, self._desk.site.factory, self._desk.policy.keys)
        try:
            async with self._turns.turn(applicant.uuid.lower()):
                return await self._register(applicant)
        except (RefusedError, ConflictError) as error:
            entry = about(applicant, Decision.REFUSED, code=error.code)
            await self._desk.journal.commit(partial(note, entry=entry))
            raise

    async def _register(self, applicant: Applicant) -> Issued:
        desk = self._desk
        entry, refusal = self._judge(applicant)
        if refusal is not None or desk.questions.are_asked:
            # Who has a certificate gets it again, whatever a list, a window or a hook would say today.
            known = desk.journal.read(partial(find_issued, applicant=applicant, issuer_sha256=desk.site.issuer_sha256))
            if known is not None:
                await desk.journal.commit(partial(note_repeated, applicant=applicant, issued=known))
                return known
        if refusal is not None:
            raise refusal
        placement = await desk.questions.ask(applicant, _placement(applicant, entry, desk.policy))
        return await self._issue(Claim(applicant, placement, self._plan(applicant), desk.site.issuer_sha256))

    def _judge(self, applicant: Applicant) -> tuple[AllowedDevice | None, OwnrootError | None]:
        """Return the device's entry in the list, if there is a list, or why it is refused."""
        try:
            self._desk.policy.judge(applicant)
            lists = self._desk.allow_lists
            return (None if lists is None else lists.current().demand(applicant)), None
        except OwnrootError as refusal:
            return None, refusal

    def _plan(self, applicant: Applicant) -> Plan:
        desk = self._desk
        forced = desk.policy.production is Production.FORCE
        return plan_device(
            as_production(applicant.csr) if forced else applicant.csr,
            desk.site.issuer.terms,
            now=applicant.at,
            serial=new_serial(desk.random),
            validity=desk.policy.validity,
            backdate=desk.policy.backdate,
        )

    async def _issue(self, claim: Claim) -> Issued:
        desk = self._desk
        reason = await desk.journal.commit(partial(reserve, claim=claim, policy=desk.policy))
        if isinstance(reason, Issued):
            return reason
        try:
            certificate = await self._sign(claim.plan)
            issued = await desk.journal.commit(
                partial(complete, claim=claim, certificate=certificate, reason=reason, targets=desk.couriers.names)
            )
        except OwnrootError:
            # If this fails too, the next start finds the open intent.
            with contextlib.suppress(OwnrootError):
                await desk.journal.commit(partial(release, serial=claim.serial, now=claim.applicant.at))
            raise
        desk.couriers.wake()
        return issued

    async def _sign(self, plan: Plan) -> x509.Certificate:
        key = self._desk.site.issuer.key
        return await asyncio.to_thread(sign_plan, plan, key) if self._signs_slowly else sign_plan(plan, key)


class _Turns:
    """Lets one request for a uuid happen at a time; a repeat finds what the first one got."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, uuid: str) -> asyncio.Lock:
        """Return what the request holds while it is at work; forgotten when nobody holds or wants it any more."""
        lock = self._locks.get(uuid)
        if lock is None:
            lock = self._locks[uuid] = asyncio.Lock()
        return lock


def _placement(applicant: Applicant, entry: AllowedDevice | None, policy: SitePolicy) -> Placement:
    """The list knows a board better than its request does, and the request better than the rule for all."""
    listed_name = entry.name if entry else None
    listed_group = entry.group if entry else None
    return Placement(name=listed_name or applicant.name, group=listed_group or applicant.group or policy.group)


def _is_in_memory(key: ec.EllipticCurvePrivateKey) -> bool:
    return type(key).__module__.startswith("cryptography.")
