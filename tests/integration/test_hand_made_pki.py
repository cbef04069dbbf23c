"""A PKI made by hand with openssl takes a factory over, and its devices connect with curl and openssl alone.

Nothing of ours takes part on the owner's or the device's side: the owner is openssl and JSON, the device is curl or
`openssl s_client`.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.openssl_owner import HABITS, OpensslOwner, make_openssl_pki
from tests.support.tools import require_tool
from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("world"), workers=2, factory=None) as running:
        yield running


class Fleet:
    """A factory taken over by hand, with one device of the offline CA."""

    def __init__(self, server: RunningServer, pki: OpensslOwner) -> None:
        self.server, self.pki = server, pki
        self.names = (self.gateway_name, f"ostree.{self.gateway_name}")

    @property
    def gateway_name(self) -> str:
        # The first factory has the base name, every other one a name below it.
        factory = self.server.factory
        return self.server.gateway_name if factory == "p-256" else f"{factory}.{self.server.gateway_name}"

    def take_over(self) -> None:
        certs = f"/ota/factories/{self.server.factory}/certs/"
        # As the curl guide does it: no body, no Content-Length, a JSON content type (registration.md §11).
        asked = self.server.call("POST", certs, headers={"Content-Type": "application/json"})
        assert asked.status_code == 201, asked.text
        csrs = asked.json()
        online = self.pki.sign_ca(csrs["ca-csr"])
        upload = {
            "root-crt": self.pki.read("root.pem"),
            "ca-crt": self.pki.read("local-ca.pem") + "\n" + online,
            "tls-crt": self.pki.sign_tls(csrs["tls-csr"], dns_names=self.names),
        }
        done = self.server.call("PATCH", certs, document=upload)
        assert done.status_code == 200, done.text

    def file(self, name: str) -> str:
        return str(self.pki.folder / name)

    def curl(self, device: str, *more: str, chain: bool = False) -> tuple[int, str]:
        """GET /device; the status and the body. Nothing but the factory's own root is believed."""
        port = self.server.gateway_address[1]
        certificate = self.with_ca(device) if chain else self.file(f"{device}.pem")
        command = [
            *(require_tool("curl"), "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"),
            *("--resolve", f"{self.gateway_name}:{port}:127.0.0.1", "--cacert", self.file("root.pem")),
            *("--cert", certificate, "--key", self.file(f"{device}.key"), *more),
            f"https://{self.gateway_name}:{port}/device",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def with_ca(self, device: str) -> str:
        path = self.pki.folder / f"{device}-with-ca.pem"
        path.write_text(self.pki.read(f"{device}.pem") + self.pki.read("local-ca.pem"))
        return str(path)

    def s_client(self, device: str, *more: str) -> str:
        """Send one request through `openssl s_client`; everything it printed."""
        command = [
            *(require_tool("openssl"), "s_client", "-quiet", "-connect", f"127.0.0.1:{self.server.gateway_address[1]}"),
            *("-CAfile", self.file("root.pem"), "-verify_return_error", "-verify_hostname", self.gateway_name),
            *("-cert", self.file(f"{device}.pem"), "-key", self.file(f"{device}.key"), *more),
        ]
        request = f"GET /device HTTP/1.1\r\nHost: {self.gateway_name}\r\nConnection: close\r\n\r\n"
        done = subprocess.run(command, input=request, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def fleets(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fleet]:
    """One fleet for each habit; the P-256 one is made first, so it is the default factory."""
    return {habit: make_fleet(server, tmp_path_factory.mktemp(habit), habit) for habit in sorted(HABITS)}


def make_fleet(server: RunningServer, directory: Path, habit: str) -> Fleet:
    name = habit.lower()
    pki = make_openssl_pki(directory, name, HABITS[habit])
    made = Fleet(server.for_factory(name), pki)
    made.take_over()
    pki.make_device("offline-device-1")
    return made


@pytest.fixture(params=sorted(HABITS))
def fleet(request: pytest.FixtureRequest, fleets: dict[str, Fleet]) -> Fleet:
    return fleets[request.param]


@pytest.mark.parametrize("version", ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"])
@pytest.mark.parametrize("chain", [False, True])
def test_device_of_the_offline_ca_connects_with_curl(fleet: Fleet, version: str, chain: bool) -> None:
    status, body = fleet.curl("offline-device-1", *version.split(), chain=chain)
    assert (status, json.loads(body)["uuid"]) == (200, "offline-device-1")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_device_connects_with_openssl(fleet: Fleet, version: str) -> None:
    said = fleet.s_client("offline-device-1", version, "-servername", fleet.gateway_name)
    assert "HTTP/1.1 200" in said


def test_without_sni_a_device_of_the_default_factory_is_served(fleets: dict[str, Fleet]) -> None:
    assert "HTTP/1.1 200" in fleets["P-256"].s_client("offline-device-1", "-noservername")


def test_without_sni_a_device_of_another_factory_turns_away(fleets: dict[str, Fleet]) -> None:
    # The default factory shows its own certificate, which this device's root has not signed.
    said = fleets["P-521"].s_client("offline-device-1", "-noservername")
    assert "HTTP/1.1" not in said
    assert "verify error" in said


def test_old_tls_is_not_spoken(fleet: Fleet) -> None:
    said = fleet.s_client(
        "offline-device-1", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", fleet.gateway_name
    )
    assert "HTTP/1.1" not in said
    assert "alert" in said or "unsupported protocol" in said


def test_owner_of_a_device_with_a_foreign_ca_name_is_who_uploaded_the_ca(fleet: Fleet) -> None:
    fleet.curl("offline-device-1")
    shown = fleet.server.call("GET", f"/ota/devices/offline-device-1/?factory={fleet.server.factory}")
    assert shown.json()["owner"] == fleet.server.owner_id


def test_forged_ca_of_the_same_name_is_refused_with_the_reason(fleet: Fleet, tmp_path: Path) -> None:
    forged = make_openssl_pki(tmp_path, fleet.server.factory, fleet.pki.habit)
    forged.make_device("stranger")
    for suffix in ("pem", "key"):
        (fleet.pki.folder / f"stranger.{suffix}").write_text(forged.read(f"stranger.{suffix}"))
    status, body = fleet.curl("stranger")
    assert (status, body.partition(":")[0]) == (403, "device-ca-unknown")


def test_wrong_factory_in_the_certificate_is_refused(fleet: Fleet) -> None:
    real = fleet.pki
    real.make_device("wrong-ou", factory="elsewhere")
    status, body = fleet.curl("wrong-ou")
    assert (status, body.partition(":")[0]) == (403, "device-factory")


def test_certificate_of_the_device_ca_itself_is_no_device(fleet: Fleet) -> None:
    status, body = fleet.curl("local-ca")
    assert (status, body.partition(":")[0]) == (403, "client-is-device-ca")


def test_certificate_signed_by_the_root_directly_is_no_device(fleet: Fleet) -> None:
    fleet.pki.make_device("under-root", ca="root")
    status, body = fleet.curl("under-root")
    assert (status, body.partition(":")[0]) == (403, "device-ca-unknown")


def test_second_board_with_the_same_name_is_refused(fleet: Fleet) -> None:
    fleet.pki.make_device("twin")
    assert fleet.curl("twin")[0] == 200
    fleet.pki.make_device("twin")  # a new key under the same name
    status, body = fleet.curl("twin")
    assert (status, body.partition(":")[0]) == (403, "device-key-mismatch")


def test_bundle_of_two_cas_is_uploaded_again_with_the_same_root(fleet: Fleet) -> None:
    certs = f"/ota/factories/{fleet.server.factory}/certs/"
    now = fleet.server.call("GET", certs).json()
    sent = {"root-crt": now["root-crt"], "ca-crt": now["ca-crt"], "tls-crt": now["tls-crt"]}
    assert fleet.server.call("PATCH", certs, document=sent).status_code == 200
    assert fleet.server.call("GET", certs).json()["ca-crt"] == now["ca-crt"]
