"""Repositories that lie: each is refused by the name of its rule, and its honest twin is accepted by the device."""

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.clock import utc_now
from ownroot.errors import InvalidInputError, NotFoundError, OwnrootError, RefusedError
from ownroot.tuf.metadata import Role, new_snapshot, new_timestamp
from ownroot.tuf.repository import ci_documents
from tests.support.device_program import PROGRAM
from tests.support.hostile_repository import HostileRepository, hostile_repository
from tests.support.repository import ROOT
from tests.support.tuf_world import NOW, TufOwner, ed25519_signer, signed_document, signed_root, with_role

OWNER = TufOwner()
NEW = ed25519_signer(11)
FIRST = signed_root(OWNER.root_body(), OWNER.root).encoded()
SECOND = signed_root(with_role(OWNER.root_body(2), Role.ROOT, NEW.key), OWNER.root, NEW).encoded()
ENTRY = {
    "length": 0,
    "hashes": {"sha256": "ab" * 32},
    "custom": {"version": "7", "tags": ["main"], "hardwareIds": ["rpi4"]},
}


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[HostileRepository]:
    with hostile_repository(tmp_path / "sota") as started:
        started.served = {"1.root.json": FIRST, "2.root.json": SECOND}
        started.serve(*OWNER.documents(5))
        yield started


def refusal(repository: HostileRepository, *, days: int = 0) -> str:
    with pytest.raises(OwnrootError) as caught:
        repository.refresh(NOW + timedelta(days=days))
    return caught.value.code


def versions(repository: HostileRepository, *, days: int = 0) -> tuple[int, ...]:
    trust = repository.refresh(NOW + timedelta(days=days)).trust
    assert trust.timestamp is not None
    assert trust.snapshot is not None
    assert trust.targets is not None
    return trust.root.version, trust.timestamp.version, trust.snapshot.version, trust.targets.version


def test_device_walks_up_and_down_and_fetches_only_what_is_new(repository: HostileRepository) -> None:
    assert versions(repository) == (2, 5, 5, 5)
    order = ["1.root.json", "2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json"]
    assert repository.asked == order
    assert repository.tags == {"main"}

    repository.asked.clear()
    assert versions(repository) == (2, 5, 5, 5)
    assert repository.asked == ["3.root.json", "timestamp.json"]
    kept = {path.name: stat.S_IMODE(path.stat().st_mode) for path in repository.kept.iterdir()}
    names = ("root.json", "timestamp.json", "snapshot.json", "targets.json", "fresh-at")
    assert kept == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(repository.kept.stat().st_mode) == 0o700


def tampered(data: bytes) -> bytes:
    return data.replace(b'"version":5', b'"version":6')


def truncated(data: bytes) -> bytes:
    return data[:-1]


def one_more(data: bytes) -> bytes:
    return data + b" "


def endless(data: bytes) -> bytes:
    return data + b" " * 100_000


