"""Decisions about devices, remembered for as long as they hold.

A decision holds for one certificate, under one factory's trust (the very object it was made with), until the earlier
end of leaf and CA, and while nothing is heard of the device. The memory is bounded; forgetting only costs a look-up.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from ownroot.fleet.networks import Network, network_of
from ownroot.gateway.application import ConnectionControl, Peer
from ownroot.gateway.sweeps import Sweep
from ownroot.services.authorize_device import Caller
from ownroot.services.read_gateway_trust import DeviceKey, FactoryTrust
from ownroot.services.records import Device

CertificateKey: TypeAlias = tuple[int, bytes]  # factory id, SHA-256 of the certificate
CheckInValues: TypeAlias = tuple[str | None, str | None, str | None, str | None]


class LastNetwork:
    """Where a device's key was used last, of one family of addresses.

    Attributes:
        text, since: the network, and the turn in which we heard of it.
        stored: the network that was stored when we last heard. Only another one is news: not each use we see gets
            stored, so what is stored may well be older than what we know.
        is_noting: what we know waits to be stored.
    """

    __slots__ = ("is_noting", "since", "stored", "text")

    def __init__(self) -> None:
        self.text: str | None = None
        self.since = 0
        self.stored: str | None = None
        self.is_noting = False

    def hear_of(self, stored: str | None, turn: int) -> bool:
        """Take in what is stored; answers whether the key was used from another network than the one we knew.

        What we saw ourselves and did not store yet is younger than anything stored.
        """
        if self.is_noting or stored == self.stored:
            return False
        self.stored = stored
        if stored is None or stored == self.text:
            return False
        self.text, self.since = stored, turn
        return True


class DeviceEntry:
    """What this process holds about one device.

    Attributes:
        device: as stored when it was last looked up; None while no look-up has let it in.
        is_current: False once something was heard of the device; every decision that rests on it is void then.
        sessions: its open connections.
        values, not_after, recorded_at: what its check-ins told, and when that was last handed on to be stored.
        used_by: the connection its last request came on, until another network is heard of; None: look again.
        last_networks: by `fleet.networks.Family`.
    """

    __slots__ = (
        "device",
        "is_current",
        "key",
        "last_networks",
        "not_after",
        "recorded_at",
        "sessions",
        "used_by",
        "values",
    )

    def __init__(self, key: DeviceKey) -> None:
        self.key = key
        self.device: Device | None = None
        self.is_current = True
        self.sessions: list[DeviceSession] = []
        self.values: CheckInValues = (None, None, None, None)
        self.not_after: datetime | None = None
        self.recorded_at: datetime | None = None
        self.used_by: DeviceSession | None = None
        self.last_networks = (LastNetwork(), LastNetwork())

    def hear_of(self, device: Device, turn: int) -> None:
        """Take in what is stored of the device, and with it where other gateway processes saw its key.

        A release makes us forget where we saw it ourselves: nothing from before accuses anybody after.
        """
        known, self.device = self.device, device
        if known is not None and known.released_at != device.released_at:
            self.last_networks, self.used_by, turn = (LastNetwork(), LastNetwork()), None, 0
        for last, stored in zip(self.last_networks, device.networks, strict=True):
            if last.hear_of(stored, turn):
                self.used_by = None


class Standing:
    """One certificate's admission. `not_after` is the certificate's own end, whatever its CA's is."""

    __slots__ = ("entry", "expires_at", "issuer_sha256", "not_after", "spki_sha256", "trust")

    def __init__(self, caller: Caller, entry: DeviceEntry) -> None:
        self.trust = caller.trust
        self.expires_at = caller.expires_at
        self.issuer_sha256 = caller.issuer_sha256
        self.spki_sha256 = caller.spki_sha256
        self.not_after = caller.identified.certificate.not_valid_after_utc
        self.entry = entry

    def holds(self, trust: FactoryTrust, now: datetime) -> bool:
        return self.trust is trust and self.entry.is_current and now <= self.expires_at


class DeviceSession:
    """One open connection.

    Attributes:
        caller: who its certificate says it is; None if it is nobody we know, or once `standing` says it better.
        standing: the admission its last request rested on.
        issuer_sha256, spki_sha256: the CA and the key it rests on; None if it rests on nothing.
        entry: of the device, while the connection counts among its open ones.
        sweep: what it is being cut for.
        first_used: the turn of its first request that was let in; 0: there was none yet.
        network: where it comes from; None if that cannot be told.
    """

    __slots__ = (
        "caller",
        "certificate_key",
        "connection",
        "entry",
        "first_used",
        "issuer_sha256",
        "network",
        "peer",
        "spki_sha256",
        "standing",
        "sweep",
    )

    def __init__(self, connection: ConnectionControl, peer: Peer, certificate_key: CertificateKey | None) -> None:
        self.connection = connection
        self.peer = peer
        self.certificate_key = certificate_key
        self.caller: Caller | None = None
        self.standing: Standing | None = None
        self.entry: DeviceEntry | None = None
        self.sweep: Sweep | None = None
        self.issuer_sha256: bytes | None = None
        self.spki_sha256: bytes | None = None
        self.first_used = 0
        self.network: Network | None = network_of(peer.address)

    def belongs_to(self, caller: Caller) -> None:
        self.caller = caller
        self.issuer_sha256 = caller.issuer_sha256
        self.spki_sha256 = caller.spki_sha256


