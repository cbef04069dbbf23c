"""The section about issuing certificates over HTTP; measured by `benchmarks.issue_certificates`."""

import statistics

from benchmarks import issue_certificates
from benchmarks.issue_certificates import AIM, BAR, CLIENTS
from benchmarks.report import Section, verdict


def measure() -> Section:
    """Measure with the defaults of that program."""
    results = issue_certificates.measure(5, 2.0)
    worst = min(statistics.median(r.ratio for r in results if r.clients == clients) for clients in CLIENTS)
    return Section(
        "Certificates issued over HTTP, durable before the answer",
        (issue_certificates.__doc__ or "").split("\n\n    python -m")[0].partition("Method: ")[2].replace("\n", " "),
        issue_certificates.table(results),
        verdict(
            "issued over HTTP / bare parse, verify, sign loop", f"{worst:.2f}", f"{BAR} (aim {AIM})", met=worst >= BAR
        ),
    )
