"""The device gateway: the application an engine serves.

Every request of every connection is decided anew, most often by a look into memory. In order: can trust be read at all,
is the request meant for this factory, is the caller vouched for, is the device welcome; then the visit is recorded and
the endpoint answers. A refusal is one readable answer and a close, and it is recorded.
"""

import asyncio
import itertools
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import structlog

from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, RefusedError, UnavailableError
from ownroot.gateway.application import ConnectionControl, Peer
from ownroot.gateway.check_ins import CheckInRecorder
from ownroot.gateway.config_fetches import ConfigFetchRecorder
from ownroot.gateway.endpoints import DeviceEndpoints
from ownroot.gateway.endpoints.call import Answer, DeviceCall
from ownroot.gateway.endpoints.config import ConfigEndpoints
from ownroot.gateway.endpoints.est import ENROLMENT_PATHS, Renewals
from ownroot.gateway.endpoints.open_paths import OPEN_PREFIX, answer_open
from ownroot.gateway.http_parser import Request
from ownroot.gateway.network_uses import NetworkUseRecorder
from ownroot.gateway.problems import error_response
from ownroot.gateway.refusals import RefusalRecorder, RefusedRequest
from ownroot.gateway.responses import Response
from ownroot.gateway.snapshot import Snapshot
from ownroot.gateway.standing import DeviceSession, Standing, StandingMemory
from ownroot.gateway.store import Store
from ownroot.gateway.sweeps import RevocationTimes
from ownroot.services.authorize_device import (
    Admitted,
    Caller,
    Denied,
    NeedsWrite,
    claimed_uuid,
    find_standing,
    identify_caller,
    settle_standing,
)
from ownroot.services.config_vault import ConfigVault
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceKey, FactoryTrust, Refreshed, TrustPicture
from ownroot.services.record_tests import DEFAULT_QUOTA_BYTES
from ownroot.services.records import Device

_log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=:-]{1,128}\Z")
_ATTEMPTS = 3
_COPIED = ("device-key-mismatch", "device-key-replaced")
_EXPIRED = "device-expired"
_UNREADABLE = UnavailableError("trust-unreadable", "The gateway cannot read its database. Try later.", retry_after=30)
_UNSETTLED = UnavailableError("trust-moving", "The factory's trust changed meanwhile. Try again.", retry_after=1)


@dataclass(frozen=True, slots=True)
class Recorders:
    """What is written about requests after they were answered, and measured of changes."""

    check_ins: CheckInRecorder
    refusals: RefusalRecorder
    revocation_times: RevocationTimes
    config_fetches: ConfigFetchRecorder
    network_uses: NetworkUseRecorder


