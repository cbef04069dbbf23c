"""What a device makes of odd answers and odd ages: live EST servers that lie or refuse, certificates near their end."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from ownroot.keystore.file import sec1_pem
from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair, device_certificate, device_name, make_key
from tests.support.device_daemon import daemon, order
from tests.support.enrolling import eventually
from tests.support.est_server import EstServer, Said, certified, est_server
from tests.support.identity_on_token import objects
from tests.support.renewing import SECRET, Renewing, renewing
from tests.support.renewing_on_token import RenewingOnToken, renewing_on_token
from tests.support.softhsm import soft_hsm
from tests.support.world import running_server


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("owned"), workers=1) as server:
        made = ApiOwner(server)
        made.take_over()
        yield made


@pytest.fixture(scope="module")
def ca(owner: ApiOwner) -> Pair:
    """A device CA that the factory trusts, with its key in the hands of the test."""
    return owner.add_local_ca(not_before=utc_now() - timedelta(days=900))


@pytest.fixture
def device(owner: ApiOwner, tmp_path: Path) -> Renewing:
    return renewing(owner.server, owner.server.create_token("devices:create"), tmp_path)


@pytest.fixture
def est(owner: ApiOwner, ca: Pair, tmp_path: Path) -> Iterator[EstServer]:
    """An EST server that is honest until a test says otherwise."""
    with est_server(tmp_path, owner.root, lambda request: certified(signed(ca, request))) as running:
        yield running


def signed(ca: Pair, request: x509.CertificateSigningRequest | x509.Certificate, **odd: object) -> x509.Certificate:
    """Sign a request of a device, or another certificate over the key of one."""
    wanted = {"key": request, "subject": request.subject, **odd}
    return device_certificate(ca, now=utc_now(), **wanted).certificate  # type: ignore[arg-type]


def told(ca: Pair, device: Renewing) -> None:
    """Let the device know the CA as one that may sign, as if it had signed before."""
    with (device.program.directory / "client.chained").open("a") as chain:
        chain.write(ca.pem)


# --- certificates -------------------------------------------------------------------------------------------------


def test_what_another_est_server_signs_under_the_owners_root_is_used(
    device: Renewing, est: EstServer, ca: Pair
) -> None:
    told(ca, device)
    before = device.certificate
    device.renew("--est", est.url)
    device.assert_renewed(before)
    assert est.asked == 1


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ({"subject": device_name("somebody-else")}, "renewed-subject"),
        ({"key": make_key()}, "renewed-key"),
        ({"signer": make_key()}, "renewed-issuer"),
    ],
)
def test_certificate_with_one_thing_wrong_is_not_used_and_the_next_renewal_works(
    device: Renewing, est: EstServer, ca: Pair, odd: dict[str, object], code: str
) -> None:
    told(ca, device)
    before = device.certificate
    honest = est.answer
    est.answer = lambda request: certified(signed(ca, request, **odd))
    assert device.fails("--est", est.url) == code
    assert device.certificate == before
    assert [name for name in device.program.files if "next" in name] == []
    est.answer = honest
    assert device.renew("--est", est.url)["resumed"] is False
    device.assert_renewed(before)


def test_certificate_of_a_ca_that_no_root_signed_is_not_used(device: Renewing, est: EstServer) -> None:
    foreign = ApiOwner(device.server).make_local_ca()  # of another root, which says the same of itself
    told(foreign, device)
    before = device.certificate
    est.answer = lambda request: certified(signed(foreign, request))
    assert device.fails("--est", est.url) == "renewed-issuer"
    assert device.certificate == before


def test_refused_request_ends_the_renewal_with_the_servers_words(device: Renewing, est: EstServer) -> None:
    before = device.certificate
    est.answer = lambda _: Said(400, b"est-extension: not with that", {"Content-Type": "text/plain"})
    assert device.fails("--est", est.url) == "est-extension"
    assert device.certificate == before
    assert json.loads((device.program.directory / "renewal.json").read_text())["rotation"] is None
    assert device.renew()["resumed"] is False
    device.assert_renewed(before)


# --- ages -----------------------------------------------------------------------------------------------------------


def aged(device: Renewing, ca: Pair, *, start: timedelta, end: timedelta) -> x509.Certificate:
    """Put another certificate over the same key in the place of the present one, good in that time from now."""
    now = utc_now()
    subject = device.certificate.subject
    dates = {"not_before": now + start, "not_after": now + end}
    made = device_certificate(ca, key=device.key, subject=subject, **dates)
    (device.program.directory / "client.pem").write_text(made.pem)
    (device.program.directory / "client.chained").write_text(made.pem + ca.pem)
    return made.certificate


def test_expired_device_is_refused_and_comes_back_once_the_owner_allows_it(
    device: Renewing, owner: ApiOwner, ca: Pair
) -> None:
    device.push_secret()
    device.check_in()
    before = aged(device, ca, start=timedelta(days=-300), end=timedelta(days=-2))
    assert device.fails() == "recovery-not-allowed"
    assert device.certificate == before
    allow_recovery(owner)
    eventually(lambda: device.program.run("renew").returncode == 0, seconds=60)
    device.assert_renewed(before)
    assert device.stored_secret == SECRET


@pytest.mark.parametrize("ends_in", [2, -1])
def test_expired_device_keeps_a_key_beside_whose_certificate_lasts_longer(
    device: Renewing, owner: ApiOwner, ca: Pair, ends_in: int
) -> None:
    allow_recovery(owner)
    aged(device, ca, start=timedelta(days=-300), end=timedelta(days=-2))
    beside(device, ca, end=timedelta(days=ends_in))
    assert device.fails() == "other-identity-newer"
    assert {"pkey.next.pem", "client.next.pem"} <= set(device.program.files)


def test_expired_device_comes_back_over_a_key_beside_whose_certificate_ended_before(
    device: Renewing, owner: ApiOwner, ca: Pair
) -> None:
    before = aged(device, ca, start=timedelta(days=-300), end=timedelta(days=-2))
    beside(device, ca, end=timedelta(days=-3))
    allow_recovery(owner)
    eventually(lambda: device.program.run("renew").returncode == 0, seconds=60)
    device.assert_renewed(before)


def beside(device: Renewing, ca: Pair, *, end: timedelta) -> None:
    """Put a key and a certificate, good until so long from now, where a next identity is."""
    key, now = make_key(), utc_now()
    dates = {"not_before": now - timedelta(days=300), "not_after": now + end}
    made = device_certificate(ca, key=key, subject=device.certificate.subject, **dates)
    (device.program.directory / "client.next.pem").write_text(made.pem)
    (device.program.directory / "pkey.next.pem").write_bytes(sec1_pem(key))


def allow_recovery(owner: ApiOwner) -> None:
    path = f"/ota/factories/{owner.server.factory}/recovery/"
    assert owner.server.call("PUT", path, document={"max-expired-days": 30}).is_success


@pytest.fixture
def on_token(owner: ApiOwner, ca: Pair, tmp_path: Path) -> RenewingOnToken:
    """A device whose certificate, on its token, has ended."""
    hsm = soft_hsm(tmp_path / "hsm", empty=True)
    device = renewing_on_token(owner.server, owner.server.create_token("devices:create"), tmp_path, hsm)
    device.put_certificate(ending(ca, device, timedelta(days=-2)))
    told(ca, device)
    return device


@pytest.mark.parametrize("ends_in", [2, -1])
def test_expired_device_keeps_the_key_in_the_other_place_of_its_token_if_its_certificate_lasts_longer(
    on_token: RenewingOnToken, owner: ApiOwner, ca: Pair, ends_in: int
) -> None:
    allow_recovery(owner)
    on_token.leave(ending(ca, on_token, timedelta(days=ends_in)))
    assert on_token.fails() == "other-identity-newer"
    assert objects(on_token.hsm, "privkey") == [("tls", "01"), ("tls", "07")]
    assert objects(on_token.hsm, "cert") == [("client", "03"), ("client", "09")]


def test_expired_device_overwrites_what_ended_before_in_the_other_place_of_its_token(
    on_token: RenewingOnToken, owner: ApiOwner, ca: Pair
) -> None:
    before = on_token.on_token
    on_token.leave(ending(ca, on_token, timedelta(days=-3)))
    allow_recovery(owner)
    eventually(lambda: on_token.program.run("renew").returncode == 0, seconds=60)
    on_token.assert_renewed(before)


def ending(ca: Pair, device: RenewingOnToken, end: timedelta) -> x509.Certificate:
    """Make another certificate over the key in use, good until so long from now."""
    now = utc_now()
    return signed(ca, device.certificate, not_before=now - timedelta(days=300), not_after=now + end)


def test_daemon_renews_a_certificate_past_its_day(device: Renewing, ca: Pair) -> None:
    before = aged(device, ca, start=timedelta(days=-300), end=timedelta(days=20))
    with daemon(device) as running:
        running.wait_for("renewed")
        running.stop()
    device.assert_renewed(before)


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_daemon_renews_by_age_whatever_is_wrong_with_an_order(device: Renewing, ca: Pair, server: str) -> None:
    before = aged(device, ca, start=timedelta(days=-300), end=timedelta(days=20))
    device.push(order(device, "certs-9", server=server))
    with daemon(device) as running:
        running.wait_for("renewed")
        running.stop()
    assert device.certificate != before
    device.check_in()


def test_daemon_leaves_a_certificate_alone_before_its_day(device: Renewing, ca: Pair) -> None:
    before = aged(device, ca, start=timedelta(days=-100), end=timedelta(days=220))
    with daemon(device) as running:
        for turn in ("1", "2"):  # what happened in the second turn comes after all of the first
            device.push({"name": "turn", "value": turn, "unencrypted": True})
            running.wait_for("configured")
        running.stop()
    assert device.certificate == before


# --- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("headers", "least", "most"), [({"Retry-After": "3600"}, 3600, 3600), ({}, 54, 66)])
def test_daemon_waits_as_long_as_the_est_server_asks_for_and_visits_the_gateway_meanwhile(
    device: Renewing, est: EstServer, headers: dict[str, str], least: int, most: int
) -> None:
    before = device.certificate
    est.answer = lambda _: Said(503, b"", headers)
    device.push({**order(device, "certs-9"), "value": f"ESTSERVER={est.url}\nROTATIONID=certs-9\n"})
    with daemon(device) as running:
        seconds = int(running.wait_for("renewal-failed").split("Not again within ")[1].split(" ")[0])
        assert least <= seconds <= most
        for turn in ("1", "2"):
            device.push({"name": "turn", "value": turn, "unencrypted": True})
            running.wait_for("configured")
        running.stop()
    assert est.asked == 1
    assert device.certificate == before
