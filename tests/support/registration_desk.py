"""A site without its network edge: a real journal, a real CA, and applicants of all kinds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki.issuance import plan_device, sign_plan
from ownroot.pki.requests import KeyPolicy
from ownroot.pki.serials import new_serial
from ownroot.registration.applicant import Applicant, Arrived, Sender, read_applicant
from ownroot.registration.journal import Journal, opened_journal
from ownroot.registration.known_devices import Placement
from ownroot.registration.policy import SitePolicy
from ownroot.registration.reservations import Claim, Issued, Reason, complete, reserve
from ownroot.registration.site import Site, SiteParts, check_site
from ownroot.wire.registration import RegistrationRequest
from tests.support.certificates import NOW, device_ca, factory_root, gateway_tls
from tests.support.device_csrs import device_csr


@dataclass(frozen=True, slots=True)
class SiteDesk:
    """A journal and a CA; every registration is done by hand, commit by commit."""

    site: Site
    journal: Journal

    def claim(self, applicant: Applicant, *, name: str | None = None) -> Claim:
        """Plan what an applicant would get."""
        plan = plan_device(applicant.csr, self.site.issuer.terms, now=applicant.at, serial=new_serial())
        return Claim(applicant, Placement(name=name or applicant.name), plan, self.site.issuer_sha256)

    def reserve(self, claim: Claim, policy: SitePolicy | None = None) -> Reason | Issued:
        """Commit the first half."""
        return self.journal.write(partial(reserve, claim=claim, policy=policy or SitePolicy()))

    def complete(self, claim: Claim, reason: Reason | Issued, targets: tuple[str, ...] = ()) -> Issued:
        """Sign, and commit the second half."""
        assert isinstance(reason, Reason)
        certificate = sign_plan(claim.plan, self.site.issuer.key)
        return self.journal.write(
            partial(complete, claim=claim, certificate=certificate, reason=reason, targets=targets)
        )

    def register(self, uuid: str, *, targets: tuple[str, ...] = (), policy: SitePolicy | None = None) -> Issued:
        """Register a new device to the end."""
        claim = self.claim(applicant(uuid))
        return self.complete(claim, self.reserve(claim, policy), targets)


def applicant(
    uuid: str = "dev-1",
    *,
    name: str | None = None,
    hardware_id: str = "imx8",
    group: str | None = None,
    production: bool = False,
    key: ec.EllipticCurvePrivateKey | None = None,
    sender: Sender | None = None,
    now: datetime = NOW,
) -> Applicant:
    """Return a device that proved its key, right but for what a test changes."""
    request = RegistrationRequest(
        csr=device_csr(uuid, key=key, production=production), hardware_id=hardware_id, name=name, group=group
    )
    return read_applicant(Arrived(request, b"\x01" * 32, sender or Sender(), now), "acme", KeyPolicy())


def site_parts() -> SiteParts:
    """Return parts that belong together."""
    root = factory_root()
    ca = device_ca(root)
    tls = gateway_tls(root, dns_names=("gw.example", "ostree.gw.example"))
    return SiteParts(root=root.certificate, ca=ca.certificate, ca_key=ca.ec_key, tls=tls.certificate)


@contextmanager
def site_desk(folder: Path) -> Iterator[SiteDesk]:
    """Open a fresh journal in `folder`."""
    with opened_journal(folder / "site") as journal:
        yield SiteDesk(check_site(site_parts(), now=NOW), journal)
