"""`ownroot trust watch` as a process beside a real server: what it writes, when it reloads, what it survives."""

import json
import shlex
import signal
import sys
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.cli.trust_files import BUNDLE
from ownroot.clock import utc_now
from ownroot.pki.serials import serial_text
from tests.support.certificates import device_ca, factory_root
from tests.support.owner import Owner, Ran
from tests.support.relay import Fault, Instead, Relay
from tests.support.trust_watcher import serials_in, watching


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """What the reload command was run with, a line each time."""
    return tmp_path / "reloads.txt"


def reload_by(journal: Path, *, failures: int = 0) -> tuple[str, str]:
    """Return the option of a command that fails so often and then works."""
    code = (
        "import os, pathlib, sys; j = pathlib.Path(sys.argv[1]); j.open('a').write(os.environ.get('OWNROOT_TOKEN', '-')"
        f" + chr(10)); sys.exit(3 * (len(j.read_text().split()) <= {failures}))"
    )
    return "--reload", shlex.join([sys.executable, "-c", code, str(journal)])


def runs(journal: Path) -> int:
    return len(journal.read_text().split()) if journal.exists() else 0


def once(owner: Owner, pki: Path, place: Path, *options: str | Path, root: Path | None = None) -> Ran:
    pinned = root or pki / "factory_ca.pem"
    return owner.run("trust", "watch", "--once", "--json", "--root", pinned, *options, place)


def change(owner: Owner, what: str, pki: Path, serial: str) -> None:
    done = owner.run("keys", "ca", what, pki, "--ca-serial", serial, "--yes")
    assert done.code == 0, done.err


def local_serial(pki: Path) -> str:
    return serial_text(x509.load_pem_x509_certificate((pki / "local-ca.pem").read_bytes()).serial_number)


# --- changes ----------------------------------------------------------------------------------------------------


def test_added_ca_is_written_and_reloaded_and_nothing_happens_without_a_change(
    taken: Owner, pki: Path, place: Path, journal: Path
) -> None:
    with watching(taken, pki, place, *reload_by(journal)) as watched:
        assert watched.await_event("reloaded")["exit-code"] == 0
        before, file = serials_in(place), (place / BUNDLE).stat().st_ino
        assert watched.said_more(0.5) == []
        assert (place / BUNDLE).stat().st_ino == file
        assert (
            taken.run("keys", "ca", "add-device-ca", pki, "--local-ca", "--local-ca-filename", "site-2.pem").code == 0
        )
        written = watched.await_event("written")
        watched.await_event("reloaded")
    assert written["files"] == [str(place / BUNDLE)]
    assert set(before) < set(serials_in(place)) == {ca["serial"] for ca in written["device-cas"]}
    assert runs(journal) == 2


def test_revoked_ca_goes_and_a_disabled_one_stays(taken: Owner, pki: Path, place: Path) -> None:
    serial = local_serial(pki)
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        change(taken, "disable-device-ca", pki, serial)
        assert {"serial": serial, "disabled": True} in watched.await_event("written")["device-cas"]
        assert serial in serials_in(place)
        change(taken, "revoke-device-ca", pki, serial)
        watched.await_event("written")
    assert serial not in serials_in(place)


def test_people_get_one_line_a_change(taken: Owner, pki: Path, place: Path, journal: Path) -> None:
    words = ("trust", "watch", "--once", "--root", pki / "factory_ca.pem", *reload_by(journal), place)
    first, second = taken.run(*words), taken.run(*words)
    assert first.out.splitlines() == [
        f"Wrote {place / BUNDLE} (device CAs: 2 enabled, 0 disabled)",
        "Reloaded (exit code 0)",
    ]
    assert (second.code, second.out) == (0, "")


# --- what may not replace files ---------------------------------------------------------------------------------


