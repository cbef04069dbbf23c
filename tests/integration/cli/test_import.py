"""`ownroot import`: a fleet leaves one server for another, over real sockets, and no device is touched."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ownroot.clock import utc_now
from ownroot.pki.encoding import parse_certificate
from tests.support.certificates import Pair, device_certificate, make_key
from tests.support.device_csrs import device_csr
from tests.support.owner import Owner
from tests.support.tls_device import Device
from tests.support.world import RunningServer, running_server


class Fleet:
    """A factory at its old server, with a device of each kind, and its owner's directory."""

    def __init__(self, server: RunningServer, owner: Owner, directory: Path) -> None:
        self.directory = directory
        self.old = server
        done = owner.at(server.api_url, factory="acme", token=server.owner_token).run("keys", "ca", "create", directory)
        assert done.code == 0, done.err
        self.root = self._pair("factory_ca.pem")
        self.local_ca = self._pair("local-ca.pem", with_key=True)
        self.online = self.register("online-1")
        self.local = device_certificate(self.local_ca, "local-1", "acme", now=utc_now())
        assert self.visit(self.local, server) == 200
        self.listing = json.dumps(server.call("GET", "/ota/devices/?factory=acme").json()["devices"])

    def register(self, uuid: str) -> Pair:
        """Register a device at the old server, with its online CA."""
        key = make_key()
        document = {"csr": device_csr(uuid, key=key), "hardware-id": "h", "name": f"name-of-{uuid}"}
        answer = self.old.call("POST", "/ota/devices/", document=document)
        assert answer.status_code == 201, answer.text
        return Pair(parse_certificate(answer.json()["client.pem"]), key)

    def visit(self, device: Pair, server: RunningServer) -> int:
        """Let a device call a gateway; it believes the factory's root alone."""
        program = Device(identity=device, root=self.root, server_name=server.gateway_name)
        return program.get(server.gateway_address, Host=server.gateway_name).status

    def _pair(self, name: str, *, with_key: bool = False) -> Pair:
        certificate = x509.load_pem_x509_certificate((self.directory / name).read_bytes())
        if not with_key:
            return Pair(certificate, make_key())
        key = load_pem_private_key((self.directory / name).with_suffix(".key").read_bytes(), None)
        return Pair(certificate, key)  # type: ignore[arg-type]  # the directory's keys are EC


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("old")
    with running_server(folder, workers=1, factory="acme") as server:
        (folder / "home").mkdir()
        yield Fleet(server, Owner(folder / "home"), folder / "pki")


@pytest.fixture
def new(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "new", workers=1, factory="acme") as server:
        yield server


@pytest.fixture
def owner(stranger: Owner, new: RunningServer) -> Owner:
    return stranger.at(new.api_url, factory="acme", token=new.owner_token)


@pytest.fixture
def directory(fleet: Fleet, tmp_path: Path) -> Path:
    """A copy of the owner's directory: every test moves from the same start."""
    copy = tmp_path / "pki"
    copy.mkdir(mode=0o700)
    for name in ("factory_ca.pem", "factory_ca.key", "tls-crt", "online-crt", "local-ca.pem"):
        (copy / name).write_bytes((fleet.directory / name).read_bytes())
        (copy / name).chmod(0o400)
    return copy


def listed(tmp_path: Path, text: str, name: str = "devices.json") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_devices_of_both_kinds_go_on_at_the_new_server_and_nobody_else_comes_in(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    assert fleet.visit(fleet.online, fleet.old) == 200
    before = (directory / "online-crt").read_bytes()
    unlisted = fleet.register("online-unlisted")
    done = owner.run("import", directory, listed(tmp_path, fleet.listing), "--yes", "--json").json
    assert (done["takes-over"], done["pinned"], done["known"], done["refused"]) == (True, 2, 0, [])
    assert (len(done["device-cas"]), len(done["disabled-device-cas"])) == (1, 1)

    assert [fleet.visit(device, new) for device in (fleet.online, fleet.local)] == [200, 200]
    # The old server's key makes no new devices here; the owner's local CA does.
    assert fleet.visit(unlisted, new) == 403
    assert fleet.visit(device_certificate(fleet.local_ca, "local-2", "acme", now=utc_now()), new) == 200
    # A clone of a known uuid, over another key, signed by the old server.
    shown = owner.run("devices", "show", "name-of-online-1", "--json").json
    assert shown["uuid"] == "online-1"
    kinds = {ca["kind"]: ca["standing"] for ca in owner.run("keys", "ca", "show", "--json").json["device-cas"]}
    assert kinds == {"online-ca": "valid", "local-ca": "valid", "foreign-ca": "disabled"}
    assert (directory / "online-crt.bak").read_bytes() == before
    # Registration works with the new server's own online CA.
    document = {"csr": device_csr("online-new"), "hardware-id": "h"}
    assert new.call("POST", "/ota/devices/", document=document).status_code == 201


def test_second_run_and_more_devices_leave_what_is_here(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    first, *_ = json.loads(fleet.listing)
    assert owner.run("import", directory, listed(tmp_path, json.dumps([first])), "--yes").code == 0
    state = new.call("GET", "/ota/factories/acme/certs/").json()
    again = owner.run("import", directory, listed(tmp_path, fleet.listing), "--yes", "--json").json
    assert (again["takes-over"], again["pinned"], again["known"]) == (False, 1, 1)
    assert new.call("GET", "/ota/factories/acme/certs/").json() == state


def test_dry_run_changes_nothing(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    done = owner.run("import", directory, listed(tmp_path, fleet.listing), "--dry-run", "--json").json
    assert (done["dry-run"], done["takes-over"], done["devices"], done["pinned"]) == (True, True, 2, 0)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == files
    assert new.call("GET", "/ota/factories/acme/certs/").status_code == 206


def test_csv_with_keys_certificates_groups_and_marks_is_understood(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    keys = {device["uuid"]: device["public-key"] for device in json.loads(fleet.listing)}
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["uuid", "certificate", "public-key", "name", "group", "production"])
    writer.writerow(["local-1", fleet.local.pem, "", "board one", "edge", ""])
    path = listed(tmp_path, sheet.getvalue(), "odd.csv")
    refused = owner.run("import", directory, path, "--yes", "--json")
    assert (refused.code, refused.error["code"]) == (3, "fleet-list")
    assert new.call("GET", "/ota/factories/acme/certs/").status_code == 206

    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["uuid", "certificate", "public-key", "name", "group", "production"])
    writer.writerow(["local-1", fleet.local.pem, "", "board-one", "edge", ""])
    writer.writerow(["someone", "", keys["online-1"].replace("\n", "\\n"), "", "", "yes"])
    done = owner.run("import", directory, listed(tmp_path, sheet.getvalue(), "good.csv"), "--yes", "--json").json
    assert done["pinned"] == 2
    shown = owner.run("devices", "show", "board-one", "--json").json
    assert (shown["group"]["name"], shown["uuid"]) == ("edge", "local-1")
    assert owner.run("devices", "show", "someone", "--json").json["is-prod"] is True


def test_what_cannot_be_pinned_is_named_and_the_rest_is(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    stranger = device_certificate(Pair(fleet.local_ca.certificate, make_key()), "stranger", "acme", now=utc_now())
    other_uuid = {"uuid": "not-local-1", "certificate": fleet.local.pem}
    same_key = {"uuid": "twin", "public-key": json.loads(fleet.listing)[0]["public-key"]}
    devices = [*json.loads(fleet.listing), {"uuid": "stranger", "certificate": stranger.pem}, other_uuid, same_key]
    done = owner.run("import", directory, listed(tmp_path, json.dumps(devices)), "--yes", "--json")
    assert done.code == 7
    result = json.loads(done.out)
    codes = {refused["uuid"]: refused["code"] for refused in result["refused"]}
    assert codes == {"stranger": "device-ca-unknown", "not-local-1": "uuid-mismatch", "twin": "device-key-taken"}
    assert result["pinned"] == 2
    plain = owner.run("import", directory, listed(tmp_path, json.dumps(devices)), "--yes")
    assert (plain.code, "[uuid-mismatch]" in plain.out) == (7, True)


def test_another_factorys_directory_is_refused_before_anything_is_made(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    other = new.for_factory("other")
    as_other = owner.at(new.api_url, factory="other", token=other.owner_token)
    refused = as_other.run("import", directory, listed(tmp_path, fleet.listing), "--yes", "--json")
    assert (refused.code, refused.error["code"]) == (7, "pki-directory-other-factory")
    assert other.call("GET", "/ota/factories/other/certs/").status_code == 206


def test_factory_with_another_root_is_not_moved_into(
    fleet: Fleet, new: RunningServer, owner: Owner, directory: Path, tmp_path: Path
) -> None:
    assert owner.run("keys", "ca", "create", tmp_path / "own").code == 0
    refused = owner.run("import", directory, listed(tmp_path, fleet.listing), "--yes", "--json")
    assert (refused.code, refused.error["code"]) == (7, "already-taken-over")


def test_pinning_takes_more_than_a_right_to_create_devices(new: RunningServer) -> None:
    token = new.create_token("devices:create", user="station")
    document = {"devices": [{"uuid": "a", "public-key": "x"}]}
    answer = new.call("POST", "/ota/factories/acme/import/devices/", document=document, token=token)
    assert (answer.status_code, answer.json()["code"]) == (403, "role-missing")
    assert new.call("POST", "/ota/factories/acme/import/devices/", document={"devices": []}).status_code == 400
    too_many = {"devices": [{"uuid": f"d{n}", "public-key": "x"} for n in range(201)]}
    assert new.call("POST", "/ota/factories/acme/import/devices/", document=too_many).status_code == 400
