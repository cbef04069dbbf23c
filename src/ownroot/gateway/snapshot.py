"""What this process believes about every factory, and since when it has been sure of it.

The picture is replaced as a whole by the watcher. If the store cannot be read, the last picture counts for the grace
time and not a second longer: whoever can silence the database must not be able to keep a revoked CA alive.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from ownroot.gateway.sni import Site, SiteTable
from ownroot.gateway.tls_context import make_site_context
from ownroot.pki.encoding import certificate_sha256
from ownroot.services.read_gateway_trust import FactoryTrust, SharedConfigTimes, TrustPicture
from ownroot.services.records import SealedKey

_log = structlog.get_logger(__name__)
_NEVER = datetime.max.replace(tzinfo=UTC)
_NO_CONFIG = SharedConfigTimes()
OpenKey = Callable[[SealedKey], ec.EllipticCurvePrivateKey]


class Snapshot:
    """The current picture and the sites made from it.

    Attributes:
        sites: which names this worker answers to.
        est_sites: the same of a listener for EST alone; a factory without a certificate for it is closed there.
        closed: gateway names with nothing valid to present; their handshakes fail, the others go on.
    """

    def __init__(self, open_key: OpenKey, *, grace_seconds: float) -> None:
        self.sites = SiteTable()
        self.est_sites = SiteTable()
        self.picture = TrustPicture(-1, {})
        self.closed: tuple[str, ...] = ()
        self._open_key = open_key
        self._grace_seconds = grace_seconds
        self._confirmed_at = float("-inf")
        self._next_expiry = _NEVER

    def find(self, factory_id: int) -> FactoryTrust | None:
        return self.picture.factories.get(factory_id)

    def config_times(self, factory_id: int) -> SharedConfigTimes:
        return self.picture.configs.get(factory_id, _NO_CONFIG)

    def confirm(self, at: float) -> None:
        """The store was asked at this time (monotonic) and nothing in the picture is older."""
        self._confirmed_at = at

    def is_fresh(self, at: float) -> bool:
        """May the picture still be acted upon?"""
        return at - self._confirmed_at <= self._grace_seconds

    def replace(self, picture: TrustPicture, *, now: datetime) -> frozenset[int]:
        """Take over a newer picture; returns the factories that are not what they were."""
        before = self.picture.factories
        self.picture = picture
        moved = frozenset(key for key, trust in picture.factories.items() if before.get(key) is not trust)
        if moved:
            self._renew_sites(now)
        return moved

    def close_expired_sites(self, now: datetime) -> None:
        """A TLS certificate may end without any change in the store."""
        if now > self._next_expiry:
            self._renew_sites(now)

    def _renew_sites(self, now: datetime) -> None:
        trusts = self.picture.factories.values()
        default = next((trust.factory.gateway_name for trust in trusts if trust.factory.is_default), None)
        sites = {trust.factory.gateway_name: self._site(trust, trust.tls, trust.tls_key, now) for trust in trusts}
        self.sites.replace(sites, default=None if default is None else sites[default])
        est = {trust.factory.gateway_name: self._site(trust, trust.est_tls, trust.est_tls_key, now) for trust in trusts}
        self.est_sites.replace(est, default=None if default is None else est[default])
        closed = tuple(name for name, site in sites.items() if site.make_context is None)
        for name in set(closed) - set(self.closed):
            _log.warning("gateway name closed: no valid TLS certificate and key for it (yet)", gateway_name=name)
        for name in set(self.closed) - set(closed):
            _log.info("gateway name open", gateway_name=name)
        self.closed = closed
        ends = (tls.not_valid_after_utc for trust in trusts for tls in (trust.tls, trust.est_tls) if tls is not None)
        self._next_expiry = min((end for end in ends if end >= now), default=_NEVER)

    def _site(self, trust: FactoryTrust, tls: x509.Certificate | None, key: SealedKey | None, now: datetime) -> Site:
        if tls is None or key is None or tls.not_valid_after_utc < now:
            return Site(trust.factory.id, b"", None)

        def make_context() -> SSL.Context:
            return make_site_context(tls, self._open_key(key))

        return Site(trust.factory.id, certificate_sha256(tls), make_context)
