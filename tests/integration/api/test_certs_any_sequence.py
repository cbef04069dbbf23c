"""Any sequence of uploads over real HTTP ends where an independent model says it must.

An owner rotates, adds, disables, renews and revokes; somebody with the owner's token but not the root key sends what
they saw, altered, late and in the wrong order. The server must accept exactly what the model accepts, refuse for a
reason the model knows, show what the model holds, and leave its tables byte by byte as they were after a refusal.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import httpx2
import pytest
from cryptography import x509
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ownroot.bootstrap.installation import Installation, prepared
from ownroot.clock import utc_now
from ownroot.pki.encoding import certificate_pem, parse_certificates
from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.steps import run_blocking
from tests.support.api_owner import ApiOwner, accept
from tests.support.certificates import Oddities, Pair, crl, crl_pem, device_ca, factory_root, make_key
from tests.support.pki_model import OWNER, THIEF, Cert, Command, Model, Upload
from tests.support.world import RunningServer

T = TypeVar("T")
FLAGS: dict[int | None, x509.ReasonFlags | None] = {
    None: None,
    1: x509.ReasonFlags.key_compromise,
    6: x509.ReasonFlags.certificate_hold,
    8: x509.ReasonFlags.remove_from_crl,
    9: x509.ReasonFlags.privilege_withdrawn,
}
# Everything of a factory that a refusal must leave alone; the audit log is meant to grow.
TABLES = {
    "pki_states": "scope",
    "device_cas": "scope",
    "revoked_serials": "scope",
    "applied_commands": "scope",
    "sealed_keys": "scope",
    "changes": "factory_id",
}
reasons = st.sampled_from(list(FLAGS))


class World:
    """One server for all sequences, and a factory of its own for each."""

    def __init__(self, server: RunningServer, installation: Installation) -> None:
        self.server = server
        self.http = httpx2.Client(base_url=server.api_url, trust_env=False, timeout=30)
        self.database = sqlite3.connect(server.data_dir / "ownroot.db")
        self._installation = installation
        self._numbers = count(1)

    def new_owner(self) -> tuple[ApiOwner, int]:
        """Make a factory that nobody has touched; returns its owner and its id."""
        order = FactoryOrder(f"any-{next(self._numbers)}")
        made = run_blocking(
            create_factory(order, self._installation.keyring, now=utc_now()), self._installation.database
        )
        factory = made.factory
        owner = replace(self.server, factory=factory.name, owner_token=made.token, owner_id=made.owner.polis_id)
        return ApiOwner(owner), factory.id

    def close(self) -> None:
        self.http.close()
        self.database.close()


@pytest.fixture(scope="module")
def world(server: RunningServer) -> Iterator[World]:
    with prepared(
        server.data_dir, f"sqlite:///{server.data_dir / 'ownroot.db'}", gateway_name=None, clock=utc_now
    ) as installation:
        opened = World(server, installation)
        yield opened
        opened.close()


class Factory(RuleBasedStateMachine):
    """One factory on the server, and the model beside it.

    Commands are signed at times of the test's choosing, all of them within what the server takes for the present.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @initialize()
    def start(self) -> None:
        self.owner, self.factory_id = self.world.new_owner()
        self.model = Model()
        self.keys: dict[str, Pair | str] = {}
        self.thief = Pair(self.owner.root.certificate, make_key())
        self.begun = utc_now() - timedelta(minutes=8)
        self.tick = 0
        self.seen: list[Upload] = []
        self.ever: list[Cert] = []
        self.numbers = count(1)

    # --- talking to the server

    def call(self, method: str, path: str, document: Any = None) -> httpx2.Response:
        headers = {"OSF-TOKEN": self.owner.server.owner_token}
        return self.world.http.request(method, path, json=document, headers=headers)

    def send(self, upload: Upload) -> httpx2.Response:
        """Send an upload and hold the answer against the model."""
        faults, before = self.model.faults(upload), self.stored()
        parts = {
            "root-crt": upload.root and {OWNER: self.owner.root.pem, THIEF: self.thieves_root()}[upload.root],
            "ca-crt": upload.cas and "\n".join(cert.pem for cert in upload.cas),
            "tls-crt": upload.tls and upload.tls.pem,
            "est-tls-crt": upload.est and upload.est.pem,
            "ca-revoke-crl": upload.crl and upload.crl.pem,
        }
        answer = self.call("PATCH", self.owner.path, {name: part or "" for name, part in parts.items()})
        self.seen.append(upload)
        if faults:
            assert answer.status_code in (400, 409), (faults, answer.text)
            assert answer.json()["code"] in faults, (faults, answer.text)
            assert self.stored() == before
        else:
            assert answer.status_code == 200, answer.text
            self.model.apply(upload)
            self.ever += [cert for cert in self.model.trusted() if cert not in self.ever]
        return answer

    def stored(self) -> dict[str, list[Any]]:
        """Every row of the factory, in an order that does not depend on how it was written."""
        connection = self.world.database
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name} WHERE {column} = ?", (self.factory_id,)), key=repr)  # noqa: S608
            for name, column in TABLES.items()
        }

    def thieves_root(self) -> str:
        return factory_root(self.owner.server.factory, now=self.begun, key=self.thief.key).pem

    # --- making things

    def csr(self, *kinds: str) -> list[str]:
        """Ask the server for keys; returns the model's names for them."""
        wire = {"tls": "tls-csr", "est": "est-tls-csr", "online": "ca-csr"}
        asked = {wire[kind]: kind in kinds for kind in wire}
        answer = accept(self.call("POST", self.owner.path, {"first-time-init": self.model.root is None, **asked}))
        made = []
        for kind in kinds:
            key = f"{kind} {next(self.numbers)}"
            self.keys[key] = answer.json()[wire[kind]]
            self.model.hand_out(kind, key)
            made.append(key)
        return made

    def certify(self, kind: str, key: str, *, signer: str = OWNER, serial: int | None = None) -> Cert:
        """Make a certificate over a key of the backend's, or a local CA over one of the owner's."""
        owner = self.owner
        real, owner.root = owner.root, owner.root if signer == OWNER else self.thief
        try:
            if kind in {"local", "foreign"}:
                return self.certify_local(kind, key, signer, serial)
            csr = self.keys[key]
            assert isinstance(csr, str)
            pem = owner.sign_online_ca(csr) if kind == "online" else owner.sign_tls(csr)
        finally:
            owner.root = real
        (certificate,) = parse_certificates(pem)
        return Cert(kind, certificate.serial_number, key, pem, signer)

    def certify_local(self, kind: str, key: str, signer: str, serial: int | None) -> Cert:
        odd = Oddities(key=self.local_key(key))
        if serial is not None:
            odd["serial"] = serial
        server = self.owner.server
        name = f"fio-{server.owner_id}" if kind == "local" else "gateway.elsewhere.example"
        made = device_ca(self.owner.root, name, server.factory, now=self.begun, **odd)
        return Cert(kind, made.certificate.serial_number, key, made.pem, signer)

    def local_key(self, key: str) -> Any:
        if key not in self.keys:
            self.keys[key] = Pair(self.owner.root.certificate, make_key())
        pair = self.keys[key]
        assert isinstance(pair, Pair)
        return pair.key

    def sign(self, orders: dict[int, int | None], *, at: int | None = None, signer: str = OWNER) -> Command:
        if at is None:
            self.tick += 1
            at = self.tick
        moment: datetime = self.begun + timedelta(seconds=at)
        key = self.owner.root.ec_key if signer == OWNER else self.thief.ec_key
        made = crl(self.owner.root, {s: FLAGS[r] for s, r in orders.items()}, now=moment, signer=key)
        return Command(tuple(orders.items()), at, crl_pem(made), signer)

    def listed(self, *more: Cert) -> tuple[Cert, ...]:
        return (*self.model.trusted(), *more)

    @property
    def is_taken_over(self) -> bool:
        return self.model.root is not None

    # --- what the owner does

    @precondition(lambda self: not self.is_taken_over)
    @rule(online=st.booleans(), local=st.booleans())
    def owner_takes_over(self, online: bool, local: bool) -> None:
        tls, ca = self.csr("tls", "online")
        cas = [self.certify("online", ca)] if online else []
        cas += [self.certify("local", f"local {next(self.numbers)}")] if local else []
        upload = Upload(root=OWNER, tls=self.certify("tls", tls), cas=tuple(cas) or None)
        assert self.send(upload).status_code == 200

    @precondition(lambda self: self.is_taken_over)
    @rule(kind=st.sampled_from(["tls", "est"]))
    def owner_rotates(self, kind: str) -> None:
        cert = self.certify(kind, self.csr(kind)[0])
        assert self.send(Upload(tls=cert) if kind == "tls" else Upload(est=cert)).status_code == 200

    @precondition(lambda self: self.is_taken_over)
    @rule(online=st.booleans(), revoking=st.booleans(), data=st.data())
    def owner_adds_a_ca(self, online: bool, revoking: bool, data: st.DataObject) -> None:
        new = self.certify("online", self.csr("online")[0]) if online else self.new_local()
        crl = None
        if revoking and self.model.trusted():
            crl = self.sign({self.pick(data, self.model.trusted()).serial: 9})
        self.send(Upload(cas=self.listed(new), crl=crl))

    def new_local(self) -> Cert:
        return self.certify("local", f"local {next(self.numbers)}")

    @precondition(lambda self: self.is_taken_over and self.model.known)
    @rule(data=st.data(), reason=reasons)
    def owner_commands(self, data: st.DataObject, reason: int | None) -> None:
        chosen = self.pick(data, list(self.model.known.values())).cert
        of_key = [s for s, ca in self.model.known.items() if ca.cert.key == chosen.key]
        upload = Upload(crl=self.sign(dict.fromkeys(of_key, reason)))
        first = self.send(upload)
        assert self.send(upload).status_code == first.status_code  # a repeated request gets the same answer

    @precondition(lambda self: any(ca.standing == "revoked" for ca in self.model.known.values()))
    @rule(data=st.data(), with_list=st.booleans())
    def owner_brings_back(self, data: st.DataObject, with_list: bool) -> None:
        revoked = [ca.cert for ca in self.model.known.values() if ca.standing == "revoked"]
        chosen = self.pick(data, revoked)
        back = [cert for cert in revoked if cert.key == chosen.key]
        crl = self.sign({cert.serial: 8 for cert in back})
        answer = self.send(Upload(cas=self.listed(*back) if with_list else None, crl=crl))
        assert answer.is_success is with_list

    @precondition(lambda self: self.is_taken_over)
    @rule(data=st.data(), foreign=st.booleans(), reason=reasons)
    def owner_takes_in_a_ca_with_a_command_on_it(self, data: st.DataObject, foreign: bool, reason: int | None) -> None:
        """Of another server, or of their own; it may come disabled, whoever's it is, and in no other standing."""
        new = self.certify("foreign" if foreign else "local", f"local {next(self.numbers)}")
        orders = {new.serial: reason}
        if self.model.known and data.draw(st.booleans()):
            orders[self.pick(data, list(self.model.known))] = reason
        upload = Upload(cas=self.listed(new), crl=self.sign(orders) if data.draw(st.booleans()) else None)
        first = self.send(upload)
        assert self.send(upload).status_code == first.status_code

    # --- what anybody with the token may try

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def somebody_repeats_an_upload(self, data: st.DataObject) -> None:
        self.send(self.pick(data, self.seen))

    @precondition(lambda self: self.is_taken_over)
    @rule(data=st.data(), left_out=st.booleans(), extra=st.integers(0, 2), commanded=st.booleans())
    def somebody_mixes_parts(self, data: st.DataObject, left_out: bool, extra: int, commanded: bool) -> None:
        """A list with members left out, old ones put in and forged ones beside it, and any command there ever was."""
        cas = list(self.listed())
        if left_out and cas:
            cas.remove(self.pick(data, cas))
        if self.ever and data.draw(st.booleans()):
            cas.append(self.pick(data, self.ever))
        cas += [self.forge(data) for _ in range(extra)]
        commands = [upload.crl for upload in self.seen if upload.crl is not None]
        crl = self.pick(data, commands) if commanded and commands else None
        self.send(Upload(cas=tuple(cas) or None, crl=crl))

    def forge(self, data: st.DataObject) -> Cert:
        """A local CA with at most one thing wrong: its signer, its serial, or whose key it is over."""
        kind = data.draw(st.sampled_from(["good", "signer", "serial", "key"]))
        known = list(self.model.known.values())
        locals_ = [ca.cert.key for ca in known if ca.cert.kind == "local"]
        if kind == "serial" and known:
            return self.certify("local", f"local {next(self.numbers)}", serial=self.pick(data, known).cert.serial)
        if kind == "key" and locals_:
            return self.certify("local", self.pick(data, locals_))
        return self.certify("local", f"local {next(self.numbers)}", signer=THIEF if kind == "signer" else OWNER)

    @precondition(lambda self: self.is_taken_over and self.model.known)
    @rule(data=st.data(), reason=reasons, fault=st.sampled_from(["signer", "old", "unknown", "empty", "same second"]))
    def somebody_sends_a_command(self, data: st.DataObject, reason: int | None, fault: str) -> None:
        serial = self.pick(data, list(self.model.known))
        orders = {} if fault == "empty" else {serial: reason}
        orders |= {4711: reason} if fault == "unknown" else {}
        at = {"old": self.tick - 3, "same second": self.tick}.get(fault)
        self.send(Upload(crl=self.sign(orders, at=at, signer=THIEF if fault == "signer" else OWNER)))

    @rule(kind=st.sampled_from(["tls", "est", "online"]), signer=st.sampled_from([OWNER, THIEF]), data=st.data())
    def somebody_certifies_a_backend_key(self, kind: str, signer: str, data: st.DataObject) -> None:
        """Fresh or of an earlier request, perhaps for another purpose."""
        self.csr(kind)
        # For another purpose: an EST key in a gateway's certificate and the other way round.
        kinds = ("online",) if kind == "online" else ("tls", "est")
        keys = [key for key in self.keys if key.split()[0] in kinds]
        cert = self.certify(kind, self.pick(data, keys), signer=signer)
        root = data.draw(st.sampled_from([None, OWNER, THIEF] if self.is_taken_over else [None, OWNER]))
        upload = {
            "tls": Upload(root, tls=cert),
            "est": Upload(root, est=cert),
            "online": Upload(root, cas=self.listed(cert)),
        }
        self.send(upload[kind])

    @rule()
    def somebody_sends_nothing(self) -> None:
        self.send(Upload())

    @precondition(lambda self: self.is_taken_over)
    @rule()
    def device_registers(self) -> None:
        answer = self.owner.register(f"dev-{next(self.numbers)}")
        assert answer.is_success is self.model.registers(), answer.text
        if not answer.is_success:
            assert (answer.status_code, answer.json()["code"]) in (
                (403, "no-online-ca"),
                (403, "online-ca-disabled"),
            )

    def pick(self, data: st.DataObject, values: list[T]) -> T:
        return values[data.draw(st.integers(0, len(values) - 1))]

    # --- what everybody can see

    @invariant()
    def the_server_shows_what_the_model_holds(self) -> None:
        answer = self.call("GET", self.owner.path)
        shown, model = answer.json(), self.model
        assert answer.status_code == (200 if self.is_taken_over else 206)
        listed = parse_certificates(shown["ca-crt"]) if shown["ca-crt"] else ()
        assert sorted(map(certificate_pem, listed)) == sorted(cert.pem for cert in model.trusted())
        assert {int(serial) for serial in shown["disabled-ca-serials"]} == model.disabled()
        assert shown["tls-crt"] == (model.tls and model.tls.pem)
        assert shown["est-tls-crt"] == (model.est and model.est.pem)


def run(world: World, *, examples: int, steps: int, phases: Sequence[Phase]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Factory(world),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # Another run of the same steps meets another factory with other keys: shrinking works, replaying does not.
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_server_does_what_the_model_says(world: World) -> None:
    run(world, examples=12, steps=25, phases=[Phase.generate])


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_server_does_what_the_model_says_for_long(world: World) -> None:
    run(world, examples=300, steps=50, phases=[Phase.generate, Phase.shrink])
