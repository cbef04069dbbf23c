"""Announcements: sooner or later, at least once, in order, and never at a device's expense.

Source: registration.md §9, §12 rows 6 and 7.
"""

import re
import socket
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ownroot.clock import utc_now
from ownroot.pki.encoding import parse_certificate
from ownroot.registration.times import parse_time
from tests.integration.registration_site.test_sign import request
from tests.support.announcement_receivers import receiver
from tests.support.registration_site import RegistrationSite, registration_site
from tests.support.repository import ROOT
from tests.support.world import PROGRAM

SECRET = "0123456789abcdef0123456789abcdef"


def secret_file(folder: Path, text: str = SECRET) -> str:
    path = folder / "secret"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def to_api(folder: Path, url: str) -> tuple[str, ...]:
    return ("--api-url", f"{url}/ota/devices/", "--api-token-file", secret_file(folder))


def to_webhook(folder: Path, url: str) -> tuple[str, ...]:
    return ("--webhook-url", f"{url}/new-device", "--webhook-secret-file", secret_file(folder))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def queue(site: RegistrationSite, *options: str) -> Any:
    return site.operate("queue", *options)


def words(site: RegistrationSite, *options: str) -> str:
    """What a person reads of the queue."""
    command = [PROGRAM, "registration", "queue", "--data", str(site.data), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def await_target(site: RegistrationSite, **expected: object) -> Any:
    deadline = time.monotonic() + 15
    while True:
        targets = queue(site)["targets"]
        if targets and all(targets[0][name] == value for name, value in expected.items()):
            return targets[0]
        assert time.monotonic() < deadline, targets
        time.sleep(0.05)


def test_backend_is_told_with_certificate_name_and_group(pki: Path, tmp_path: Path) -> None:
    with (
        receiver() as backend,
        registration_site(tmp_path, *to_api(tmp_path, backend.url), "--group", "edge", pki=pki) as site,
    ):
        files = site.sign(request("board-1", name="pump")).files
        (told,) = backend.await_(1)
        assert (told.method, told.path, told.headers["osf-token"]) == ("PUT", "/ota/devices/", SECRET)
        assert told.document == {"client.pem": files["client.pem"], "name": "pump", "group": "edge"}
        await_target(site, waiting=0, done=1)


def test_device_without_name_and_group_is_told_without_them(pki: Path, tmp_path: Path) -> None:
    with receiver() as backend, registration_site(tmp_path, *to_api(tmp_path, backend.url), pki=pki) as site:
        site.sign(request("board-1"))
        (told,) = backend.await_(1)
        assert sorted(told.document) == ["client.pem"]


def test_unreachable_backend_costs_no_registration_and_hears_of_all_in_order(pki: Path, tmp_path: Path) -> None:
    port = free_port()
    with registration_site(tmp_path, *to_api(tmp_path, f"http://127.0.0.1:{port}"), pki=pki) as site:
        uuids = [f"board-{number}" for number in range(5)]
        assert [site.sign(request(uuid)).status for uuid in uuids] == [201] * 5
        target = await_target(site, waiting=5, done=0)
        assert "Nobody can be reached" in target["fault"] or target["attempts"] == 0
        with receiver(port=port) as backend:
            site.operate("retry")
            told = backend.await_(5)
            names = [parse_certificate(each.document["client.pem"]).subject.rfc4514_string() for each in told]
            assert [re.findall(r"CN=([\w-]+)", name)[0] for name in names] == uuids
            await_target(site, waiting=0, done=5)


def test_what_waits_survives_a_power_cut(pki: Path, tmp_path: Path) -> None:
    port = free_port()
    with registration_site(tmp_path, *to_api(tmp_path, f"http://127.0.0.1:{port}"), pki=pki) as site:
        site.sign(request("board-1"))
        site.kill()
        with receiver(port=port) as backend:
            site.start()
            site.operate("retry")
            assert len(backend.await_(1)) == 1


def test_conflict_is_a_dead_letter_that_lets_the_next_one_pass(pki: Path, tmp_path: Path) -> None:
    statuses = iter([409, 201])
    with (
        receiver(lambda _: next(statuses)) as backend,
        registration_site(tmp_path, *to_api(tmp_path, backend.url), pki=pki) as site,
    ):
        site.sign(request("board-1"))
        site.sign(request("board-2"))
        backend.await_(2)
        await_target(site, dead=1, done=1)
        (dead,) = queue(site, "--dead")["announcements"]
        assert (dead["uuid"], dead["state"]) == ("board-1", "dead")
        assert dead["fault"].startswith("HTTP 409")
        assert "Nothing" not in words(site, "--dead")
        site.operate("drop", str(dead["id"]))
        assert queue(site)["announcements"] == []
        assert [entry["uuid"] for entry in site.entries("announcement-dropped")] == ["board-1"]


def test_queue_of_the_dead_speaks_of_the_dead_alone(pki: Path, tmp_path: Path) -> None:
    port = free_port()
    with registration_site(tmp_path, *to_api(tmp_path, f"http://127.0.0.1:{port}"), pki=pki) as site:
        assert "Nothing waits and nothing is dead." in words(site)
        site.sign(request("board-1"))
        await_target(site, waiting=1)
        assert "board-1" in words(site)
        said = words(site, "--dead")
        assert "Nothing is dead." in said
        assert "Nothing waits" not in said


def test_refused_token_raises_an_alarm_and_counts_again_once_it_is_replaced(pki: Path, tmp_path: Path) -> None:
    with (
        receiver(lambda received: 201 if received.headers["osf-token"] == "good" else 401) as backend,
        registration_site(tmp_path, *to_api(tmp_path, backend.url), pki=pki) as site,
    ):
        assert site.sign(request("board-1")).status == 201
        target = await_target(site, **{"is-alarm": True, "waiting": 1})
        assert target["fault"].startswith("HTTP 401")
        (waiting,) = queue(site)["announcements"]
        assert utc_now() - parse_time(waiting["made-at"]) < timedelta(hours=1)
        assert parse_time(target["resumes-at"]) > parse_time(waiting["made-at"])
        assert site.metric("ownroot_registration_target_alarm") == 1
        secret_file(tmp_path, "good")
        site.operate("retry")
        await_target(site, **{"is-alarm": False, "done": 1, "resumes-at": None})


def test_one_that_the_backend_cannot_read_steps_aside(pki: Path, tmp_path: Path) -> None:
    with (
        receiver(lambda received: 400 if b'"name":"bad"' in received.body else 201) as backend,
        registration_site(tmp_path, *to_api(tmp_path, backend.url), pki=pki) as site,
    ):
        site.sign(request("board-1", name="bad"))
        site.sign(request("board-2", name="good"))
        backend.await_(2)
        await_target(site, waiting=1, done=1)


def test_dead_backend_answers_503_and_all_wait_behind_the_first(pki: Path, tmp_path: Path) -> None:
    with (
        receiver(lambda _: 503) as backend,
        registration_site(tmp_path, *to_api(tmp_path, backend.url), pki=pki) as site,
    ):
        for number in range(3):
            site.sign(request(f"board-{number}"))
        tries = backend.await_(2)
        assert len({each.body for each in tries}) == 1
        assert tries[1].at - tries[0].at >= 0.9


# --- webhook ---------------------------------------------------------------------------------------------------------


def documented_verifier() -> Any:
    """The sample of the documentation, as a receiver would copy it."""
    page = (ROOT / "docs" / "registration-server.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"```python\n(import hashlib.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(sample, names)  # noqa: S102 - our own page
    return names["is_from_the_line"]


def test_webhook_is_signed_as_the_page_says(pki: Path, tmp_path: Path) -> None:
    is_from_the_line = documented_verifier()
    with receiver() as own, registration_site(tmp_path, *to_webhook(tmp_path, own.url), pki=pki) as site:
        files = site.sign(request("board-1", name="pump")).files
        (told,) = own.await_(1)
    stamp, signature = told.headers["ownroot-timestamp"], told.headers["ownroot-signature"]
    assert is_from_the_line(SECRET, stamp, signature, told.body, told.at)
    assert not is_from_the_line(SECRET, stamp, signature, told.body + b" ", told.at)
    assert not is_from_the_line(SECRET, str(int(stamp) + 1), signature, told.body, told.at)
    assert not is_from_the_line("another secret", stamp, signature, told.body, told.at)
    assert not is_from_the_line(SECRET, stamp, signature, told.body, told.at + 3600)
    document, certificate = told.document, parse_certificate(files["client.pem"])
    assert told.headers["ownroot-event"] == document["id"] == f"registered-{certificate.serial_number}"
    assert (document["type"], document["factory"]) == ("device.registered", "acme")
    assert (document["device"]["uuid"], document["device"]["name"]) == ("board-1", "pump")
    assert document["certificate"]["pem"] == files["client.pem"]


def test_webhook_can_be_replayed_under_the_same_event_id(pki: Path, tmp_path: Path) -> None:
    with receiver() as own, registration_site(tmp_path, *to_webhook(tmp_path, own.url), pki=pki) as site:
        site.sign(request("board-1"))
        own.await_(1)
        await_target(site, done=1)
        assert site.operate("replay", "webhook") == {"queued": 1}
        first, again = own.await_(2)
        assert first.document == again.document
        with pytest.raises(AssertionError, match="no-such-target"):
            site.operate("replay", "webhok")
        assert {target["name"] for target in site.operate("queue")["targets"]} == {"webhook"}


@pytest.mark.parametrize(("text", "code"), [("short", "webhook-secret-short"), ("", "secret-unreadable")])
def test_server_does_not_start_with_a_secret_that_is_none(pki: Path, tmp_path: Path, text: str, code: str) -> None:
    with registration_site(tmp_path, pki=pki, start=False) as site:
        options = ("--webhook-url", "http://127.0.0.1:9/", "--webhook-secret-file", secret_file(tmp_path, text))
        assert code in site.refuse_to_start(*options)


def test_server_does_not_start_with_a_secret_others_can_read(pki: Path, tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    Path(path).chmod(0o644)
    with registration_site(tmp_path, pki=pki, start=False) as site:
        refused = site.refuse_to_start("--webhook-url", "http://127.0.0.1:9/", "--webhook-secret-file", path)
        assert "secret-exposed" in refused


def test_log_has_no_line_for_each_announcement_that_was_taken(pki: Path, tmp_path: Path) -> None:
    with receiver() as own, registration_site(tmp_path, *to_webhook(tmp_path, own.url), pki=pki) as site:
        site.sign(request("board-1"))
        await_target(site, done=1)
        assert "HTTP Request" not in site.log


def test_token_does_not_travel_in_clear(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki, start=False) as site:
        assert "token-in-clear" in site.refuse_to_start(*to_api(tmp_path, "http://192.0.2.1"))
