"""Which site a connection is for: server name in, TLS context out.

A site answers to `<name>` and `ostree.<name>`, without regard to case. An unknown name, or none, means the default
site. Contexts are made when first asked for, and the least recently used ones are dropped, so ten thousand factories
cost nothing until their devices call.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from OpenSSL import SSL

from ownroot.errors import OwnrootError
from ownroot.gateway.tls_context import make_base_context

_log = structlog.get_logger(__name__)
_KEPT_CONTEXTS = 1024
_OSTREE = "ostree."


@dataclass(frozen=True, slots=True)
class Site:
    """A name this listener answers to.

    Attributes:
        key: by which the application tells its sites apart.
        identity: changes whenever the certificate does; a context made for another identity is not used again.
        make_context: called at most once per identity while the context is kept. None closes the site: its name is
            known, so nobody is sent to the default site instead, and handshakes fail.
    """

    key: int
    identity: bytes
    make_context: Callable[[], SSL.Context] | None


class SiteTable:
    """The sites of a listener. `replace` takes effect for handshakes that begin afterwards."""

    def __init__(self) -> None:
        self._by_name: Mapping[str, Site] = {}
        self._default: Site | None = None
        self._contexts: OrderedDict[tuple[int, bytes], SSL.Context | None] = OrderedDict()
        self.base_context = make_base_context(self._choose)

    def replace(self, sites: Mapping[str, Site], *, default: Site | None) -> None:
        """Take over a new set of sites; names are lower-case and without the `ostree.` prefix."""
        self._by_name = dict(sites)
        self._default = default
        live = {(site.key, site.identity) for site in (*sites.values(), *([default] if default else []))}
        for stale in [key for key in self._contexts if key not in live]:
            del self._contexts[stale]

    def find(self, server_name: str | None) -> Site | None:
        """Return the site of a server name as a client sent it; the default one if it names none."""
        if server_name is None:
            return self._default
        name = server_name.lower().removesuffix(".")
        return self._by_name.get(name) or self._by_name.get(name.removeprefix(_OSTREE)) or self._default

    def owner_of(self, host: str) -> int | None:
        """Return the key of the site that answers to exactly this name, None if no site does."""
        name = host.lower().removesuffix(".")
        site = self._by_name.get(name) or self._by_name.get(name.removeprefix(_OSTREE))
        return site.key if site else None

    def _choose(self, tls: SSL.Connection) -> None:
        raw = tls.get_servername()
        site = self.find(raw.decode("ascii", "replace") if raw else None)
        if site is not None and site.make_context is not None:
            context = self.context_of(site, site.make_context)
            if context is not None:
                tls.set_context(context)
                tls.set_app_data(site.key)

    def context_of(self, site: Site, make_context: Callable[[], SSL.Context]) -> SSL.Context | None:
        """Return the kept context of a site, or a new one; None if none can be made for this identity."""
        key = (site.key, site.identity)
        if key in self._contexts:
            self._contexts.move_to_end(key)
            return self._contexts[key]
        try:
            context = make_context()
        except (OwnrootError, SSL.Error) as error:
            _log.error("a gateway certificate cannot be presented; its name is closed", site=site.key, exc_info=error)
            context = None
        self._contexts[key] = context
        if len(self._contexts) > _KEPT_CONTEXTS:
            self._contexts.popitem(last=False)
        return context
