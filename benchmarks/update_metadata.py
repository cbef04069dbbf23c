"""TUF metadata: a device with a large targets file, and what renewing a whole installation costs the server."""

import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import process_time

from benchmarks.processes import SERVER_CORE, on_core
from benchmarks.report import Section, markdown_table, verdict
from ownroot.bootstrap.installation import renew_tuf_documents
from ownroot.keystore.sealing import Sealer
from ownroot.pki.names import FactoryName
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import SealedKeyPurpose
from ownroot.services.tuf_keys import online_signers
from ownroot.services.tuf_publishing import ensure_repository, publish_ci
from ownroot.storage import migrate_database, open_database
from ownroot.tuf.canonical import Json
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.keys import KeyType, generate_signer
from ownroot.tuf.metadata import ONLINE_ROLES
from ownroot.tuf.repository import TagDocuments, ci_documents, first_roots

FACTORIES, TAGS = 1_000, ("main", "devel", "test", "stable")
RENEWAL_BAR_SECONDS = 10.0
TARGETS_OCTETS = 1_000_000
VERIFY_BAR_MS = 50.0
ROUNDS = 15
_NOW = datetime(2026, 1, 1, tzinfo=UTC)

METHOD = f"""\
CPU time of one process on one core. A device's refresh: from a root and nothing else, root 2, timestamp, snapshot and a
targets file of {TARGETS_OCTETS:,} bytes, with every rule; and again the next time, when everything is read back from
disk first; median of {ROUNDS}. Renewal: {FACTORIES:,} factories with {len(TAGS)} tags each have run down; the job of
the API process signs timestamp, snapshot and targets of every tag anew, keys unsealed, committed in SQLite."""


def measure() -> Section:
    """Measure both on the server's core."""
    with on_core(SERVER_CORE):
        first, again, octets = _verify()
        renewal = _renew()
    rows = (
        (f"device, {octets:,} bytes of targets, first time", f"{first:.1f} ms", f"{VERIFY_BAR_MS:.0f} ms"),
        ("the same, next time", f"{again:.1f} ms", f"{VERIFY_BAR_MS:.0f} ms"),
        (f"server, {FACTORIES * len(TAGS):,} tags signed anew", f"{renewal:.1f} s", f"{RENEWAL_BAR_SECONDS:.0f} s"),
    )
    slowest = max(first, again)
    return Section(
        "TUF metadata",
        METHOD,
        markdown_table(("work", "CPU time", "bar"), rows),
        verdict("device verifies", f"{slowest:.1f} ms", f"{VERIFY_BAR_MS:.0f} ms", met=slowest <= VERIFY_BAR_MS)
        + "\n"
        + verdict("renewal", f"{renewal:.1f} s", f"{RENEWAL_BAR_SECONDS:.0f} s", met=renewal <= RENEWAL_BAR_SECONDS),
    )


def _verify() -> tuple[float, float, int]:
    root = generate_signer(KeyType.ED25519)
    online = {role: generate_signer(KeyType.ED25519) for role in ONLINE_ROLES}
    one, two = (document.encoded() for document in first_roots(root, online, now=_NOW))
    entry_octets = len(ci_documents(_targets(100), online, version=1, now=_NOW).targets) // 100
    made = ci_documents(_targets(TARGETS_OCTETS // entry_octets + 1), online, version=1, now=_NOW)

    def fresh() -> None:
        trust = DeviceTrust(one)
        trust.update_root(two)
        _walk(trust, made)

    def again() -> None:
        trust = DeviceTrust(two)
        trust.resume(made.timestamp, made.snapshot, made.targets)
        _walk(trust, made)

    times: dict[str, list[float]] = {"fresh": [], "again": []}
    for _ in range(ROUNDS):
        for name, work in (("fresh", fresh), ("again", again)):
            begun = process_time()
            work()
            times[name].append((process_time() - begun) * 1000)
    return statistics.median(times["fresh"]), statistics.median(times["again"]), len(made.targets)


def _walk(trust: DeviceTrust, made: TagDocuments) -> None:
    trust.update_timestamp(made.timestamp, now=_NOW)
    trust.update_snapshot(made.snapshot, now=_NOW)
    trust.update_targets(made.targets, now=_NOW)


def _targets(count: int) -> dict[str, Json]:
    """Entries as build systems of the field make them."""
    apps = ("shellhttpd", "mosquitto", "grafana")
    return {
        f"raspberrypi4-64-lmp-{number}": {
            "length": 0,
            "hashes": {"sha256": f"{number:064x}"},
            "custom": {
                "name": "raspberrypi4-64-lmp",
                "version": str(number),
                "hardwareIds": ["raspberrypi4-64"],
                "tags": ["main"],
                "targetFormat": "OSTREE",
                "createdAt": "2026-01-01T00:00:00Z",
                "docker_compose_apps": {
                    app: {"uri": f"hub.example.com/acme/{app}@sha256:{number:064x}"} for app in apps
                },
            },
        }
        for number in range(count)
    }


def _renew() -> float:
    keyring = Keyring({SealedKeyPurpose.TUF: Sealer(bytes(32))})
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name:
        url = f"sqlite:///{Path(name) / 'ownroot.db'}"
        migrate_database(url)
        database = open_database(url)
        try:
            _make_factories(database, keyring)
            begun = process_time()
            renewed = renew_tuf_documents(database, keyring, clock=lambda: _NOW + timedelta(days=250))
            used = process_time() - begun
        finally:
            database.close()
    if renewed != FACTORIES * len(TAGS):
        raise RuntimeError(f"{renewed} tags were renewed, not {FACTORIES * len(TAGS)}")
    return used


def _make_factories(database: Database, keyring: Keyring) -> None:
    for done in [database.write(partial(_make_factory, number, keyring)) for number in range(FACTORIES)]:
        done.result()


def _make_factory(number: int, keyring: Keyring, uow: UnitOfWork) -> None:
    name = FactoryName(f"factory-{number}")
    factory = uow.factories.add(name, gateway_name=f"{name}.bench.test", is_default=False, now=_NOW)
    ensure_repository(uow, factory, keyring, now=_NOW)
    online = online_signers(uow, factory.id, keyring)
    for tag in TAGS:
        publish_ci(uow, factory.id, online, now=_NOW, new_tag=tag)