HOSTILE_JSON = {
    "member-twice": lambda data: data.replace(b'"version":', b'"version":1,"version":', 1),
    "fraction": lambda data: data.replace(b'"version":', b'"version":1.5e', 1),
    "huge-number": lambda data: data.replace(b'"version":', b'"version":' + b"9" * 9_000, 1),
    "no-number": lambda data: data.replace(b'"version":', b'"version":NaN,"x":', 1),
    "nested": lambda data: data.replace(b'"version":', b'"x":' + b"[" * 3_000 + b"]" * 3_000 + b',"version":', 1),
    "deep-but-readable": lambda data: data.replace(b'"version":', b'"x":' + b"[" * 99 + b"]" * 99 + b',"version":', 1),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "byte-order-mark": lambda data: data.decode().encode("utf-8-sig"),
    "latin-1": lambda data: data.replace(b'"version":', b'"x":"\xe9","version":', 1),
    "half-a-character": lambda data: data.replace(b'"version":', b'"x":"\\ud800","version":', 1),
    "a-list": lambda data: b"[" + data + b"]",
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("name", ["1.root.json", "2.root.json", "timestamp.json"])
@pytest.mark.parametrize("row", HOSTILE_JSON)
def test_json_that_readers_would_read_in_two_ways_is_refused(
    repository: HostileRepository, row: str, name: str
) -> None:
    honest = repository.served[name]
    repository.served[name] = HOSTILE_JSON[row](honest)
    assert refusal(repository) == "tuf-malformed"

    repository.served[name] = honest
    assert versions(repository) == (2, 5, 5, 5)


def test_stolen_online_key_cannot_make_a_device_read_without_end(repository: HostileRepository) -> None:
    """It may announce any length; nothing is read beyond what clients of the field read of a document."""
    timestamp, snapshot, targets = OWNER.documents(5)
    signed = new_timestamp(5, NOW + timedelta(days=30), snapshot, snapshot_version=5)
    signed["meta"]["snapshot.json"]["length"] = 2**50  # type: ignore[index,call-overload]
    repository.serve(signed_document(signed, OWNER.timestamp).encoded(), snapshot + b" " * 9 * 2**20, targets)
    assert refusal(repository) == "tuf-too-long"

    repository.serve(timestamp, snapshot, targets)
    assert versions(repository) == (2, 5, 5, 5)


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("timestamp.json", tampered, "tuf-signatures-missing"),
        ("snapshot.json", tampered, "tuf-mix-and-match"),
        ("targets.json", tampered, "tuf-mix-and-match"),
        ("timestamp.json", truncated, "tuf-malformed"),
        ("snapshot.json", truncated, "tuf-mix-and-match"),
        ("targets.json", truncated, "tuf-mix-and-match"),
        ("snapshot.json", one_more, "tuf-too-long"),
        ("targets.json", one_more, "tuf-too-long"),
        ("timestamp.json", endless, "tuf-too-long"),
        ("2.root.json", endless, "tuf-too-long"),
        ("2.root.json", truncated, "tuf-malformed"),
        ("2.root.json", lambda _: FIRST, "tuf-root-version"),
        ("1.root.json", lambda _: SECOND, "tuf-root-version"),
        ("2.root.json", lambda data: data.replace(b'"version":2', b'"version":3'), "tuf-root-version"),
        ("2.root.json", lambda data: data.replace(b'"threshold":1', b'"threshold":2'), "tuf-signatures-missing"),
    ],
)
def test_a_byte_that_was_not_signed_is_refused_and_the_right_one_is_not(
    repository: HostileRepository, name: str, change, rule: str
) -> None:
    honest = repository.served[name]
    repository.served[name] = change(honest)
    assert refusal(repository) == rule

    repository.served[name] = honest
    assert versions(repository) == (2, 5, 5, 5)


def test_rolled_back_documents_are_refused_in_this_run_and_the_next(repository: HostileRepository) -> None:
    assert versions(repository) == (2, 5, 5, 5)
    repository.serve(*OWNER.documents(4))
    assert refusal(repository) == "tuf-rollback"
    assert refusal(repository) == "tuf-rollback"
    repository.serve(*OWNER.documents(6))
    assert versions(repository) == (2, 6, 6, 6)


def test_new_timestamp_over_old_documents_is_a_rollback(repository: HostileRepository) -> None:
    assert versions(repository) == (2, 5, 5, 5)
    expires = NOW + timedelta(days=30)
    _, old_snapshot, old_targets = OWNER.documents(4)
    over_snapshot = signed_document(new_timestamp(6, expires, old_snapshot, snapshot_version=4), OWNER.timestamp)
    repository.serve(over_snapshot.encoded(), old_snapshot, old_targets)
    assert refusal(repository) == "tuf-rollback"

    snapshot = signed_document(new_snapshot(6, expires, old_targets, targets_version=4), OWNER.snapshot).encoded()
    over_targets = signed_document(new_timestamp(6, expires, snapshot, snapshot_version=6), OWNER.timestamp)
    repository.serve(over_targets.encoded(), snapshot, old_targets)
    assert refusal(repository) == "tuf-rollback"


