"""Registration at a site under the worst of circumstances: rivals for one uuid, and a server killed where it stands.

Source: architecture.md §8, P2, P3, P7.
"""

import http.client
import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.pki.encoding import parse_certificate
from ownroot.registration.journal import opened_journal
from tests.integration.registration_site.test_sign import request
from tests.support.device_csrs import device_csr
from tests.support.registration_site import RegistrationSite, registration_site

RIVALS = 100
BOARDS = 400
CLIENTS = 8
KILLS = 4


@pytest.fixture
def own_site(pki: Path, tmp_path: Path) -> Iterator[RegistrationSite]:
    with registration_site(tmp_path, "--requests-per-minute", "0", pki=pki) as site:
        yield site


def compete(site: RegistrationSite, documents: list[dict[str, object]]) -> list[tuple[int, bytes]]:
    """Send all at the same moment; returns statuses and bodies."""
    start = threading.Barrier(len(documents))

    def send(document: dict[str, object]) -> tuple[int, bytes]:
        start.wait()
        answer = site.sign(document)
        return answer.status, answer.body

    with ThreadPoolExecutor(len(documents)) as pool:
        return list(pool.map(send, documents))


def test_a_hundred_rivals_for_one_uuid_leave_one_winner(own_site: RegistrationSite) -> None:
    statuses = Counter(status for status, _ in compete(own_site, [request("dev-1") for _ in range(RIVALS)]))
    assert statuses == {201: 1, 409: RIVALS - 1}
    assert own_site.metric("ownroot_registration_certificates_total") == 1


def test_a_hundred_rivals_for_one_name_leave_one_winner(own_site: RegistrationSite) -> None:
    documents = [request(f"dev-{number}", name="pump") for number in range(RIVALS)]
    assert Counter(status for status, _ in compete(own_site, documents)) == {201: 1, 409: RIVALS - 1}


def test_a_hundred_repeats_of_one_request_get_one_certificate(own_site: RegistrationSite) -> None:
    document = request("dev-1")
    answers = compete(own_site, [document] * RIVALS)
    assert {status for status, _ in answers} == {201}
    assert len({json.loads(body)["client.pem"] for _, body in answers}) == 1


def test_quota_holds_against_a_crowd(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--quota", "10", pki=pki) as site:
        answers = compete(site, [request(f"dev-{number}") for number in range(40)])
        assert Counter(status for status, _ in answers) == {201: 10, 403: 30}


def test_clients_share_commits(own_site: RegistrationSite) -> None:
    documents = [request(f"dev-{number}") for number in range(320)]
    before = own_site.metric("ownroot_registration_commits_total")
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda document: own_site.sign(document).status, documents))
    assert statuses == [201] * len(documents)
    # Threads of one Python are slow clients: the bar of a quarter is the benchmark's, this only shows that they share.
    assert own_site.metric("ownroot_registration_commits_total") - before < 1.0 * len(documents)


# --- kill -9 ---------------------------------------------------------------------------------------------------------


class Line:
    """Boards that register while somebody pulls the plug; each keeps its key and asks until it is answered."""

    def __init__(self, site: RegistrationSite) -> None:
        self._site = site
        self._boards = iter([(f"board-{number}", request(f"board-{number}")) for number in range(BOARDS)])
        self._lock = threading.Lock()
        self.answered: dict[str, str] = {}

    def run(self) -> None:
        """Let every board register; returns when each has its certificate."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            for future in [pool.submit(self._work) for _ in range(CLIENTS)]:
                future.result()

    def _work(self) -> None:
        while (board := self._next()) is not None:
            uuid, document = board
            certificate = self._register(document)
            with self._lock:
                self.answered[uuid] = certificate

    def _next(self) -> tuple[str, dict[str, object]] | None:
        with self._lock:
            return next(self._boards, None)

    def _register(self, document: dict[str, object]) -> str:
        while True:
            try:
                answer = self._site.sign(document)
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                time.sleep(0.02)
                continue
            return answer.files["client.pem"]


def test_power_cuts_leave_no_orphan_and_no_double(own_site: RegistrationSite) -> None:
    line = Line(own_site)
    working = threading.Thread(target=line.run)
    working.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.15, 0.5))
        own_site.kill()
        own_site.start()
    working.join(60)
    assert not working.is_alive()
    assert len(line.answered) == BOARDS
    own_site.stop()
    journal = sqlite3.connect(own_site.data / "journal.db")
    kept = dict(journal.execute("SELECT d.uuid, c.der FROM devices d JOIN certificates c ON c.serial = d.serial"))
    answered = {uuid: parse_certificate(text) for uuid, text in line.answered.items()}
    assert {uuid: certificate.public_bytes(Encoding.DER) for uuid, certificate in answered.items()} == kept
    (issued, opened) = journal.execute(
        "SELECT sum(der IS NOT NULL), sum(der IS NULL AND voided_at IS NULL) FROM certificates"
    ).fetchone()
    assert (issued, opened) == (BOARDS, 0)
    assert journal.execute("SELECT issued FROM counts").fetchone() == (BOARDS,)
    journal.close()


def test_intent_of_a_killed_server_is_taken_back_and_frees_uuid_name_and_quota(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--quota", "1", pki=pki, start=False) as site:
        leave_an_open_intent(site.data, "dev-1")
        site.start()
        assert [entry["uuid"] for entry in site.entries("voided")] == ["dev-1"]
        assert site.sign({"csr": device_csr("dev-1"), "hardware-id": "h"}).status == 201


def leave_an_open_intent(data: Path, uuid: str) -> None:
    """Write what `reserve` has committed when the power goes."""
    with opened_journal(data) as journal:
        journal.write(lambda connection: _reserve(connection, uuid))


def _reserve(connection: sqlite3.Connection, uuid: str) -> None:
    at = "2026-11-26T08:00:00Z"
    connection.execute(
        "INSERT INTO devices (uuid, uuid_folded, name, spki_sha256, hardware_id, operator, registered_at)"
        " VALUES (?1, ?1, ?1, x'01', 'h', '', ?2)",
        (uuid, at),
    )
    connection.execute(
        "INSERT INTO certificates (serial, uuid, spki_sha256, issuer_sha256, request_sha256, operator, intended_at,"
        " not_after) VALUES ('1', ?1, x'01', x'02', x'03', '', ?2, ?2)",
        (uuid, at),
    )
    connection.execute("UPDATE counts SET day = '2026-11-26', issued_today = 1, issued = 1")
