"""A device believes a server's answer only as far as it fits what the device asked for."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ownroot.device import registration
from ownroot.device.files import KEY_FILE, is_registered
from ownroot.device.keys import find_or_create_key, place_key
from ownroot.device.registration import RegistrationWish, register, uuid_of_key, verify_reply
from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, UnavailableError
from ownroot.pki.encoding import certificate_pem, csr_pem, spki_der
from ownroot.pki.issuance import Issuer, plan_device, plan_device_ca, plan_factory_root, sign_plan
from ownroot.pki.names import device_subject, local_ca_subject
from ownroot.pki.requests import make_csr, read_device_csr
from ownroot.pki.serials import new_serial
from ownroot.pki.signer import generate_key
from ownroot.wire.documents import write_document
from ownroot.wire.registration import (
    RegistrationReply,
    RegistrationRequest,
    parse_registration_request,
    registration_request_body,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Site:
    """A registration server reduced to its signing."""

    root: Issuer
    device_ca: Issuer

    def answer(self, body: bytes) -> bytes:
        return write_document(self.reply(body))

    def reply(self, body: bytes) -> RegistrationReply:
        csr = read_device_csr(parse_registration_request(body).csr)
        leaf = sign_plan(plan_device(csr, self.device_ca.terms, now=NOW, serial=new_serial()), self.device_ca.key)
        chain = certificate_pem(leaf) + certificate_pem(self.device_ca.certificate)
        return RegistrationReply(
            root_crt=certificate_pem(self.root.certificate),
            sota_toml='[tls]\nserver = "https://gateway.localhost:8443"\n',
            client_pem=certificate_pem(leaf),
            client_chained=chain,
        )


def make_site(factory: str = "acme") -> Site:
    root_key, ca_key = generate_key(), generate_key()
    root = sign_plan(plan_factory_root(factory, root_key.public_key(), now=NOW, serial=new_serial()), root_key)
    subject = local_ca_subject(factory, "0123456789abcdef01234567")
    ca = sign_plan(plan_device_ca(subject, ca_key.public_key(), root, now=NOW, serial=new_serial()), root_key)
    return Site(Issuer(root, root_key), Issuer(ca, ca_key))


@pytest.fixture(scope="module")
def site() -> Site:
    return make_site()


@pytest.fixture
def wish(tmp_path: Path) -> RegistrationWish:
    return RegistrationWish(factory="acme", directory=tmp_path / "sota", hardware_id="amd64-linux")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_registered_device_holds_five_files_that_only_its_owner_reads(site: Site, wish: RegistrationWish) -> None:
    registered = register(wish, site.answer)
    names = sorted(path.name for path in wish.directory.iterdir())
    assert names == ["client.chained", "client.pem", "pkey.pem", "root.crt", "sota.toml"]
    assert {mode_of(path) for path in wish.directory.iterdir()} == {0o600}
    assert mode_of(wish.directory) == 0o700
    assert not registered.resumed


def test_key_file_belongs_to_the_certificate(site: Site, wish: RegistrationWish) -> None:
    registered = register(wish, site.answer)
    key = load_pem_private_key((wish.directory / KEY_FILE).read_bytes(), None)
    assert spki_der(key.public_key()) == spki_der(registered.certificate.public_key())


def test_second_run_is_refused_and_with_replace_keeps_the_key(site: Site, wish: RegistrationWish) -> None:
    first = register(wish, site.answer)
    with pytest.raises(ConflictError, match="already-registered"):
        register(wish, site.answer)
    again = register(wish, site.answer, replace=True)
    assert again.uuid == first.uuid
    assert again.resumed


def test_run_cut_before_the_answer_resumes_with_the_same_key_and_uuid(site: Site, wish: RegistrationWish) -> None:
    bodies: list[bytes] = []

    def lose_the_answer(body: bytes) -> bytes:
        bodies.append(body)
        raise UnavailableError("connection-lost", "The connection was lost.", retry_after=1)

    with pytest.raises(UnavailableError):
        register(wish, lose_the_answer)
    registered = register(wish, site.answer)
    assert registered.resumed
    assert registered.uuid == parse_registration_request(bodies[0]).uuid


def test_given_uuid_and_production_mark_are_asked_for(site: Site, tmp_path: Path) -> None:
    wish = RegistrationWish(
        factory="acme", directory=tmp_path, uuid="board-7", production=True, hardware_id="h", name="seven", group="edge"
    )
    seen: list[bytes] = []

    def answer(body: bytes) -> bytes:
        seen.append(body)
        return site.answer(body)

    register(wish, answer)
    request = parse_registration_request(seen[0])
    csr = read_device_csr(request.csr)
    assert (csr.uuid, csr.production, request.name, request.group) == ("board-7", True, "seven", "edge")


Tamper = Callable[[Site, bytes], RegistrationReply]


def other_key(site: Site, body: bytes) -> RegistrationReply:
    asked = parse_registration_request(body)
    csr = make_csr(generate_key(), device_subject("acme", asked.uuid or ""))
    return site.reply(registration_request_body(replace(asked, csr=csr_pem(csr))))


def other_root(site: Site, body: bytes) -> RegistrationReply:
    good = site.reply(body)
    return RegistrationReply(
        root_crt=certificate_pem(make_site().root.certificate),
        sota_toml=good.sota_toml,
        client_pem=good.client_pem,
        client_chained=good.client_chained,
    )


def with_chain(reply: RegistrationReply, chain: str) -> RegistrationReply:
    return RegistrationReply(
        root_crt=reply.root_crt, sota_toml=reply.sota_toml, client_pem=reply.client_pem, client_chained=chain
    )


def no_chain(site: Site, body: bytes) -> RegistrationReply:
    return with_chain(site.reply(body), "")


def chain_without_its_ca(site: Site, body: bytes) -> RegistrationReply:
    good = site.reply(body)
    return with_chain(good, good.client_pem)


def chain_of_another_certificate(site: Site, body: bytes) -> RegistrationReply:
    return with_chain(site.reply(body), site.reply(body).client_chained)


@pytest.mark.parametrize(
    "tamper", [other_key, other_root, no_chain, chain_without_its_ca, chain_of_another_certificate]
)
def test_answer_that_does_not_fit_writes_nothing_but_the_key(
    site: Site, wish: RegistrationWish, tamper: Tamper
) -> None:
    with pytest.raises(InvalidInputError, match="registration-reply"):
        register(wish, lambda body: write_document(tamper(site, body)))
    assert [path.name for path in wish.directory.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize(("uuid", "factory"), [("board-7", "other"), ("board-8", "acme")])
def test_certificate_that_names_another_device_or_factory_is_refused(site: Site, uuid: str, factory: str) -> None:
    key = generate_key()
    csr = csr_pem(make_csr(key, device_subject("acme", "board-7")))
    reply = site.reply(registration_request_body(RegistrationRequest(csr=csr, hardware_id="h")))
    verify_reply(reply, key=key, uuid="board-7", factory="acme")
    with pytest.raises(InvalidInputError, match="does not name device"):
        verify_reply(reply, key=key, uuid=uuid, factory=factory)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b"not json", b'{"client.pem": 7, "root.crt": "", "sota.toml": ""}']
)
def test_useless_created_answer_is_an_error(wish: RegistrationWish, body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        register(wish, lambda _: body)
    assert not (wish.directory / "client.pem").exists()


def test_answer_with_other_file_names_is_refused_whole(site: Site, wish: RegistrationWish) -> None:
    def with_more_members(body: bytes) -> bytes:
        return site.answer(body)[:-1] + b',"../x":"out","pkey.pem":"mine now"}'

    with pytest.raises(InvalidInputError, match="unexpected-file"):
        register(wish, with_more_members)
    assert [path.name for path in wish.directory.iterdir()] == [KEY_FILE]
    assert not (wish.directory.parent / "x").exists()


def test_broken_key_file_is_named_and_kept(site: Site, wish: RegistrationWish) -> None:
    wish.directory.mkdir()
    (wish.directory / KEY_FILE).write_text("garbage")
    with pytest.raises(KeyStoreError, match="key-un"):
        register(wish, site.answer)
    assert (wish.directory / KEY_FILE).read_text() == "garbage"


def test_uuid_follows_from_the_key() -> None:
    key = generate_key()
    assert uuid_of_key(key) == uuid_of_key(key)
    assert uuid_of_key(key) != uuid_of_key(generate_key())


@pytest.mark.parametrize("cut_at", ["root.crt", "sota.toml", "client.chained", "client.pem"])
def test_repeat_cut_while_writing_is_no_registration_and_can_be_repeated(
    site: Site, wish: RegistrationWish, cut_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(wish, site.answer)
    write = registration.write_private

    def cut(path: Path, text: str) -> None:
        if path.name == cut_at:
            raise SystemExit
        write(path, text)

    monkeypatch.setattr(registration, "write_private", cut)
    with pytest.raises(SystemExit):
        register(wish, site.answer, replace=True)
    monkeypatch.undo()
    assert not is_registered(wish.directory)
    assert register(wish, site.answer).resumed


def test_full_disk_is_named_and_leaves_no_registration(
    site: Site, wish: RegistrationWish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fchmod", no_space)
    with pytest.raises(KeyStoreError, match="No space left"):
        register(wish, site.answer)
    monkeypatch.undo()
    find_or_create_key(wish.directory)
    monkeypatch.setattr(os, "fchmod", no_space)
    with pytest.raises(InvalidInputError, match="No space left"):
        register(wish, site.answer)
    assert [path.name for path in wish.directory.iterdir()] == [KEY_FILE]


def test_key_that_another_run_made_meanwhile_is_used_and_never_overwritten(tmp_path: Path) -> None:
    first, _ = find_or_create_key(tmp_path)
    assert not place_key(tmp_path, generate_key())
    again, was_there = find_or_create_key(tmp_path)
    assert was_there
    assert spki_der(again.public_key()) == spki_der(first.public_key())