def test_frozen_repository_is_refused_once_its_documents_have_ended(repository: HostileRepository) -> None:
    assert versions(repository, days=29) == (2, 5, 5, 5)
    assert refusal(repository, days=30) == "tuf-expired"
    repository.serve(*OWNER.documents(6, days=40))
    assert versions(repository, days=30) == (2, 6, 6, 6)


def test_frozen_snapshot_under_a_fresh_timestamp_is_refused(repository: HostileRepository) -> None:
    assert versions(repository) == (2, 5, 5, 5)
    _, snapshot, targets = OWNER.documents(5)
    timestamp = new_timestamp(6, NOW + timedelta(days=40), snapshot, snapshot_version=5)
    repository.serve(signed_document(timestamp, OWNER.timestamp).encoded(), snapshot, targets)

    assert versions(repository, days=29) == (2, 6, 5, 5)
    assert refusal(repository, days=30) == "tuf-expired"


def test_roots_that_ended_are_steps_and_the_last_one_must_not_have(repository: HostileRepository) -> None:
    del repository.served["2.root.json"]
    repository.serve(*OWNER.documents(5, days=500))
    assert refusal(repository, days=300) == "tuf-root-expired"

    body = replace(with_role(OWNER.root_body(2), Role.ROOT, NEW.key), expires=NOW + timedelta(days=400))
    repository.served["2.root.json"] = signed_root(body, OWNER.root, NEW).encoded()
    assert versions(repository, days=300) == (2, 5, 5, 5)


@pytest.mark.parametrize("names", [("timestamp.json",), ("snapshot.json",), ("snapshot.json", "targets.json")])
def test_documents_of_two_states_are_refused(repository: HostileRepository, names: tuple[str, ...]) -> None:
    newer = dict(zip(("timestamp.json", "snapshot.json", "targets.json"), OWNER.documents(6), strict=True))
    repository.served |= {name: newer[name] for name in names}
    assert refusal(repository) == "tuf-mix-and-match"

    repository.served |= newer
    assert versions(repository) == (2, 6, 6, 6)


def test_factory_that_publishes_in_this_very_moment_is_waited_for_once(repository: HostileRepository) -> None:
    newer = OWNER.documents(6)
    repository.served["timestamp.json"] = newer[0]
    repository.published_meanwhile = newer
    assert (versions(repository), repository.waits) == ((2, 6, 6, 6), 1)

    repository.published_meanwhile = None
    repository.served["timestamp.json"] = OWNER.documents(7)[0]
    assert (refusal(repository), repository.waits) == ("tuf-mix-and-match", 2)


def test_clock_that_was_set_back_makes_nothing_fresh_again(repository: HostileRepository) -> None:
    repository.serve(*OWNER.documents(5, days=30))
    assert versions(repository, days=20) == (2, 5, 5, 5)

    repository.serve(*OWNER.documents(6, days=10))
    assert refusal(repository, days=0) == "tuf-expired"
    repository.serve(*OWNER.documents(6, days=21))
    assert versions(repository, days=0) == (2, 6, 6, 6)
    done = repository.refresh(NOW)
    assert done.now == NOW + timedelta(days=20)

    (repository.kept / "fresh-at").write_text("when the cows come home")
    repository.serve(*OWNER.documents(7, days=10))
    assert versions(repository, days=0) == (2, 7, 7, 7)


def test_new_online_keys_leave_nothing_of_the_old_ones_on_disk(repository: HostileRepository) -> None:
    repository.serve(*OWNER.documents(1000))
    assert versions(repository) == (2, 1000, 1000, 1000)
    moved = replace(OWNER, timestamp=ed25519_signer(21))
    body = with_role(with_role(OWNER.root_body(3), Role.ROOT, NEW.key), Role.TIMESTAMP, moved.timestamp.key)
    repository.served["3.root.json"] = signed_root(body, NEW).encoded()

    assert refusal(repository) == "tuf-signatures-missing"
    assert sorted(path.name for path in repository.kept.iterdir()) == ["fresh-at", "root.json"]
    repository.serve(*moved.documents(1))
    assert versions(repository) == (3, 1, 1, 1)