def test_files_outlive_an_outage_and_the_news_of_it_comes_after(
    taken: Owner, pki: Path, place: Path, relay: Relay
) -> None:
    serial = local_serial(pki)
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        before = (place / BUNDLE).read_bytes()
        relay.spoil = lambda _request: Fault.LOST_ON_THE_WAY
        assert watched.await_event("poll-failed")["code"] == "connection-lost"
        assert (place / BUNDLE).read_bytes() == before
        relay.spoil = lambda _request: None
        watched.await_event("poll-worked")
        change(taken, "revoke-device-ca", pki, serial)
        watched.await_event("written")
    assert serial not in serials_in(place)


def test_longer_outage_is_asked_less_often(taken: Owner, pki: Path, place: Path, relay: Relay) -> None:
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        relay.spoil = lambda _request: Fault.LOST_ON_THE_WAY
        watched.await_event("poll-failed")
        asked = len(relay.requests)
        watched.said_more(3.0)
        assert 2 <= len(relay.requests) - asked <= 6  # after 0.2, 0.4, 0.8, 1.6 s; not every 0.1 s


def test_server_away_at_the_start_is_waited_for(taken: Owner, pki: Path, place: Path, relay: Relay) -> None:
    relay.spoil = lambda _request: Fault.LOST_ON_THE_WAY
    with watching(taken, pki, place) as watched:
        watched.await_event("poll-failed")
        relay.spoil = lambda _request: None
        watched.await_event("written")
    assert len(serials_in(place)) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("empty", "no-device-cas"),
        ("no PEM", "pem-missing"),
        ("half", "pem-malformed"),
        ("foreign", "device-ca-not-of-root"),
    ],
)
def test_answer_that_does_not_verify_replaces_nothing(
    taken: Owner, pki: Path, place: Path, relay: Relay, answer: str, code: str
) -> None:
    root, local = ((pki / name).read_text() for name in ("factory_ca.pem", "local-ca.pem"))
    stranger = device_ca(factory_root("acme", now=utc_now()), factory="acme", now=utc_now()).pem
    bundles = {"empty": "", "no PEM": "nothing", "half": local + local[: len(local) // 2], "foreign": local + stranger}
    body = {"root-crt": root, "ca-crt": bundles[answer], "tls-crt": None}
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        before = (place / BUNDLE).read_bytes()
        relay.spoil = lambda _request: Instead(200, json.dumps(body).encode())
        assert watched.await_event("poll-failed")["code"] == code
        assert watched.said_more(0.5) == []
        assert (place / BUNDLE).read_bytes() == before
        relay.spoil = lambda _request: Instead(200, json.dumps(body | {"ca-crt": local}).encode())
        watched.await_event("written")
    assert serials_in(place) == [local_serial(pki)]


def test_what_has_never_worked_ends_it(taken: Owner, pki: Path, place: Path, taken_elsewhere: Path) -> None:
    with watching(taken, taken_elsewhere, place) as watched:
        assert watched.process.wait(30) == 4
    assert list(place.iterdir()) == []


# --- the reload command -----------------------------------------------------------------------------------------


def test_failed_reload_is_run_again_until_it_works(taken: Owner, pki: Path, place: Path, journal: Path) -> None:
    with watching(taken, pki, place, *reload_by(journal, failures=1)) as watched:
        failed = watched.await_event("reload-failed")
        assert (failed["exit-code"], failed["retry-seconds"]) == (3, 1.0)
        watched.await_event("reloaded")
        assert watched.said_more(0.3) == []
    assert runs(journal) == 2


def test_reload_command_has_no_shell_and_no_token(taken: Owner, pki: Path, place: Path, journal: Path) -> None:
    option, command = reload_by(journal)
    assert once(taken, pki, place, option, f"{command} ; touch {journal}.shell").code == 0
    assert journal.read_text() == "-\n"
    assert not Path(f"{journal}.shell").exists()


@pytest.mark.parametrize("command", ["", "no-such-program --now", "echo 'half"])
def test_command_that_cannot_be_run_is_refused_before_anything_is_asked(
    taken: Owner, pki: Path, place: Path, relay: Relay, command: str
) -> None:
    assert once(taken, pki, place, "--reload", command).error["code"] == "reload-command"
    assert relay.requests == []


# --- ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(taken: Owner, pki: Path, place: Path, number: signal.Signals) -> None:
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        assert watched.end(number) == (0, "")
    assert [path.name for path in place.iterdir()] == [BUNDLE]


def test_signal_ends_it_while_the_server_says_nothing(taken: Owner, pki: Path, place: Path, relay: Relay) -> None:
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        asked = len(relay.requests)
        relay.spoil = lambda _request: Fault.SILENCE
        while len(relay.requests) < asked + 2:
            watched.said_more(0.1)
        assert watched.end() == (0, "")


@pytest.mark.parametrize(
    ("function", "which"),
    [
        ("ownroot.cli.trust_directory:replace_file", 1),
        ("ownroot.cli.trust_directory:replace_file", 2),
        ("ownroot.cli.trust_directory:replace_file", 3),
        ("ownroot.keystore.durable:os.fchmod", 2),
        ("ownroot.cli.trust_watch:TrustDirectory.note_reload", 1),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_run_leaves_whole_files_and_the_next_one_finishes_its_work(
    taken: Owner, pki: Path, place: Path, journal: Path, function: str, which: int, when: str
) -> None:
    haproxy = ("--format", "haproxy", *reload_by(journal))
    assert once(taken, pki, place, *haproxy).code == 0
    old = {path.name: path.read_bytes() for path in place.iterdir()}
    (place / "ownroot-device-trust.cfg").write_text("of an older version\n")
    old["ownroot-device-trust.cfg"] = b"of an older version\n"
    change(taken, "revoke-device-ca", pki, local_serial(pki))
    words = ("trust", "watch", "--once", "--root", pki / "factory_ca.pem", *haproxy, place)
    taken.run_cut(function, when, which, *words)
    left = {path.name: path.read_bytes() for path in place.iterdir() if not path.name.startswith(".")}
    told = runs(journal)
    assert once(taken, pki, place, *haproxy).code == 0
    new = {path.name: path.read_bytes() for path in place.iterdir()}
    assert all(content in (old[name], new[name]) for name, content in left.items())
    assert new.keys() == old.keys()
    assert local_serial(pki) not in serials_in(place)
    assert runs(journal) == (told if (function.endswith("note_reload") and when == "after") else told + 1)


def test_second_watch_of_a_directory_is_refused(taken: Owner, pki: Path, place: Path) -> None:
    with watching(taken, pki, place) as watched:
        watched.await_event("written")
        second = once(taken, pki, place)
    assert (second.code, second.error["code"]) == (7, "trust-directory-busy")


# --- once -------------------------------------------------------------------------------------------------------


def test_once_says_how_it_went(
    taken: Owner, pki: Path, place: Path, journal: Path, relay: Relay, taken_elsewhere: Path
) -> None:
    other = taken_elsewhere / "factory_ca.pem"
    assert once(taken, pki, place, root=other).code == 4
    assert once(taken, pki, place).code == 0
    relay.spoil = lambda _request: Fault.LOST_ON_THE_WAY
    assert once(taken, pki, place).code == 9
    relay.spoil = lambda _request: Instead(401, b'{"code": "token-unknown", "message": "No such token."}')
    assert once(taken, pki, place).code == 5
    assert taken.run("trust", "watch", "--once", place, "--json").error["code"] == "root-not-pinned"


def test_once_tries_a_failed_reload_again_the_next_time(taken: Owner, pki: Path, place: Path, journal: Path) -> None:
    failing = reload_by(journal, failures=1)
    first = once(taken, pki, place, *failing)
    assert (first.code, first.error["code"]) == (9, "trust-reload-failed")
    assert [once(taken, pki, place, *failing).code for _ in range(2)] == [0, 0]
    assert runs(journal) == 2


def test_unwritable_directory_is_named(taken: Owner, pki: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert once(taken, pki, tmp_path / "file" / "below").error["code"] == "trust-directory-unwritable"
