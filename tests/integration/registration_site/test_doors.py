"""Who may register devices: tokens, client certificates, TLS, a pace for each address.

Source: registration.md §12 rows 1 and 14.
"""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.registration_site.test_sign import request
from tests.support.device_program import DeviceProgram
from tests.support.openssl_owner import P256, OpensslOwner
from tests.support.registration_site import RegistrationSite, owner_of, registration_site


@pytest.fixture(scope="module")
def server_files(pki: Path) -> tuple[str, str]:
    """A certificate of the server's own, as `keys ca sign` makes one with the factory root."""
    owner_of(pki).make_server("registration", "localhost")
    return str(pki / "registration.pem"), str(pki / "registration.key")


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory) -> OpensslOwner:
    """A CA of the stations, with one station under it."""
    owner = OpensslOwner(tmp_path_factory.mktemp("stations"), "stations", habit=P256)
    owner.make_root()
    owner.make_device("station-7", ca="root")
    return owner


def trusting(pki: Path, *station: Path) -> ssl.SSLContext:
    """A client that believes the factory root, and may show a certificate."""
    context = ssl.create_default_context(cafile=str(pki / "factory_ca.pem"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT if hasattr(ssl, "VERIFY_X509_STRICT") else context.verify_flags
    if station:
        key, certificate = station
        context.load_cert_chain(certificate, key)
    return context


def test_station_with_a_token_registers_and_is_named_in_the_log(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--require-token", pki=pki) as site:
        token = site.operate("token", "add", "station-7")["token"]
        assert site.sign(request("board-1"), headers={"OSF-TOKEN": token}).status == 201
        assert [entry["operator"] for entry in site.entries()] == ["station-7"]
        refused = site.sign(request("board-1"), headers={"OSF-TOKEN": token})
        assert "station-7 registered it" in refused.problem["message"]


def test_without_a_token_or_with_an_unknown_one_nobody_registers(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--require-token", pki=pki) as site:
        missing = site.sign(request("board-1"))
        assert (missing.status, missing.problem["code"]) == (401, "token-missing")
        unknown = site.sign(request("board-1"), headers={"OSF-TOKEN": "own_nobody"})
        assert (unknown.status, unknown.problem["code"]) == (401, "token-unknown")
        assert site.send("HEAD", "/sign").status == 405
        assert site.entries() == []


def test_removed_token_counts_no_more(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--require-token", pki=pki) as site:
        token = site.operate("token", "add", "station-7")["token"]
        assert [each["name"] for each in site.operate("token", "list")] == ["station-7"]
        site.operate("token", "remove", "station-7")
        assert site.sign(request("board-1"), headers={"OSF-TOKEN": token}).status == 401


def test_known_station_chooses_a_group_where_a_stranger_may_not(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki) as site:
        token = site.operate("token", "add", "station-7")["token"]
        assert site.sign(request("board-1", group="edge"), headers={"OSF-TOKEN": token}).status == 201
        assert site.sign(request("board-2", group="edge")).problem["code"] == "group-not-yours"
        # Programs of the field must send some token, also where none is asked for.
        assert site.sign(request("board-3"), headers={"OSF-TOKEN": "anything"}).status == 201


def test_token_is_nowhere_in_journal_and_log(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--require-token", "--log-level", "debug", pki=pki) as site:
        token = site.operate("token", "add", "station-7")["token"]
        site.sign(request("board-1"), headers={"OSF-TOKEN": token})
        site.stop()
        kept = b"".join(path.read_bytes() for path in site.data.iterdir()) + site.log.encode()
        assert token.encode() not in kept
        assert b"PRIVATE KEY" not in kept


def test_tls_with_the_factorys_own_certificate(pki: Path, server_files: tuple[str, str], tmp_path: Path) -> None:
    with registration_site(tmp_path, "--tls", *server_files, pki=pki) as site:
        assert site.url.startswith("https://")
        assert site.sign(request("board-1"), tls=trusting(pki)).status == 201
        with pytest.raises(ssl.SSLCertVerificationError):
            site.sign(request("board-2"), tls=ssl.create_default_context())


def test_device_program_that_speaks_plain_http_to_tls_is_told_the_way(
    pki: Path, server_files: tuple[str, str], tmp_path: Path
) -> None:
    with registration_site(tmp_path, "--tls", *server_files, pki=pki) as site:
        device = DeviceProgram(tmp_path / "sota", f"http://localhost:{site.port}/sign", "acme")
        said = device.register()
        assert said.returncode == 9
        assert "begins with https://" in said.stderr
        replace(device, api=f"https://localhost:{site.port}/sign").registered("--cacert", str(pki / "factory_ca.pem"))


def test_station_with_a_client_certificate_registers_and_others_hear_why_not(
    pki: Path, server_files: tuple[str, str], stations: OpensslOwner, tmp_path: Path
) -> None:
    options = ("--tls", *server_files, "--client-ca", str(stations.folder / "root.pem"))
    with registration_site(tmp_path, *options, pki=pki) as site:
        station = trusting(pki, stations.folder / "station-7.key", stations.folder / "station-7.pem")
        assert site.sign(request("board-1"), tls=station).status == 201
        assert [entry["operator"] for entry in site.entries()] == ["station-7"]
        refused = site.sign(request("board-2"), tls=trusting(pki))
        assert (refused.status, refused.problem["code"]) == (401, "client-certificate-missing")
        device = DeviceProgram(tmp_path / "sota", f"https://localhost:{site.port}/sign", "acme")
        said = device.register("--cacert", str(pki / "factory_ca.pem")).stderr
        assert "`--require-token`" in said
        assert "ownroot login" not in said
        assert site.send("HEAD", "/sign", tls=trusting(pki)).status == 405


def test_registered_device_is_no_station(
    pki: Path, server_files: tuple[str, str], stations: OpensslOwner, tmp_path: Path
) -> None:
    options = ("--tls", *server_files, "--client-ca", str(stations.folder / "root.pem"))
    key, certificate = owner_of(pki).make_device("board-9")
    with registration_site(tmp_path, *options, pki=pki) as site, pytest.raises((ssl.SSLError, ConnectionError)):
        site.sign(request("board-1"), tls=trusting(pki, key, certificate))


def test_ca_of_the_factory_is_no_ca_of_stations(pki: Path, server_files: tuple[str, str], tmp_path: Path) -> None:
    with registration_site(tmp_path, "--tls", *server_files, pki=pki, start=False) as site:
        for file in ("factory_ca.pem", "local-ca.pem"):
            assert "client-ca-is-the-factorys" in site.refuse_to_start("--client-ca", str(pki / file))


def test_plain_http_beyond_loopback_is_refused_and_says_how_to_go_on(site: RegistrationSite, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=site.pki, start=False) as exposed:
        said = exposed.refuse_to_start("--listen", "0.0.0.0:0")
        assert "registration-exposed" in said
        assert "keys ca sign" in said


def test_who_asks_too_often_is_slowed_down(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--requests-per-minute", "5", pki=pki) as site:
        statuses = [site.sign(request(f"board-{number}")).status for number in range(7)]
        assert statuses == [201] * 5 + [429] * 2
        slowed = site.sign(request("board-8"))
        assert slowed.problem["code"] == "too-many-requests"
        assert int(slowed.headers["retry-after"]) >= 1
        assert site.send("GET", "/healthz").status == 200
