"""An owner who holds their root in memory and changes their PKI over the real API, made with `cryptography` alone.

owner = ApiOwner(server)
owner.take_over()
site = owner.add_local_ca()
owner.order({site: REVOKE})
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast

import httpx2
from cryptography import x509

from ownroot.clock import utc_now
from tests.support.certificates import (
    Key,
    Oddities,
    Pair,
    crl,
    crl_pem,
    csr,
    csr_pem,
    device_ca,
    device_name,
    factory_root,
    gateway_tls,
    make_key,
)
from tests.support.world import RunningServer

DISABLE: Final = x509.ReasonFlags.certificate_hold
RENEW: Final = x509.ReasonFlags.remove_from_crl
REVOKE: Final = x509.ReasonFlags.privilege_withdrawn

_NO_META: Final = {"created-by": "", "created-at": "", "updated-by": "", "updated-at": ""}


@dataclass(slots=True)
class ApiOwner:
    """The owner of `server.factory`, as `server` knows them."""

    server: RunningServer
    root: Pair = field(init=False)
    gateway_name: str = ""

    def __post_init__(self) -> None:
        self.root = factory_root(self.server.factory, now=utc_now())

    @property
    def path(self) -> str:
        return f"/ota/factories/{self.server.factory}/certs/"

    def get(self) -> Any:
        """Return what the factory trusts, as sent."""
        return self.server.call("GET", self.path).json()

    def patch(self, **fields: str) -> httpx2.Response:
        """Upload these parts; underscores in their names become hyphens."""
        parts = {name.replace("_", "-"): text for name, text in fields.items()}
        return self.server.call("PATCH", self.path, document={**parts, "change-meta": _NO_META})

    def csrs(self, *kinds: str, first: bool = False) -> dict[str, str]:
        """Ask for CSRs: `tls-csr`, `ca-csr`, `est-tls-csr`."""
        asked = {kind: kind in kinds for kind in ("tls-csr", "ca-csr", "est-tls-csr")}
        answer = self.server.call("POST", self.path, document={"first-time-init": first, **asked})
        assert answer.status_code == 201, answer.text
        return cast("dict[str, str]", answer.json())

    def take_over(self) -> None:
        """Make the factory the owner's, with an online CA."""
        csrs = self.csrs("tls-csr", "ca-csr", first=True)
        tls = self.sign_tls(csrs["tls-csr"])
        self.gateway_name = str(_dns_names(csrs["tls-csr"])[0])
        accept(self.patch(root_crt=self.root.pem, tls_crt=tls, ca_crt=self.sign_online_ca(csrs["ca-csr"])))

    def sign_tls(self, text: str) -> str:
        """Sign the CSR of a TLS certificate."""
        options = Oddities(key=_key_of(text), dns_names=_dns_names(text))
        return gateway_tls(self.root, self.server.factory, now=utc_now(), **options).pem

    def sign_online_ca(self, text: str) -> str:
        """Sign the CSR of an online CA."""
        subject = x509.load_pem_x509_csr(text.encode()).subject
        options = Oddities(key=_key_of(text), subject=subject)
        return device_ca(self.root, now=utc_now(), **options).pem

    def replace_online_ca(self) -> None:
        """Add an online CA, which signs from now on."""
        accept(self.add(self.sign_online_ca(self.csrs("ca-csr")["ca-csr"])))

    def make_local_ca(self, **odd: Any) -> Pair:
        """Make a local device CA and tell nobody."""
        return device_ca(self.root, f"fio-{self.server.owner_id}", self.server.factory, now=utc_now(), **odd)

    def add_local_ca(self, **odd: Any) -> Pair:
        """Make a local device CA and have it trusted."""
        made = self.make_local_ca(**odd)
        accept(self.add(made.pem))
        return made

    def add(self, *certificates: str) -> httpx2.Response:
        """Upload the present list and more."""
        return self.patch(ca_crt="\n".join((self.get()["ca-crt"] or "", *certificates)))

    def command(self, orders: Mapping[int, x509.ReasonFlags | None], *, at: datetime | None = None) -> str:
        """Sign a command on device CAs, named by serial."""
        return crl_pem(crl(self.root, orders, now=at or utc_now()))

    def order(self, *cas: Pair | x509.Certificate, reason: x509.ReasonFlags | None) -> httpx2.Response:
        """Sign and send a command."""
        certificates = (ca.certificate if isinstance(ca, Pair) else ca for ca in cas)
        return self.patch(ca_revoke_crl=self.command({c.serial_number: reason for c in certificates}))

    def register(self, uuid: str) -> httpx2.Response:
        """Register a device through the API, over a key of its own."""
        return self.register_over(uuid, make_key())

    def register_pair(self, uuid: str) -> Pair:
        """The same, for a device that is to connect."""
        key = make_key()
        answer = accept(self.register_over(uuid, key))
        return Pair(x509.load_pem_x509_certificate(answer.json()["client.pem"].encode()), key)

    def register_over(self, uuid: str, key: Key) -> httpx2.Response:
        """The same, over a key that is there."""
        request = csr_pem(csr(key, device_name(uuid, self.server.factory)))
        document = {"uuid": uuid, "csr": request, "hardware-id": "test"}
        return self.server.call("POST", "/ota/devices/", document=document)


def accept(answer: httpx2.Response) -> httpx2.Response:
    """Demand that a request succeeded."""
    assert answer.is_success, answer.text
    return answer


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


class _PublicHalf:
    """Stands where a builder wants a key only to ask for its public half."""

    def __init__(self, public: Any) -> None:
        self._public = public

    def public_key(self) -> Any:
        return self._public


def _key_of(text: str) -> Key:
    return cast("Key", _PublicHalf(x509.load_pem_x509_csr(text.encode()).public_key()))


def _dns_names(text: str) -> list[str]:
    names = x509.load_pem_x509_csr(text.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.DNSName)