class DeviceGateway:
    """See the module. One per process; everything runs on the event loop but look-ups, which have their threads."""

    def __init__(  # noqa: PLR0913  (what it is wired from)
        self,
        database: Database,
        snapshot: Snapshot,
        memory: StandingMemory,
        recorders: Recorders,
        *,
        config_vault: ConfigVault,
        renewals: Renewals,
        clock: Callable[[], datetime],
        report_quota_bytes: int = DEFAULT_QUOTA_BYTES,
    ) -> None:
        self._store = Store(database)
        config = ConfigEndpoints(self._store, config_vault, recorders.config_fetches)
        self._endpoints = DeviceEndpoints(self._store, config, renewals, report_quota_bytes=report_quota_bytes)
        self._renewals = renewals
        self._snapshot = snapshot
        self._memory = memory
        self._check_ins = recorders.check_ins
        self._network_uses = recorders.network_uses
        self._refusals = recorders.refusals
        self._revocation_times = recorders.revocation_times
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._request_prefix = os.urandom(6).hex()
        self._request_numbers = itertools.count(1)
        self.swept = 0

    def close(self) -> None:
        self._store.close()

    # What the engine calls.

    def connected(self, connection: ConnectionControl, peer: Peer) -> DeviceSession:
        """Read the identity under today's trust: the handshake may have straddled a change."""
        der = peer.certificate_der
        key = None if der is None else (peer.site_key, sha256(der).digest())
        session = DeviceSession(connection, peer, key)
        self._memory.open(session)
        trust = self._snapshot.find(peer.site_key)
        if der is not None and trust is not None:
            self._recognize(session, trust, self._clock())
        return session

    def disconnected(self, session: DeviceSession) -> None:
        self._memory.close(session)
        if session.sweep is not None:
            session.sweep.closed()

    def body_bytes(self, session: DeviceSession, path: str) -> int | None:
        """Strangers get no more room than the engine grants everybody."""
        return None if session.issuer_sha256 is None else self._endpoints.body_bytes(path)

    def handle(self, session: DeviceSession, request: Request) -> Response | Awaitable[Response]:
        request_id = self._request_id(request)
        now = self._clock()
        trust = self._snapshot.find(session.peer.site_key)
        if trust is None or not self._snapshot.is_fresh(self._loop.time()):
            return _finish(error_response(_UNREADABLE), request_id)
        if self._is_misdirected(session, request):
            answer = Response(421, b"this connection belongs to another gateway name\n", close=True)
            return _finish(answer, request_id)
        if request.path.startswith(OPEN_PREFIX):
            open_answer = answer_open(request, trust, now)
            if open_answer is not None:
                return _finish(open_answer, request_id)
        standing = session.standing
        if standing is None or not standing.holds(trust, now):
            found = self._recognize(session, trust, now)
            if isinstance(found, Caller):
                return self._admit(session, found, request, request_id)
            if isinstance(found, Denied):
                if found.code == _EXPIRED and _is_enrolment(request):
                    recovered = self._renewals.recover(request, trust, session.peer)
                    return self._finish_later(recovered, session, request_id)
                return _finish(self._refuse(session, found, now, request), request_id)
            standing = found
        return self._finish_answer(self._answer(standing, request, session, now), session, request_id)

    def alerted(self, peer_address: str, site_key: int | None, alert: str) -> None:
        """Record devices that cannot verify us: after a take-over they hold the wrong root and can tell nobody else."""
        trust = None if site_key is None else self._snapshot.find(site_key)
        if trust is None or alert not in ("unknown_ca", "bad_certificate", "certificate_unknown"):
            return
        since = f", taken over on {trust.taken_over_at}" if trust.taken_over_at else ""
        detail = (
            f"A device left the handshake with `{alert}`: it trusts another root than that of factory "
            f"{trust.factory.name}{since}. It must register again, or get the new root in its root.crt."
        )
        refused = RefusedRequest(trust.factory.id, "device-trusts-another-root", detail, "", None, peer_address)
        self._refusals.note(refused, self._clock())

    # What the watcher calls.

    @property
    def picture(self) -> TrustPicture:
        return self._snapshot.picture

    def devices_of_interest(self) -> list[DeviceKey]:
        return self._memory.devices()

    def is_of_interest(self, key: DeviceKey) -> bool:
        return self._memory.holds_device(key)

    def confirmed(self, asked_at: float) -> None:
        self._snapshot.confirm(asked_at)
        self._snapshot.close_expired_sites(self._clock())

    def refreshed(self, found: Refreshed) -> None:
        """Act on changes: decisions that do not hold any more are void, connections of what lost trust are cut."""
        moved = self._snapshot.replace(found.picture, now=self._clock())
        for factory_id in moved:
            self._sweep(factory_id, found)
        for key, device in found.devices.items():
            self._follow(key, device)

    def _sweep(self, factory_id: int, found: Refreshed) -> None:
        """Cut every connection whose device CA is trusted no more, and measure how long that takes to be done."""
        issuers = found.picture.factories[factory_id].issuers
        lost = [
            session
            for session in self._memory.sessions_of(factory_id)
            if session.issuer_sha256 is not None and session.issuer_sha256 not in issuers and session.sweep is None
        ]
        announced_at = found.announced_at.get(factory_id)
        sweep = None if announced_at is None else self._revocation_times.begin(announced_at)
        for session in lost:
            if sweep is not None:
                session.sweep = sweep
                sweep.cut()
            self._cut(session)

    def _follow(self, key: DeviceKey, device: Device | None) -> None:
        for session in self._memory.follow(key, device):
            self._cut(session)

    def _cut(self, session: DeviceSession) -> None:
        self.swept += 1
        session.connection.abort()

    # Deciding.

    def _recognize(self, session: DeviceSession, trust: FactoryTrust, now: datetime) -> Standing | Caller | Denied:
        """Find what is known of the session's certificate: an admission, at least an identity, or why neither."""
        if session.certificate_key is not None:
            standing = self._memory.find(session.certificate_key, trust, now)
            if standing is not None:
                self._memory.join(session, standing)
                return standing
        caller = session.caller
        if caller is not None and caller.trust is trust and now <= caller.expires_at:
            return caller
        found = identify_caller(session.peer.certificate_der, trust, now=now)
        if isinstance(found, Caller):
            self._memory.attach(session, found)
        return found

    async def _admit(self, session: DeviceSession, caller: Caller, request: Request, request_id: bytes) -> Response:
        try:
            verdict = await self._settle(session, caller)
        except UnavailableError as error:
            return _finish(error_response(error), request_id)
        except ConflictError as error:
            verdict = Denied(error.code, error.detail)
        now = self._clock()
        if isinstance(verdict, Denied):
            return _finish(self._refuse(session, verdict, now, request), request_id)
        answer = self._finish_answer(self._answer(verdict, request, session, now), session, request_id)
        return answer if isinstance(answer, Response) else await answer

    async def _settle(self, session: DeviceSession, caller: Caller) -> Standing | Denied:
        """Ask the store until the answer is younger than everything heard of the device and its factory."""
        for _ in range(_ATTEMPTS):
            verdict = await self._look_up(caller)
            trust = self._snapshot.find(caller.trust.factory.id)
            if isinstance(verdict, Denied):
                return verdict
            if trust is caller.trust and verdict.generation >= self._snapshot.picture.generation:
                self._follow(caller.key, verdict.device)  # a promotion ends the connections of the old key
                return self._memory.remember(session, caller, verdict.device)
            if trust is not None and trust is not caller.trust:
                again = identify_caller(session.peer.certificate_der, trust, now=self._clock())
                if isinstance(again, Denied):
                    return again
                caller = again
        raise _UNSETTLED

    async def _look_up(self, caller: Caller) -> Admitted | Denied:
        now = self._clock()
        found = await self._store.read(lambda uow: find_standing(uow, caller, now=now))
        if not isinstance(found, NeedsWrite):
            return found
        return await self._store.write(lambda uow: settle_standing(uow, caller, now=now))

    # Answering.

    def _answer(self, standing: Standing, request: Request, session: DeviceSession, now: datetime) -> Answer:
        entry = standing.entry
        if entry.device is None:
            raise AssertionError("a standing is made with a device")
        if entry.used_by is not session:
            self._network_uses.note(session, entry, self._memory.next_turn(), now)
        self._check_ins.note(entry, request.headers, now, not_after=standing.not_after)
        call = DeviceCall(
            standing.trust,
            entry.device,
            entry.values,
            request,
            now,
            self._snapshot.config_times(entry.key[0]),
            session.peer,
        )
        try:
            return self._endpoints.answer(call)
        except OwnrootError as error:
            return error_response(error)

    def _finish_answer(self, answer: Answer, session: DeviceSession, request_id: bytes) -> Answer:
        if isinstance(answer, Response):
            return _finish(answer, request_id)
        return self._finish_later(answer, session, request_id)

    async def _finish_later(self, answer: Awaitable[Response], session: DeviceSession, request_id: bytes) -> Response:
        try:
            return _finish(await answer, request_id)
        except RefusedError as error:
            return _finish(self._refuse(session, Denied(error.code, error.detail), self._clock()), request_id)
        except InvalidInputError as error:
            self._note(session, Denied(error.code, error.detail), self._clock())
            return _finish(error_response(error), request_id)
        except OwnrootError as error:
            return _finish(error_response(error), request_id)

    def _refuse(
        self, session: DeviceSession, denied: Denied, now: datetime, request: Request | None = None
    ) -> Response:
        """Record a refusal and word it; who enrols without any certificate hears 401 (gateway.md §7.1)."""
        self._note(session, denied, now)
        is_bare = session.peer.certificate_der is None and request is not None and _is_enrolment(request)
        return Response(401 if is_bare else 403, f"{denied.code}: {denied.detail}\n".encode(), close=True)

    def _note(self, session: DeviceSession, denied: Denied, now: datetime) -> None:
        peer = session.peer
        fingerprint = None if session.certificate_key is None else session.certificate_key[1]
        subject = claimed_uuid(peer.certificate_der)
        self._refusals.note(
            RefusedRequest(peer.site_key, denied.code, denied.detail, subject, fingerprint, peer.address), now
        )
        if denied.code in _COPIED:
            # A stolen CA key or a copied device; everything else strangers could write into the log at will.
            _log.warning("device refused", code=denied.code, device=subject, peer=peer.address)

    def _is_misdirected(self, session: DeviceSession, request: Request) -> bool:
        host = request.headers.get(b"host")
        if host is None:
            return False
        owner = self._snapshot.sites.owner_of(host.decode("ascii").partition(":")[0])
        return owner is not None and owner != session.peer.site_key

    def _request_id(self, request: Request) -> bytes:
        given = request.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.match(given) is not None:
            return given
        return f"{self._request_prefix}-{next(self._request_numbers):x}".encode("ascii")


def _finish(answer: Response, request_id: bytes) -> Response:
    headers = (*answer.headers, (b"X-Request-Id", request_id))
    return Response(answer.status, answer.body, answer.content_type, headers, answer.close)


def _is_enrolment(request: Request) -> bool:
    return request.method == "POST" and request.path in ENROLMENT_PATHS