class StandingMemory:
    """Standings by certificate, entries by device, sessions by factory.

    Turns put in order what happens in this process: connections that are used first, and news of where a key was used.
    They are no times, so no two clocks can disagree about them.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._by_certificate: OrderedDict[CertificateKey, Standing] = OrderedDict()
        self._entries: dict[DeviceKey, DeviceEntry] = {}
        self._sessions: dict[int, set[DeviceSession]] = {}
        self._turns = itertools.count(1)

    def next_turn(self) -> int:
        return next(self._turns)

    def __len__(self) -> int:
        return len(self._by_certificate)

    def devices(self) -> list[DeviceKey]:
        return list(self._entries)

    def holds_device(self, key: DeviceKey) -> bool:
        return key in self._entries

    def find(self, key: CertificateKey, trust: FactoryTrust, now: datetime) -> Standing | None:
        """Return the standing of a certificate if it still holds."""
        standing = self._by_certificate.get(key)
        if standing is None:
            return None
        if not standing.holds(trust, now):
            del self._by_certificate[key]
            return None
        self._by_certificate.move_to_end(key)
        return standing

    def remember(self, session: DeviceSession, caller: Caller, device: Device) -> Standing:
        """Store an admission for the session's certificate."""
        entry = self.attach(session, caller)
        entry.hear_of(device, 0)  # for all we know, that was before this connection was used first
        if entry.recorded_at is None:
            entry.recorded_at = device.last_seen
            entry.not_after = device.not_after
            entry.values = (device.tags, device.target_name, device.ostree_hash, device.docker_apps)
        standing = Standing(caller, entry)
        session.caller = None
        session.standing = standing
        if session.certificate_key is not None:
            self._by_certificate[session.certificate_key] = standing
        if len(self._by_certificate) > self._capacity:
            self._evict()
        return standing

    def open(self, session: DeviceSession) -> None:
        self._sessions.setdefault(session.peer.site_key, set()).add(session)

    def close(self, session: DeviceSession) -> None:
        self._sessions[session.peer.site_key].discard(session)
        self._detach(session)

    def attach(self, session: DeviceSession, caller: Caller) -> DeviceEntry:
        """Count a connection among those of the caller's device."""
        session.belongs_to(caller)
        return self._attach(session, caller.key)

    def _attach(self, session: DeviceSession, key: DeviceKey) -> DeviceEntry:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = DeviceEntry(key)
        if session.entry is not entry:
            self._detach(session)
            session.entry = entry
            entry.sessions.append(session)
        return entry

    def join(self, session: DeviceSession, standing: Standing) -> None:
        """Let a session rest on a standing that another connection of the same certificate brought about."""
        session.standing = standing
        session.issuer_sha256 = standing.issuer_sha256
        session.spki_sha256 = standing.spki_sha256
        session.caller = None
        self._attach(session, standing.entry.key)

    def follow(self, key: DeviceKey, device: Device | None) -> list[DeviceSession]:
        """Take in what is stored of a device now; returns its open connections that must end.

        While the pinned key stays and the device is not in quarantine, every decision stays too. Otherwise all are
        void, and connections that show the new key may go on once they have been looked up again.
        """
        entry = self._entries.get(key)
        if entry is None:
            return []
        known = entry.device
        if device is not None and known is None:
            return []  # nothing was decided yet, and the next request will be looked up
        welcome = None if device is None or device.quarantined_at is not None else device
        if welcome is not None and known is not None and known.spki_sha256 == welcome.spki_sha256:
            entry.hear_of(welcome, self.next_turn())
            return []
        sessions = self._void(entry)
        return [session for session in sessions if welcome is None or session.spki_sha256 != welcome.spki_sha256]

    def _void(self, entry: DeviceEntry) -> list[DeviceSession]:
        del self._entries[entry.key]
        entry.is_current = False
        sessions, entry.sessions = entry.sessions, []
        for session in sessions:
            session.entry = session.standing = session.caller = None
            self._attach(session, entry.key)
        return sessions

    def sessions_of(self, factory_id: int) -> Iterable[DeviceSession]:
        return list(self._sessions.get(factory_id, ()))

    def _detach(self, session: DeviceSession) -> None:
        entry, session.entry = session.entry, None
        if entry is None:
            return
        entry.sessions.remove(session)
        if entry.used_by is session:
            entry.used_by = None
        if not entry.sessions and entry.device is None and self._entries.get(entry.key) is entry:
            del self._entries[entry.key]

    def _evict(self) -> None:
        _, standing = self._by_certificate.popitem(last=False)
        entry = standing.entry
        # Entries of open connections stay: they are how a change finds those connections.
        if not entry.sessions and self._entries.get(entry.key) is entry:
            entry.is_current = False
            del self._entries[entry.key]
