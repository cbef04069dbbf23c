"""`./run bench [NAME...]`: measure, print, and write RESULTS.md when everything was measured."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    fleet_listing,
    handshakes,
    help_time,
    hsm,
    idle_memory,
    issuance,
    keep_alive,
    nginx,
    reenrolment,
    registration_site,
    renewal_storm,
    time_to_revoke,
    update_metadata,
)
from benchmarks.report import Section, environment, page

BENCHMARKS: dict[str, Callable[[], Section]] = {
    "handshakes": handshakes.measure,
    "keep-alive": keep_alive.measure,
    "issuance": issuance.measure,
    "re-enrolment": reenrolment.measure,
    "renewal-storm": renewal_storm.measure,
    "registration": registration_site.measure,
    "fleet-listing": fleet_listing.measure,
    "idle-memory": idle_memory.measure,
    "time-to-revoke": time_to_revoke.measure,
    "help": help_time.measure,
    "update-metadata": update_metadata.measure,
    "hsm": hsm.measure,
}
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Measure what was named, or everything."""
    parser = argparse.ArgumentParser(prog="./run bench", description="measure; everything when nothing is named")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    surroundings = environment(nginx.version())
    print(surroundings)
    sections = []
    for name in names:
        print(f"\nmeasuring {name} ...", flush=True)
        sections.append(BENCHMARKS[name]())
        print(f"\n{sections[-1].markdown()}", flush=True)
    if names == list(BENCHMARKS):
        RESULTS.write_text(page(sections, surroundings), encoding="utf-8")
        print(f"written to {RESULTS.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
