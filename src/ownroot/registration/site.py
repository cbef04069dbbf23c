"""A manufacturing site: its device CA, the root above it, and the names its devices will call.

Nothing is signed before all parts were seen to belong together: a wrong file shows when the server starts, and not in
the field on devices that no gateway lets in.

Source: registration.md §10 (files), §12 rows 12 and 17; api.md §4.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509

from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.pki.conformance import check_device_ca, check_factory_root, check_tls
from ownroot.pki.encoding import certificate_pem, certificate_sha256
from ownroot.pki.issuance import Issuer
from ownroot.pki.names import read_subject
from ownroot.pki.signer import PrivateKey
from ownroot.pki.traits import Traits
from ownroot.wire.registration import RegistrationRequest
from ownroot.wire.sota_toml import Overrides, SotaSettings, render_sota_toml

T = TypeVar("T")

_CA_ENDS_SOON = timedelta(days=90)
_TAGS = ("pacman", "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteParts:
    """What a site is put together from, with the names of the files for whoever has to repair them."""

    root: x509.Certificate
    ca: x509.Certificate
    ca_key: PrivateKey
    tls: x509.Certificate
    root_name: str = "factory_ca.pem"
    ca_name: str = "local-ca.pem"
    key_name: str = "local-ca.key"
    tls_name: str = "tls-crt"
    gateway_port: int = 8443


@dataclass(frozen=True, slots=True)
class Site:
    """A site whose parts belong together. `gateway_url` and `ostree_url` have no final slash."""

    factory: str
    issuer: Issuer
    issuer_sha256: bytes
    root: x509.Certificate
    gateway_url: str
    ostree_url: str

    @property
    def root_pem(self) -> str:
        """The factory root that devices pin."""
        return certificate_pem(self.root)

    @property
    def ca_pem(self) -> str:
        """The certificate of the local device CA."""
        return certificate_pem(self.issuer.certificate)

    def ends_soon(self, now: datetime) -> str:
        """Return a warning when the CA has not long to live, else nothing."""
        end = self.issuer.certificate.not_valid_after_utc
        if end - now > _CA_ENDS_SOON:
            return ""
        return (
            f"The local device CA ends on {end:%Y-%m-%d}; every certificate it signs ends with it. Its owner makes "
            "another with `ownroot keys ca add-device-ca --local-ca`."
        )

    def settings_for(self, request: RegistrationRequest, tags: tuple[str, ...] = ()) -> str:
        """Return a device's `sota.toml`.

        Args:
            tags: take the place of those the device asks for.
        Raises:
            InvalidInputError: `overrides`.
        """
        return render_sota_toml(
            SotaSettings(
                gateway_url=self.gateway_url,
                ostree_url=self.ostree_url if request.use_ostree_server else self.gateway_url,
                hardware_id=request.hardware_id,
                config_dir=request.config_dir,
                overrides=_with_tags(request.overrides, tags) if tags else request.overrides,
            )
        )


def check_site(parts: SiteParts, *, now: datetime) -> Site:
    """See that the parts belong together.

    Raises:
        InvalidInputError, RefusedError: what is wrong, in which file; `clock-unset`, this machine's clock cannot be
            right.
    """
    factory = _factory_of(parts)
    _demand_clock(parts, now)
    _in_file(parts.root_name, lambda: check_factory_root(parts.root, factory, now))
    _in_file(parts.ca_name, lambda: check_device_ca(parts.ca, parts.root, factory, now))
    dns_names = Traits.of(parts.tls).dns_names
    _in_file(parts.tls_name, lambda: check_tls(parts.tls, parts.root, dns_names, now))
    if not dns_names:
        raise InvalidInputError(
            "tls-no-names", f"{parts.tls_name} names no DNS host, so devices could not be told where the gateway is."
        )
    issuer = _in_file(parts.key_name, lambda: Issuer(parts.ca, parts.ca_key))
    gateway, ostree = dns_names[0], dns_names[min(1, len(dns_names) - 1)]
    return Site(
        factory=factory,
        issuer=issuer,
        issuer_sha256=certificate_sha256(parts.ca),
        root=parts.root,
        gateway_url=f"https://{gateway}:{parts.gateway_port}",
        ostree_url=f"https://{ostree}:{parts.gateway_port}",
    )


def _factory_of(parts: SiteParts) -> str:
    units = read_subject(parts.ca.subject).organizational_units
    if len(units) != 1:
        raise InvalidInputError(
            "ca-factory", f"{parts.ca_name}: the subject of a device CA has exactly one OU, its factory."
        )
    return units[0]


def _demand_clock(parts: SiteParts, now: datetime) -> None:
    """A board clock without battery wakes in 1970: say that, and not that a certificate is "not yet valid"."""
    start = parts.root.not_valid_before_utc
    if now < start - timedelta(days=1):
        raise InvalidInputError(
            "clock-unset",
            f"The clock of this machine says {now:%Y-%m-%d %H:%M} UTC; the factory root was made on {start:%Y-%m-%d}. "
            "Set the clock: it dates every certificate.",
        )


def _in_file(name: str, check: Callable[[], T]) -> T:
    try:
        return check()
    except OwnrootError as exc:
        raise type(exc)(exc.code, f"{name}: {exc.detail}") from exc


def _with_tags(overrides: Overrides, tags: tuple[str, ...]) -> Overrides:
    section, key = _TAGS
    value = f'"{",".join(tags)}"'
    others = tuple((name, keys) for name, keys in overrides if name != section)
    kept = next((keys for name, keys in overrides if name == section), ())
    return (*others, (section, (*((name, text) for name, text in kept if name != key), (key, value))))
