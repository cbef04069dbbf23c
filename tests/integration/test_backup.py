"""`ownroot backup` and `ownroot restore` as their operator sees them: what comes back, and what never gets in place."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.bootstrap.backup_manifest import code_of
from ownroot.keystore.kek import Kek, load_kek
from ownroot.storage import open_database
from ownroot.trust.restores import RestoreWindow
from tests.support.api_owner import REVOKE, ApiOwner, accept
from tests.support.world import PROGRAM, operate, running_server

OTHER_KEK = "QUFB" * 10 + "QUE="


def refused(command: str, *arguments: object, environment: dict[str, str] | None = None) -> str:
    """Run a command that must be refused; returns its error code."""
    words = [PROGRAM, command, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, env=os.environ | (environment or {}))
    said = done.stderr.decode()
    assert done.returncode not in (0, 1, 2), said
    return said.rpartition("(error code: ")[2].rstrip(")\n")


def with_kek_of(data: Path, target: Path) -> Path:
    """Make a data directory that holds the key-encryption key of another one and nothing else."""
    target.mkdir(mode=0o700)
    shutil.copy2(data / "kek", target / "kek")
    return target


def content(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data directory `data` and its backup `backup.tar`."""
    folder = tmp_path_factory.mktemp("made")
    operate(folder / "data", "factory", "create", "acme")
    operate(folder / "data", "backup", str(folder / "backup.tar"))
    return folder


@pytest.fixture
def target(made: Path, tmp_path: Path) -> Path:
    return with_kek_of(made / "data", tmp_path / "target")


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}


def packed(members: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """Pack as the backup command does, and further members behind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as opened:
        for name, body in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(body), 0o600
            opened.addfile(member, io.BytesIO(body))
        for member in more:
            opened.addfile(member, io.BytesIO(bytes(member.size)))
        end = opened.offset
    return buffer.getvalue()[:end] + bytes(1024)


@contextmanager
def registering(owner: ApiOwner) -> Iterator[list[str]]:
    """Register devices in the background; the list grows by each that was answered."""
    answered: list[str] = []
    stopping = threading.Event()

    def go_on() -> None:
        while not stopping.is_set():
            uuid = f"device-{len(answered)}"
            accept(owner.register(uuid))
            answered.append(uuid)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield answered
    finally:
        stopping.set()
        thread.join(30)


def test_a_backup_of_a_busy_server_holds_every_device_answered_before_it_began(tmp_path):
    archive, new = tmp_path / "backup.tar", tmp_path / "new" / "data"
    with running_server(tmp_path, workers=1) as server:
        owner = ApiOwner(server)
        owner.take_over()
        with registering(owner) as answered:
            while len(answered) < 20:
                time.sleep(0.01)
            before = list(answered)
            manifest = server.run("backup", str(archive))
            assert len(answered) > len(before), "the server did not go on while it was backed up"
    new.parent.mkdir()
    assert operate(with_kek_of(server.data_dir, new), "restore", str(archive)) == manifest
    with running_server(new.parent, workers=1, factory=None) as again:
        restored = replace(again, factory=server.factory, owner_token=server.owner_token)
        for uuid in before:
            assert restored.call("GET", f"/ota/devices/{uuid}/").status_code == 200
        accept(ApiOwner(restored).register("one-more"))
    assert manifest["devices"] >= len(before)


def test_the_restore_is_on_record_in_the_log_it_brings_back(made, target):
    manifest = operate(target, "restore", str(made / "backup.tar"))
    database = open_database(target / "ownroot.db")
    try:
        newest = database.read(lambda uow: uow.audit.list(None, limit=1))[0]
        size = database.read(lambda uow: uow.audit.head()).size
        windows = database.read(lambda uow: uow.restores.list())
    finally:
        database.close()
    assert (newest.kind, newest.subject) == (EventKind.SERVER_RESTORED, manifest["database-sha256"])
    assert windows == [RestoreWindow(datetime.fromisoformat(manifest["made-at"]), newest.at)]
    assert size == manifest["audit-size"] + 1


def test_a_backup_of_a_restored_server_brings_back_both_windows(made, target, tmp_path):
    operate(target, "restore", str(made / "backup.tar"))
    operate(target, "backup", str(tmp_path / "second.tar"))
    again = with_kek_of(made / "data", tmp_path / "again")
    operate(again, "restore", str(tmp_path / "second.tar"))
    database = open_database(again / "ownroot.db")
    try:
        assert len(database.read(lambda uow: uow.restores.list())) == 2
    finally:
        database.close()


def test_the_archive_is_private_and_holds_no_key_in_clear(made):
    archive = made / "backup.tar"
    assert archive.stat().st_mode & 0o777 == 0o600
    text = (made / "data" / "kek").read_bytes().strip()
    held = archive.read_bytes()
    for secret in (text, base64.b64decode(text), base64.b64decode(text).hex().encode(), b"PRIVATE KEY"):
        assert secret not in held
    assert list(unpacked(held)) == ["manifest.json", "manifest.mac", "ownroot.db"]
    assert content(made) == ["backup.tar", "data"]


def test_the_printed_text_says_what_the_backup_does_not_know(made, target):
    words = [PROGRAM, "restore", made / "backup.tar", "--data", target]
    said = subprocess.run(words, capture_output=True, timeout=60, check=True).stdout.decode()
    assert json.loads(unpacked((made / "backup.tar").read_bytes())["manifest.json"])["made-at"] in said
    assert "TRUSTED AGAIN" in said


def test_a_device_ca_revoked_since_is_trusted_again_as_the_page_says(tmp_path):
    archive, new = tmp_path / "backup.tar", tmp_path / "new" / "data"
    with running_server(tmp_path, part="api") as server:
        owner = ApiOwner(server)
        owner.take_over()
        site = owner.add_local_ca()
        server.run("backup", str(archive))
        accept(owner.order(site, reason=REVOKE))
        assert site.pem.strip() not in owner.get()["ca-crt"]
    new.parent.mkdir()
    operate(with_kek_of(server.data_dir, new), "restore", str(archive))
    with running_server(new.parent, part="api", factory=None) as again:
        owner.server = replace(again, factory=server.factory, owner_token=server.owner_token)
        assert site.pem.strip() in owner.get()["ca-crt"]
        accept(owner.order(site, reason=REVOKE))
        assert site.pem.strip() not in owner.get()["ca-crt"]


def test_a_restore_into_a_directory_that_is_not_there_makes_it(made, tmp_path):
    kek = {"OWNROOT_KEK": (made / "data" / "kek").read_text()}
    new = tmp_path / "deep" / "new"
    words = [PROGRAM, "restore", made / "backup.tar", "--data", new]
    subprocess.run(words, check=True, timeout=60, capture_output=True, env=os.environ | kek)
    assert (new / "ownroot.db").stat().st_mode & 0o777 == 0o600
    assert content(new) == ["ownroot.db"]


def test_another_key_encryption_key_is_refused(made, tmp_path):
    target = tmp_path / "new"
    kek = {"OWNROOT_KEK": OTHER_KEK}
    assert refused("restore", made / "backup.tar", "--data", target, environment=kek) == "backup-other-kek"
    assert not target.exists()


def test_a_missing_key_encryption_key_is_refused(made, tmp_path):
    target = tmp_path / "new"
    assert refused("restore", made / "backup.tar", "--data", target) == "kek-missing"
    assert not target.exists()


def flip(part: str) -> Callable[[bytes], bytes]:
    """Change one bit in the middle of a member."""

    def change(archive: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            member = opened.getmember(part)
        where = member.offset_data + member.size // 2
        return archive[:where] + bytes([archive[where] ^ 1]) + archive[where + 1 :]

    return change


def link(name: str, to: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, to
    return member


def add(*more: tarfile.TarInfo) -> Callable[[bytes], bytes]:
    return lambda archive: packed(unpacked(archive), *more)


def without(name: str, *, instead: tarfile.TarInfo | None = None) -> Callable[[bytes], bytes]:
    def change(archive: bytes) -> bytes:
        left = {part: body for part, body in unpacked(archive).items() if part != name}
        return packed(left, *([] if instead is None else [instead]))

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (flip("manifest.json"), "backup-altered"),
        (flip("manifest.mac"), "backup-altered"),
        (flip("ownroot.db"), "backup-altered"),
        (add(tarfile.TarInfo("../evil")), "backup-malformed"),
        (add(tarfile.TarInfo("ownroot.db")), "backup-malformed"),
        (add(link("link", "/etc/passwd")), "backup-malformed"),
        (without("ownroot.db", instead=link("ownroot.db", "/etc/passwd")), "backup-malformed"),
        (without("manifest.mac"), "backup-malformed"),
        (lambda archive: archive[:-1], "backup-malformed"),
        (lambda archive: archive[: len(archive) // 2], "backup-malformed"),
        (lambda archive: archive[:100], "backup-malformed"),
        (lambda archive: archive + b"\0", "backup-malformed"),
        (lambda archive: archive.replace(b"ownroot.db", b"../evil.db", 1), "backup-malformed"),
        (lambda _archive: b"", "backup-malformed"),
    ],
)
def test_an_archive_that_differs_is_refused_and_leaves_the_directory_as_it_was(made, target, tmp_path, change, code):
    differing = tmp_path / "differing.tar"
    differing.write_bytes(change((made / "backup.tar").read_bytes()))
    assert refused("restore", differing, "--data", target) == code
    assert content(target) == ["kek"]
    assert content(tmp_path) == ["differing.tar", "target"]


def test_packing_the_same_members_in_the_same_form_is_no_difference(made, target, tmp_path):
    same = tmp_path / "same.tar"
    same.write_bytes(add()((made / "backup.tar").read_bytes()))
    assert same.read_bytes() == (made / "backup.tar").read_bytes()
    operate(target, "restore", str(same))


def test_a_directory_with_a_database_or_anything_else_is_refused(made, target):
    for name, code in (
        ("ownroot.db", "database-exists"),
        ("ownroot.db-wal", "database-exists"),
        ("notes", "data-directory-not-empty"),
    ):
        (target / name).write_bytes(b"mine")
        assert refused("restore", made / "backup.tar", "--data", target) == code
        assert content(target) == sorted(["kek", name])
        assert (target / name).read_bytes() == b"mine"
        (target / name).unlink()


def test_a_directory_in_which_a_server_runs_is_refused(made, tmp_path):
    with running_server(tmp_path, part="api", factory=None) as server:
        assert refused("restore", made / "backup.tar", "--data", server.data_dir) == "data-directory-in-use"


def test_a_backup_never_replaces_a_file(made, tmp_path):
    taken = tmp_path / "taken.tar"
    taken.write_bytes(b"mine")
    assert refused("backup", taken, "--data", made / "data") == "backup-exists"
    assert taken.read_bytes() == b"mine"
    assert content(tmp_path) == ["taken.tar"]


def test_a_backup_needs_a_database_and_its_key(made, tmp_path):
    file = tmp_path / "backup.tar"
    assert refused("backup", file, "--data", tmp_path / "none") == "database-missing"
    kek = {"OWNROOT_KEK": OTHER_KEK}
    assert refused("backup", file, "--data", made / "data", environment=kek) == "sealed-unreadable"
    assert refused("backup", tmp_path / "none" / "b.tar", "--data", made / "data") == "backup-unwritable"
    assert content(tmp_path) == []


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_postgres_is_left_to_its_own_tools(tmp_path, command):
    options = ("--data", tmp_path / "data", "--database", "postgresql://nobody@127.0.0.1:1/none")
    assert refused(command, tmp_path / "b.tar", *options) == "backup-postgres"
    assert content(tmp_path) == []


def test_a_killed_backup_leaves_nothing_under_its_name(made, tmp_path):
    words = [PROGRAM, "backup", tmp_path / "backup.tar", "--data", made / "data"]
    killed_at_work = 0
    for attempt in range(6):
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not content(tmp_path):
                time.sleep(0.000_5)
            time.sleep(attempt * 0.01)  # each time a little further on
            process.send_signal(signal.SIGKILL)
        if not (tmp_path / "backup.tar").exists():
            killed_at_work += 1
        else:
            tarfile.open(tmp_path / "backup.tar").close()
        for entry in tmp_path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    assert killed_at_work


def made_later(archive: bytes, kek: Kek, by: timedelta) -> bytes:
    """Let a backup say that it was made later, as one does whose server's clock is ahead of this machine's."""
    members = unpacked(archive)
    manifest = json.loads(members["manifest.json"])
    at = datetime.fromisoformat(manifest["made-at"]) + by
    members["manifest.json"] = json.dumps(manifest | {"made-at": at.isoformat()}).encode()
    return packed(members | {"manifest.mac": code_of(members["manifest.json"], kek)})


def test_a_clock_from_before_the_backup_is_refused_and_one_a_little_behind_is_not(made, target, tmp_path):
    kek = load_kek(target, {})
    for by, file in ((timedelta(hours=1), "later.tar"), (timedelta(minutes=2), "soon.tar")):
        (tmp_path / file).write_bytes(made_later((made / "backup.tar").read_bytes(), kek, by))
    assert refused("restore", tmp_path / "later.tar", "--data", target) == "clock-before-backup"
    assert content(target) == ["kek"]
    operate(target, "restore", str(tmp_path / "soon.tar"))
