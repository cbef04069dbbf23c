"""An owner in memory: takes the factory of a running server over, adds device CAs, revokes them."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import httpx2
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.fleet import FACTORY, Device, Server
from ownroot.clock import utc_now
from ownroot.pki.encoding import certificate_pem, crl_pem, csr_pem, parse_csr
from ownroot.pki.issuance import Issuer, plan_device, plan_device_ca, plan_factory_root, plan_gateway_tls, sign_plan
from ownroot.pki.names import device_subject, local_ca_subject
from ownroot.pki.requests import make_csr, read_device_csr, verify_csr
from ownroot.pki.revocation import PRIVILEGE_WITHDRAWN, CrlEntry, make_crl
from ownroot.pki.serials import Serial, new_serial
from ownroot.pki.signer import generate_key


@dataclass(frozen=True, slots=True)
class Sent:
    """An accepted upload: how long it took, and when its answer was here (`time.perf_counter`)."""

    seconds: float
    answered_at: float


class FleetOwner:
    """Owner of the factory of one server; the factory is taken over at once."""

    def __init__(self, server: Server) -> None:
        self._http = httpx2.Client(
            base_url=server.api_url, headers={"OSF-TOKEN": server.token}, trust_env=False, timeout=60
        )
        key = generate_key()
        now = utc_now()
        plan = plan_factory_root(FACTORY, key.public_key(), now=now, serial=new_serial())
        self._root = Issuer(sign_plan(plan, key), key)
        asked = self._call("POST", {"first-time-init": True, "tls-csr": True, "ca-csr": False, "est-tls-csr": False})
        csr = verify_csr(parse_csr(asked["tls-csr"]))
        tls = sign_plan(plan_gateway_tls(csr, self._root.terms, now=now, serial=new_serial()), key)
        self._call("PATCH", {"root-crt": certificate_pem(self._root.certificate), "tls-crt": certificate_pem(tls)})

    def add_ca(self) -> Issuer:
        """Make a local device CA and have it trusted."""
        key = generate_key()
        subject = local_ca_subject(FACTORY, "0" * 24)
        plan = plan_device_ca(subject, key.public_key(), self._root.terms, now=utc_now(), serial=new_serial())
        made = Issuer(sign_plan(plan, self._root.key), key)
        listed = self._call("GET").get("ca-crt", "")
        self._call("PATCH", {"ca-crt": listed + certificate_pem(made.certificate)})
        return made

    def revoke(self, ca: Issuer) -> Sent:
        """Revoke a device CA."""
        entry = CrlEntry(Serial(ca.certificate.serial_number), PRIVILEGE_WITHDRAWN)
        text = crl_pem(make_crl(self._root, [entry], now=utc_now()))
        began = perf_counter()
        self._call("PATCH", {"ca-revoke-crl": text})
        answered_at = perf_counter()
        return Sent(answered_at - began, answered_at)

    def make_device(self, ca: Issuer, uuid: str, folder: Path) -> Device:
        """Make a device's files under a CA; nobody is told."""
        key = generate_key()
        csr = csr_pem(make_csr(key, device_subject(FACTORY, uuid, production=False)))
        plan = plan_device(
            read_device_csr(csr), ca.terms, now=utc_now(), serial=new_serial(), validity=timedelta(days=1)
        )
        device = Device(uuid, folder / f"{uuid}.crt", folder / f"{uuid}.key")
        device.certificate.write_text(certificate_pem(sign_plan(plan, ca.key)))
        device.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return device

    def _call(self, method: str, document: object = None) -> dict[str, str]:
        answer = self._http.request(method, f"/ota/factories/{FACTORY}/certs/", json=document)
        if not answer.is_success:
            raise RuntimeError(f"{method} was refused: {answer.text}")
        parts = msgspec.json.decode(answer.content, type=dict[str, object])
        return {name: part for name, part in parts.items() if isinstance(part, str)}
