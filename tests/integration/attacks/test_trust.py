"""Changing what a factory trusts without its root key: replays, races, borrowed keys and odd names."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ownroot.clock import utc_now
from tests.support.certificates import SERVER_AUTH, Pair, entity, factory_root, make_key, name
from tests.support.world import RunningServer

RIVALS = 4  # a factory keeps its newest few pending keys of each kind: no more rivals than those


@dataclass(frozen=True, slots=True)
class Attacker:
    """Somebody with a token that may manage the PKI, and with a root of their own."""

    server: RunningServer
    root: Pair

    @property
    def path(self) -> str:
        return f"/ota/factories/{self.server.factory}/certs/"

    def csrs(self) -> dict[str, str]:
        answer = self.server.call("POST", self.path, document={"tls-csr": True, "ca-csr": True})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def patch(self, **parts: str) -> tuple[int, str]:
        """Upload, with members named as Python allows; returns the status, and the code of a refusal."""
        document = {member.replace("_", "-"): text for member, text in parts.items()}
        answer = self.server.call("PATCH", self.path, document=document)
        return answer.status_code, answer.json().get("code", "")

    def tls(self, csr: str, *, names: list[str] | None = None) -> str:
        request = x509.load_pem_x509_csr(csr.encode())
        if names is None:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
                x509.DNSName
            )
        wanted = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        usages = x509.ExtendedKeyUsage([SERVER_AUTH])
        return self._sign(request, [(_usage("digital_signature"), True), (usages, False), (wanted, False)])

    def ca(self, csr: str) -> str:
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        request = x509.load_pem_x509_csr(csr.encode())
        return self._sign(request, [(_usage("key_cert_sign"), True), (constraints, True)])

    def take_over(self) -> tuple[int, str]:
        csrs = self.csrs()
        return self.patch(root_crt=self.root.pem, tls_crt=self.tls(csrs["tls-csr"]), ca_crt=self.ca(csrs["ca-csr"]))

    def _sign(self, request, extensions) -> str:
        now = utc_now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.root.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now.replace(year=now.year + 5))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.root.ec_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _usage(purpose: str) -> x509.KeyUsage:
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    flags = dict.fromkeys((*others, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**flags | {purpose: True})


def attacker(server: RunningServer, **odd) -> Attacker:
    return Attacker(server, factory_root(server.factory, now=utc_now(), **odd))


def test_of_many_roots_at_once_one_wins_and_stays(fresh):
    rivals = [attacker(fresh) for _ in range(RIVALS)]
    start = threading.Barrier(RIVALS)

    def compete(rival: Attacker) -> tuple[int, str]:
        csrs = rival.csrs()
        upload = {"root_crt": rival.root.pem, "tls_crt": rival.tls(csrs["tls-csr"]), "ca_crt": rival.ca(csrs["ca-csr"])}
        start.wait()
        return rival.patch(**upload)

    with ThreadPoolExecutor(RIVALS) as pool:
        outcomes = list(pool.map(compete, rivals))
    assert sorted(outcomes) == [(200, "")] + [(409, "root-already-set")] * (RIVALS - 1)
    winner = rivals[outcomes.index((200, ""))]
    shown = fresh.call("GET", winner.path).json()
    assert shown["root-crt"] == winner.root.pem
    certificates = x509.load_pem_x509_certificates((shown["tls-crt"] + shown["ca-crt"]).encode())
    assert len(certificates) == 2
    for certificate in certificates:
        certificate.verify_directly_issued_by(winner.root.certificate)


def test_new_keys_asked_for_meanwhile_disturb_no_upload(fresh):
    owner = attacker(fresh)
    with ThreadPoolExecutor(RIVALS) as pool:
        asked = [pool.submit(owner.csrs) for _ in range(RIVALS - 1)]
        taken_over = pool.submit(owner.take_over)
        assert taken_over.result() == (200, "")
        assert all(csrs.result() for csrs in asked)


def test_of_one_upload_sent_many_times_at_once_all_succeed_and_one_counts(fresh):
    owner = attacker(fresh)
    csrs = owner.csrs()
    upload = {"root_crt": owner.root.pem, "tls_crt": owner.tls(csrs["tls-csr"]), "ca_crt": owner.ca(csrs["ca-csr"])}
    with ThreadPoolExecutor(RIVALS) as pool:
        outcomes = list(pool.map(lambda _: owner.patch(**upload), range(RIVALS)))
    assert outcomes == [(200, "")] * RIVALS
    assert fresh.call("GET", owner.path).json()["ca-crt"] == upload["ca_crt"]


@pytest.fixture(scope="module")
def owner(server) -> Attacker:
    """The owner of a factory that was taken over; the attacks have no root signature of theirs but old ones."""
    owner = attacker(server.for_factory("owned"))
    assert owner.take_over() == (200, "")
    return owner


@pytest.fixture(scope="module")
def untouched(server) -> Iterator[RunningServer]:
    """A factory that lives on the shared PKI, whatever is tried."""
    factory = server.for_factory("untouched")
    yield factory
    assert factory.call("GET", f"/ota/factories/{factory.factory}/certs/").status_code == 206


def test_another_certificate_over_the_roots_own_key_is_no_root(owner):
    again = Attacker(owner.server, factory_root(owner.server.factory, now=utc_now(), key=owner.root.key))
    assert again.take_over() == (409, "root-already-set")


def test_tls_certificate_of_earlier_days_is_no_rollback(owner):
    first = owner.tls(owner.csrs()["tls-csr"])
    assert owner.patch(tls_crt=first) == (200, "")
    second = owner.tls(owner.csrs()["tls-csr"])
    assert owner.patch(tls_crt=second) == (200, "")
    assert owner.patch(tls_crt=first) == (400, "key-not-pending")
    assert owner.server.call("GET", owner.path).json()["tls-crt"] == second


@pytest.mark.parametrize(
    "names",
    [
        ["{base}"],
        ["{own}", "ostree.{own}", "{base}"],
        ["{base}", "ostree.{base}"],
        ["{own}", "ostree.{own}", "*.{base}"],
        ["{own}."],
    ],
)
def test_tls_certificate_for_names_nobody_asked_for_is_refused(untouched, names):
    owner = attacker(untouched)
    known = {"base": untouched.gateway_name, "own": f"{untouched.factory}.{untouched.gateway_name}"}
    greedy = owner.tls(owner.csrs()["tls-csr"], names=[name.format_map(known) for name in names])
    status, code = owner.patch(root_crt=owner.root.pem, tls_crt=greedy)
    assert (status, code.partition("-")[0]) == (400, "tls")


def test_tls_key_the_server_made_for_another_factory_is_refused(owner, beta):
    borrowed = attacker(beta).csrs()
    assert owner.patch(tls_crt=owner.tls(borrowed["tls-csr"])) == (400, "key-not-pending")


def test_ca_key_the_server_made_for_another_factory_is_refused(owner, beta):
    borrowed = attacker(beta).csrs()
    present = owner.server.call("GET", owner.path).json()["ca-crt"]
    assert owner.patch(ca_crt=present + owner.ca(borrowed["ca-csr"]))[0] == 400
    assert owner.server.call("GET", owner.path).json()["ca-crt"] == present


def test_ca_key_is_no_tls_key(owner):
    names = [f"{owner.server.factory}.{owner.server.gateway_name}"]
    names.append(f"ostree.{names[0]}")
    assert owner.patch(tls_crt=owner.tls(owner.csrs()["ca-csr"], names=names)) == (400, "key-not-pending")


def test_tls_key_is_no_ca_key(owner):
    present = owner.server.call("GET", owner.path).json()["ca-crt"]
    stolen = owner.ca(owner.csrs()["tls-csr"])
    assert owner.patch(ca_crt=present + stolen) == (400, "device-ca-key-is-server-key")


@pytest.mark.parametrize("unit", ["acme", "{}\0", "{} ", " {}", "{}\n", "{}.", "\u200b{}", "{}\u0301", "x"])
def test_root_whose_unit_only_looks_like_the_factory_is_refused(untouched, unit):
    assert attacker(untouched, subject=entity("Factory-CA", unit.format(untouched.factory))).take_over()[0] == 400


def test_root_with_two_units_is_refused(untouched):
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    subject = name((NameOID.COMMON_NAME, "Factory-CA"), (unit, untouched.factory), (unit, "acme"))
    assert attacker(untouched, subject=subject).take_over()[0] == 400


def test_root_signed_by_another_key_is_refused(untouched):
    assert attacker(untouched, signer=make_key()).take_over()[0] == 400
