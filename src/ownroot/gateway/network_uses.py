"""From which networks a device's key is used: where that changes, the store hears of it and judges (`fleet.clones`).

A request on the connection the device used last costs one comparison; one on another connection from the same network,
a few. Only a change of networks is written, and nothing more of a device once it is under suspicion.
"""

import asyncio
from dataclasses import replace
from datetime import datetime

import structlog

from ownroot.errors import OwnrootError, UnavailableError
from ownroot.gateway.standing import DeviceEntry, DeviceSession
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceKey
from ownroot.services.records import NetworkUse
from ownroot.services.suspect_clones import record_network_uses

_log = structlog.get_logger(__name__)
_MAX_PENDING = 50_000
# Each one costs a few statements, and who waits for the writer meanwhile is a device at its first contact.
_MAX_BATCH = 500


class NetworkUseRecorder:
    """Collects changes of networks in this process and writes them once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[DeviceKey, tuple[DeviceEntry, NetworkUse]] = {}

    def note(self, session: DeviceSession, entry: DeviceEntry, turn: int, now: datetime) -> None:
        """A request came on another connection than the one before.

        Args:
            entry: of the session's device, which was let in.
            turn: the next one.
        """
        entry.used_by = session
        # A connection that waits for its first request while news come in may be that of a device on the move.
        session.first_used = session.first_used or turn
        network, device = session.network, entry.device
        if network is None or device is None:
            return
        last = entry.last_networks[network.family]
        other = last.text
        if other == network.text:
            return
        returned = other is not None and session.first_used < last.since
        last.text, last.since = network.text, turn
        if device.suspicion is None:
            self._put(entry, NetworkUse(*entry.key, device.spki_sha256, network, other, returned, now))

    def _put(self, entry: DeviceEntry, use: NetworkUse) -> None:
        """Keep the latest use of a device; a return among those before it is not forgotten."""
        waiting = self._pending.get(entry.key)
        if waiting is None and len(self._pending) >= _MAX_PENDING:
            return
        if waiting is not None and waiting[1].returned and not use.returned:
            use = replace(use, returned=True)
        self._pending[entry.key] = (entry, use)
        entry.is_noting = True

    async def run(self) -> None:
        """Write once a second until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending. While the store is unavailable it stays pending."""
        noted, self._pending = list(self._pending.items()), {}
        for start in range(0, len(noted), _MAX_BATCH):
            part = noted[start : start + _MAX_BATCH]
            try:
                await asyncio.wrap_future(self._database.write(record_network_uses([use for _, (_, use) in part])))
            except UnavailableError as error:
                self._pending = dict(noted[start:]) | self._pending
                _log.warning("changes of networks could not be stored, they are kept", code=error.code)
                return
            except OwnrootError as error:
                _log.error("changes of networks could not be stored, they are lost", exc_info=error)
            for key, (entry, _) in part:
                entry.is_noting = key in self._pending
