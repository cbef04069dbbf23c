"""The section about issuing certificates over HTTP; measured by `benchmarks.issue_certificates`."""

import statistics

from benchmarks import issue_certificates
from benchmarks.issue_certificates import AIM, BAR, CLIENTS
from benchmarks.report import Section, verdict

METHOD = """\
The API alone, one process, is pinned to one core, the load to another. Every request is a new device with a key of its
own; connections are kept alive and each client waits for its answer before it asks again. The bare loop does the
same cryptography on the server's core, while the server idles. Rounds interleave: bare loop, 8 clients, 32 clients.
A ratio compares parts of one round; the median round is shown. At the end every answered certificate is looked up."""


def measure() -> Section:
    """Measure with the defaults of that program."""
    results = issue_certificates.measure(5, 2.0)
    worst = min(statistics.median(r.ratio for r in results if r.clients == clients) for clients in CLIENTS)
    return Section(
        "Certificates issued over HTTP, durable before the answer",
        METHOD,
        issue_certificates.table(results),
        verdict(
            "issued over HTTP / bare parse, verify, sign loop", f"{worst:.2f}", f"{BAR} (aim {AIM})", met=worst >= BAR
        ),
    )
