"""The section about the registration server of a site: certificates over HTTP with a local device CA.

python -m benchmarks.registration_site [--rounds 5] [--seconds 2]
"""

import argparse
import http.client
import http.server
import itertools
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_load import run_load
from benchmarks.issue_certificates import (
    AIM,
    BAR,
    LOAD_CORE,
    SERVER_CORE,
    Target,
    bare_rate,
    new_csrs,
    pin,
    registration_request,
)
from benchmarks.report import Section, markdown_table, verdict
from tests.support.registration_site import RegistrationSite, make_pki, registration_site

CLIENTS = (8, 32)
P99_BAR_MS, COMMITS_BAR = 15.0, 0.25
METHOD = """\
`ownroot serve registration` with a local CA of P-256 in a file is pinned to one core, the load to another. Every
request is a new device with a key of its own; connections are kept alive and each client waits for its answer before it
asks again. The bare loop does the same cryptography on the server's core, while the server idles. `commits` are the
journal's own count: each waits for the disk once. The rows with announcements run with a webhook and its receiver (on
the load's core). Rounds interleave; a ratio compares parts of one round; the median round is shown. At the end the
journal must know as many certificates as were answered."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one row."""

    announces: bool
    clients: int
    bare_rate: float
    rate: float
    p50_ms: float
    p99_ms: float
    commits_each: float

    @property
    def ratio(self) -> float:
        """What share of the bare loop's rate the server reached."""
        return self.rate / self.bare_rate


def measure(rounds: int = 5, seconds: float = 2.0) -> Section:
    """Measure with and without announcements."""
    results: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as text, _receiver() as url:
        folder = Path(text)
        pki = make_pki(folder / "pki", factory="bench")
        secret = folder / "secret"
        secret.write_text("s" * 64)
        secret.chmod(0o600)
        options = ("--requests-per-minute", "0", "--log-level", "warning")
        announcing = ("--webhook-url", url, "--webhook-secret-file", str(secret))
        pin(SERVER_CORE)
        with (
            registration_site(folder / "plain", *options, pki=pki) as plain,
            registration_site(folder / "announcing", *options, *announcing, pki=pki) as telling,
        ):
            pin(LOAD_CORE)
            answered = {site.url: _load(site, clients=8, seconds=0.5)[0] for site in (plain, telling)}
            for _ in range(rounds):
                bare = bare_rate(seconds)
                for clients, site in itertools.product(CLIENTS, (plain, telling)):
                    count, found = _load(site, clients=clients, seconds=seconds)
                    answered[site.url] += count
                    results.append(Round(site is telling, clients, bare, *found))
            for site in (plain, telling):
                if site.metric("ownroot_registration_certificates_total") != answered[site.url]:
                    raise RuntimeError("the journal does not know as many certificates as were answered")
    return _section(results)


def _load(site: RegistrationSite, *, clients: int, seconds: float) -> tuple[int, tuple[float, float, float, float]]:
    target = Target(("127.0.0.1", site.port), "/sign", "none")
    count = int(seconds * 4000) + clients
    requests = [registration_request(target, *csr) for csr in itertools.islice(new_csrs(), count)]
    before = site.metric("ownroot_registration_commits_total")
    load = run_load(target.address, iter(requests), clients=clients, seconds=seconds)
    if set(load.statuses) != {201}:
        raise RuntimeError(f"not every request was answered 201: {dict(load.statuses)}")
    commits = site.metric("ownroot_registration_commits_total") - before
    figures = (load.rate, load.percentile(0.5) * 1000, load.percentile(0.99) * 1000, commits / load.succeeded)
    return load.succeeded, figures


def _section(results: list[Round]) -> Section:
    rows = []
    medians = {}
    for announces, clients in itertools.product((False, True), CLIENTS):
        chosen = [r for r in results if r.announces is announces and r.clients == clients]
        middle = sorted(chosen, key=lambda found: found.ratio)[len(chosen) // 2]
        medians[announces, clients] = middle
        rows.append(
            (
                f"{clients}{', announcing' if announces else ''}",
                f"{middle.bare_rate:.0f}",
                f"{middle.rate:.0f}",
                f"{middle.ratio:.2f}",
                f"{middle.p50_ms:.1f}",
                f"{statistics.median(found.p99_ms for found in chosen):.1f}",
                f"{middle.commits_each:.2f}",
            )
        )
    worst = min(medians[False, clients].ratio for clients in CLIENTS)
    p99 = statistics.median(r.p99_ms for r in results if not r.announces and r.clients == 8)
    commits = medians[False, 32].commits_each
    figure = f"{worst:.2f}; p99 at 8 clients {p99:.1f} ms; {commits:.2f} commits a certificate at 32"
    bar = f"{BAR} (aim {AIM}); {P99_BAR_MS:.0f} ms; {COMMITS_BAR}"
    met = worst >= BAR and p99 <= P99_BAR_MS and commits <= COMMITS_BAR
    head = ("clients", "bare loop /s", "registered /s", "ratio", "p50 ms", "p99 ms", "commits each")
    return Section(
        "Registration server: devices registered at a site, durable before the answer",
        METHOD,
        markdown_table(head, rows),
        verdict("registered / bare parse, verify, sign loop", figure, bar, met=met),
    )


@contextmanager
def _receiver() -> Iterator[str]:
    """Take announcements and do nothing with them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/devices"
    finally:
        server.shutdown()


def main() -> int:
    """Measure and print the section."""
    parser = argparse.ArgumentParser(description="devices registered per second at a site / bare loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args()
    print(measure(chosen.rounds, chosen.seconds).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
