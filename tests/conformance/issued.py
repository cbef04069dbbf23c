"""One of everything we issue, made with our own issuance under roots of any curve."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki import names
from ownroot.pki.issuance import (
    Plan,
    plan_device,
    plan_device_ca,
    plan_factory_root,
    plan_gateway_tls,
    plan_requested,
    sign_plan,
)
from ownroot.pki.requests import device_csr, make_csr, verify_csr
from ownroot.pki.serials import new_serial
from tests.support.certificates import DEVICE_UUID, FACTORY, GATEWAY_NAME, NOW, USER_ID, csr, make_key

TLS_NAMES = (GATEWAY_NAME, f"ostree.{GATEWAY_NAME}")


@dataclass(frozen=True, slots=True)
class Issued:
    """What one factory's owner and backend issue; every plan beside its certificate."""

    root: x509.Certificate
    local_ca: x509.Certificate
    online_ca: x509.Certificate
    tls: x509.Certificate
    est: x509.Certificate
    requested_tls: x509.Certificate
    device: x509.Certificate
    production_device: x509.Certificate
    plans: dict[str, Plan]
    ca_key: ec.EllipticCurvePrivateKey

    def get(self, kind: str) -> x509.Certificate:
        """Return the certificate of this kind."""
        certificate = getattr(self, kind)
        assert isinstance(certificate, x509.Certificate)
        return certificate


KINDS = ("root", "local_ca", "online_ca", "tls", "est", "requested_tls", "device", "production_device")


def issue_everything(curve: str = "secp256r1") -> Issued:
    """Issue one of everything; root and device CAs have keys of this curve, everything else P-256 ones."""
    root_key, ca_key = make_key(curve), make_key(curve)
    plans = {"root": plan_factory_root(FACTORY, root_key.public_key(), now=NOW, serial=new_serial())}
    root = sign_plan(plans["root"], root_key)
    local_name = names.local_ca_subject(FACTORY, USER_ID)
    plans["local_ca"] = plan_device_ca(local_name, ca_key.public_key(), root, now=NOW, serial=new_serial())
    local_ca = sign_plan(plans["local_ca"], root_key)

    backend_name = names.backend_key_subject(FACTORY, GATEWAY_NAME)
    online_csr = verify_csr(make_csr(make_key(), backend_name))
    online_name = names.reencode_subject(online_csr.subject)
    plans["online_ca"] = plan_device_ca(online_name, online_csr.public_key, root, now=NOW, serial=new_serial())
    for kind, dns_names in (("tls", TLS_NAMES), ("est", (GATEWAY_NAME,))):
        tls_csr = verify_csr(make_csr(make_key(), backend_name, dns_names))
        plans[kind] = plan_gateway_tls(tls_csr, root, now=NOW, serial=new_serial())
    own_csr = verify_csr(make_csr(make_key(), backend_name, ("api.acme.example",)))
    plans["requested_tls"] = plan_requested(own_csr, root, now=NOW, serial=new_serial())

    for kind, production in (("device", False), ("production_device", True)):
        subject = names.device_subject(FACTORY, DEVICE_UUID, production=production)
        plans[kind] = plan_device(device_csr(csr(subject=subject)), local_ca, now=NOW, serial=new_serial())
    return Issued(
        root=root,
        local_ca=local_ca,
        **{kind: sign_plan(plans[kind], root_key) for kind in ("online_ca", "tls", "est", "requested_tls")},
        **{kind: sign_plan(plans[kind], ca_key) for kind in ("device", "production_device")},
        plans=plans,
        ca_key=ca_key,
    )
