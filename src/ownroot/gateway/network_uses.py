"""From which networks a device's key is used: where that changes, the store hears of it and judges (`fleet.clones`).

A request on the connection the device used last costs one comparison; one on another connection from the same network,
a few. Only a change of networks is written, and nothing more of a device once it is under suspicion.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeAlias

from ownroot.fleet.networks import Family
from ownroot.gateway.backlog import Backlog
from ownroot.gateway.standing import DeviceEntry, DeviceSession, LastNetwork
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.read_gateway_trust import DeviceKey
from ownroot.services.records import NetworkUse
from ownroot.services.suspect_clones import record_network_uses

# Each one costs a few statements, and who waits for the writer meanwhile is a device at its first contact.
_BATCH: Final = 500

_Key: TypeAlias = tuple[DeviceKey, Family]
_Noted: TypeAlias = tuple[LastNetwork, NetworkUse]


class NetworkUseRecorder(Backlog[_Key, _Noted]):
    """Collects changes of networks in this process and writes them once a second."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "network_uses", _record, batch=_BATCH)

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
            use = NetworkUse(*entry.key, device.spki_sha256, network, other, returned, now, device.released_at)
            last.is_noting = self.put((entry.key, network.family), (last, use))

    def _merge(self, earlier: _Noted, later: _Noted) -> _Noted:
        """The latest use is what counts; a return before it is not forgotten, unless by a new key or a release."""
        (_, before), (last, use) = earlier, later
        if use.returned or not before.returned:
            return later
        is_of_same = (before.spki_sha256, before.released_at) == (use.spki_sha256, use.released_at)
        return (last, replace(use, returned=True)) if is_of_same else later

    def _left(self, notes: Sequence[tuple[_Key, _Noted]], *, stored: bool) -> None:
        for key, (last, use) in notes:
            last.is_noting = key in self._pending
            if stored:
                last.stored = use.network.text


def _record(noted: Sequence[_Noted]) -> Callable[[UnitOfWork], None]:
    return record_network_uses([use for _, use in noted])
