"""How long `ownroot --help` takes: what a person waits before anything happens, on every command."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import LOAD_CORE, on_core
from benchmarks.report import Section, markdown_table, verdict

BAR_MS, AIM_MS = 150, 100
ROUNDS = 31


def measure() -> Section:
    """Time the help page and, in turn with it, a Python that does nothing."""
    program = str(Path(sys.executable).with_name("ownroot"))
    bare: list[float] = []
    with_help: list[float] = []
    with on_core(LOAD_CORE):
        for _ in range(ROUNDS):
            bare.append(_milliseconds([sys.executable, "-c", "pass"]))
            with_help.append(_milliseconds([program, "--help"]))
    median = statistics.median(with_help)
    return Section(
        "Time to the first help page",
        f"A process each time, {ROUNDS} times in turn with a Python that does nothing; compiled files are there.",
        markdown_table(
            ("command", "median ms", "slowest ms"),
            [
                ("`python -c pass`", f"{statistics.median(bare):.0f}", f"{max(bare):.0f}"),
                ("`ownroot --help`", f"{median:.0f}", f"{max(with_help):.0f}"),
            ],
        ),
        verdict("help", f"{median:.0f} ms", f"{BAR_MS} ms (aim {AIM_MS})", met=median <= BAR_MS),
    )


def _milliseconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000
