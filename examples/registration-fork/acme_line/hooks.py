"""ACME's line: boards that passed the test bench get a certificate, and our own backend hears of each."""

import json
import os
import sqlite3
import urllib.request
from contextlib import closing

from ownroot.registration.hooks import Applicant, DeviceRegistered, Enrich, Refuse, Verdict


def before_signing(applicant: Applicant) -> Verdict:
    """Ask the test bench. If it cannot be asked this raises, and nothing is signed."""
    with closing(sqlite3.connect(f"file:{os.environ['ACME_BENCH_DB']}?mode=ro", uri=True)) as bench:
        row = bench.execute("SELECT passed, product FROM boards WHERE uuid = ?", (applicant.uuid,)).fetchone()
    if row is None:
        return Refuse(f"Board {applicant.uuid} was never on the test bench.")
    passed, product = row
    if not passed:
        return Refuse(f"Board {applicant.uuid} failed its test; send it to rework.")
    return Enrich(group=product, tags=("stable", product))


def after_signing(registered: DeviceRegistered) -> None:
    """Tell our backend. Whatever this raises, we are called again; `event_id` lets the backend know a repeat."""
    body = {
        "board": registered.uuid,
        "group": registered.group,
        "certificate": registered.certificate_pem,
        "line": registered.operator,
    }
    request = urllib.request.Request(  # noqa: S310 - the address is ours
        os.environ["ACME_BACKEND_URL"],
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": registered.event_id},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass
