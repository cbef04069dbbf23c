"""The gateway's application without sockets, for what only a clock or an exact order of events can show.

Everything below it is real: certificates, trust, SQLite. Only the peer is told instead of proven, so nothing here
stands for a handshake; those are tested with real ones.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from ownroot.clock import utc_now
from ownroot.gateway.application import Peer
from ownroot.gateway.check_ins import CheckInRecorder
from ownroot.gateway.config_fetches import ConfigFetchRecorder
from ownroot.gateway.device_gateway import DeviceGateway, Recorders
from ownroot.gateway.device_pace import RENEWALS, DevicePace
from ownroot.gateway.endpoints.est import Renewals
from ownroot.gateway.http_parser import Request
from ownroot.gateway.issuing_desk import IssuingDesk
from ownroot.gateway.network_uses import NetworkUseRecorder
from ownroot.gateway.refusals import RefusalRecorder
from ownroot.gateway.responses import Response
from ownroot.gateway.snapshot import Snapshot
from ownroot.gateway.standing import DeviceSession, StandingMemory
from ownroot.gateway.sweeps import RevocationTimes
from ownroot.gateway.watcher import TrustWatcher
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceCertificatePolicy
from tests.support.certificates import Pair
from tests.support.gateway_world import VAULT, GatewayWorld, idle_world

T = TypeVar("T")


@dataclass(slots=True)
class Wire:
    """One connection; it remembers being cut."""

    session: DeviceSession | None = None
    is_cut: bool = False

    def abort(self) -> None:
        self.is_cut = True


class InProcess:
    """A gateway on the running loop, with a clock the test turns.

    Attributes:
        now: what the gateway takes for the present.
    """

    def __init__(self, world: GatewayWorld, database: Database, *, grace_seconds: float, capacity: int) -> None:
        self.world = world
        self.now = utc_now()
        self.snapshot = Snapshot(lambda _key: _no_key(), grace_seconds=grace_seconds)
        self.memory = StandingMemory(capacity=capacity)
        self.check_ins = CheckInRecorder(database)
        self.refusals = RefusalRecorder(database)
        self.config_fetches = ConfigFetchRecorder(database)
        self.network_uses = NetworkUseRecorder(database)
        revocation_times = RevocationTimes(time.time)
        recorders = Recorders(self.check_ins, self.refusals, revocation_times, self.config_fetches, self.network_uses)
        renewals = Renewals(IssuingDesk(Path("nobody-listens-here.sock")), DevicePace(RENEWALS, time.monotonic))
        self.gateway = DeviceGateway(
            database,
            self.snapshot,
            self.memory,
            recorders,
            config_vault=VAULT,
            renewals=renewals,
            clock=lambda: self.now,
        )
        self.watcher = TrustWatcher(database, DeviceCertificatePolicy(), self.gateway, interval_seconds=60)

    async def start(self) -> None:
        self.snapshot.replace(await self.watcher.read_first(), now=self.now)
        self.snapshot.confirm(asyncio.get_running_loop().time())

    def wait(self, **time: int) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def connect(self, identity: Pair | None, address: str = "192.0.2.1") -> Wire:
        """Let a peer's handshake end."""
        wire = Wire()
        der = None if identity is None else identity.der
        peer = Peer(address, self.world.acme.factory.id, der, "TLSv1.3")
        wire.session = self.gateway.connected(wire, peer)
        return wire

    async def ask(self, wire: Wire, path: str = "/device", **headers: str) -> Response:
        """Send one request on a connection."""
        assert wire.session is not None
        fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        answer = self.gateway.handle(wire.session, Request("GET", path, "", fields, b"", keep_alive=True))
        return answer if isinstance(answer, Response) else await answer

    async def code(self, wire: Wire) -> str:
        """Ask, and return `ok` or the code of the refusal."""
        answer = await self.ask(wire)
        return "ok" if answer.status == 200 else answer.body.decode().partition(":")[0]


def in_process(
    folder: Path,
    scenario: Callable[[InProcess], Coroutine[Any, Any, T]],
    *,
    database: Callable[[Database], Database] = lambda database: database,
    grace_seconds: float = 300,
    capacity: int = 1000,
) -> T:
    """Run a scenario against a new world.

    Args:
        database: may put something between the gateway and the database.
    """

    async def run() -> T:
        with idle_world(folder) as world:
            process = InProcess(world, database(world.database), grace_seconds=grace_seconds, capacity=capacity)
            await process.start()
            try:
                return await scenario(process)
            finally:
                process.watcher.close()
                process.gateway.close()

    return asyncio.run(run())


def _no_key() -> Any:
    raise AssertionError("no TLS here")