def test_what_is_no_404_is_no_end_of_the_roots(repository: HostileRepository) -> None:
    repository.status["3.root.json"] = 503
    assert refusal(repository) == "http-503"
    del repository.status["3.root.json"]
    assert versions(repository) == (2, 5, 5, 5)


def test_nothing_there_is_said_in_words(repository: HostileRepository) -> None:
    documents = dict(repository.served)
    for name, code in (("timestamp.json", "update-tags-unknown"), ("1.root.json", "update-repository-unknown")):
        repository.served = {kept: data for kept, data in documents.items() if kept != name}
        with pytest.raises(NotFoundError, match=code):
            repository.refresh(NOW)
        for path in repository.kept.iterdir():
            path.unlink()


def test_roots_the_device_was_made_with_are_believed_and_not_the_first_the_gateway_shows(
    repository: HostileRepository, tmp_path: Path
) -> None:
    maker = tmp_path / "tuf" / "ci"
    maker.mkdir(parents=True)
    (maker / "1.root.json").write_bytes(FIRST)
    thief = TufOwner(root=ed25519_signer(666))
    forged = signed_root(with_role(thief.root_body(2), Role.ROOT, thief.root.key), thief.root).encoded()
    repository.served |= {"1.root.json": signed_root(thief.root_body(), thief.root).encoded(), "2.root.json": forged}

    with pytest.raises(RefusedError, match="tuf-signatures-missing"):
        repository.refresh(NOW, initial_roots=tmp_path / "tuf")
    repository.served["2.root.json"] = SECOND
    done = repository.refresh(NOW)
    assert (done.beginning.value, done.trust.root.version) == ("kept", 2)  # whatever is served as root 1


def test_root_of_the_maker_that_is_none_stops_the_device(repository: HostileRepository, tmp_path: Path) -> None:
    maker = tmp_path / "tuf" / "ci"
    maker.mkdir(parents=True)
    (maker / "1.root.json").write_bytes(FIRST)
    (maker / "2.root.json").write_bytes(FIRST)
    with pytest.raises(InvalidInputError, match="initial-root-unusable"):
        repository.refresh(NOW, initial_roots=tmp_path / "tuf")
    (maker / "2.root.json").write_bytes(SECOND)
    assert repository.refresh(NOW, initial_roots=tmp_path / "tuf").beginning.value == "provisioned"


def test_production_device_begins_with_its_own_roots_or_the_two_that_all_share(tmp_path: Path) -> None:
    third = signed_root(with_role(OWNER.root_body(3), Role.ROOT, NEW.key), NEW).encoded()
    own = signed_root(with_role(OWNER.root_body(3), Role.TARGETS, OWNER.targets.key, threshold=2), OWNER.root).encoded()
    with hostile_repository(tmp_path / "sota", production=True) as repository:
        for kind, roots in (("ci", (FIRST, SECOND, third)), ("prod", (FIRST,))):
            (tmp_path / "tuf" / kind).mkdir(parents=True)
            for version, root in enumerate(roots, start=1):
                (tmp_path / "tuf" / kind / f"{version}.root.json").write_bytes(root)
        with pytest.raises(NotFoundError):
            repository.refresh(NOW, initial_roots=tmp_path / "tuf")
        assert repository.asked == ["2.root.json", "timestamp.json"]
        assert own not in repository.served.values()
        (repository.kept / "root.json").unlink()
        repository.asked.clear()
        (tmp_path / "tuf" / "prod" / "1.root.json").unlink()
        (tmp_path / "tuf" / "prod").rmdir()
        with pytest.raises(NotFoundError):
            repository.refresh(NOW, initial_roots=tmp_path / "tuf")
        assert repository.asked == ["3.root.json", "timestamp.json"]


def test_directory_that_others_may_write_to_is_not_believed(repository: HostileRepository) -> None:
    assert versions(repository) == (2, 5, 5, 5)
    repository.kept.chmod(0o770)
    assert refusal(repository) == "update-metadata-mode"
    repository.kept.chmod(0o750)
    assert versions(repository) == (2, 5, 5, 5)


def test_runs_at_once_take_turns_and_none_puts_anything_back(repository: HostileRepository) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = [one.result() for one in [threads.submit(versions, repository) for _ in range(8)]]
    assert done == [(2, 5, 5, 5)] * 8
    assert repository.asked.count("targets.json") == 1
    assert not list(repository.kept.glob(".*"))


def test_damaged_root_on_disk_is_named_and_damaged_documents_are_fetched_again(repository: HostileRepository) -> None:
    assert versions(repository) == (2, 5, 5, 5)
    (repository.kept / "targets.json").write_bytes(b"{}")
    assert versions(repository) == (2, 5, 5, 5)
    (repository.kept / "root.json").write_bytes(FIRST[:-2])
    assert refusal(repository) == "update-metadata-damaged"


def run(repository: HostileRepository, program: list[str], *more: str) -> "subprocess.CompletedProcess[str]":
    words = [*program, "check-update", "--dir", str(repository.place), "--initial-roots", str(repository.place), *more]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def program(repository: HostileRepository, *more: str) -> "subprocess.CompletedProcess[str]":
    return run(repository, [PROGRAM], *more)


def honest(repository: HostileRepository) -> None:
    """Serve documents that are fresh by the clock of this machine."""
    now = utc_now()
    root = signed_root(replace(OWNER.root_body(), expires=now + timedelta(days=9)), OWNER.root)
    repository.served = {"1.root.json": root.encoded()}
    online = {Role.TARGETS: OWNER.targets, Role.SNAPSHOT: OWNER.snapshot, Role.TIMESTAMP: OWNER.timestamp}
    made = ci_documents({"lmp-7": ENTRY}, online, version=5, now=now)
    repository.serve(made.timestamp, made.snapshot, made.targets)


def test_program_says_what_is_offered_and_refuses_by_rule(repository: HostileRepository) -> None:
    honest(repository)
    done = program(repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Update available: lmp-7 (version 7) for rpi4, tag main.\nWhat runs now is not known")
    assert "believed root 1 of its gateway, this once" in done.stdout
    assert "Up to date: lmp-7 is" in program(repository, "--installed", "lmp-7").stdout
    report = json.loads(program(repository, "--installed", "lmp-6", "--json").stdout)
    assert (report["status"], report["trust"], report["targets"]["version"]) == ("update-available", "kept", 5)
    assert report["target"] == {"name": "lmp-7", **ENTRY, "version": 7}

    repository.served["timestamp.json"] = tampered(repository.served["timestamp.json"])
    done = program(repository)
    assert (done.returncode, "tuf-signatures-missing" in done.stderr, done.stdout) == (4, True, "")


def test_program_warns_of_a_clock_that_is_behind(repository: HostileRepository) -> None:
    honest(repository)
    assert program(repository).returncode == 0
    ahead = utc_now() + timedelta(days=2)
    (repository.kept / "fresh-at").write_text(f"{ahead:%Y-%m-%dT%H:%M:%SZ}")
    assert "clock of this device is behind" in program(repository).stderr


_WRITE = "ownroot.device.accepted_metadata:replace_file"
# Root, timestamp, snapshot, targets, and when they were fresh; before, after, and half done.
_CUTS = [(_WRITE, when, which) for which in range(1, 6) for when in ("before", "after")]
_CUTS += [("ownroot.keystore.durable:os.fsync", "before", which) for which in (1, 3, 5, 7, 9)]


@pytest.mark.parametrize(("function", "when", "which"), _CUTS)
def test_power_cut_at_any_write_leaves_a_device_that_goes_on(
    repository: HostileRepository, function: str, when: str, which: int
) -> None:
    honest(repository)
    cut = [sys.executable, "-m", "tests.support.cut_program", "ownroot-device", function, when, str(which)]
    done = run(repository, cut)
    assert done.returncode == -signal.SIGKILL, done.stderr

    done = program(repository, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["targets"]["version"] == 5
    assert not list(repository.kept.glob(".*"))
