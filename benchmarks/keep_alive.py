"""Requests over connections that stay open: check-ins, and the timestamp that a fleet asks for at every poll."""

import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks.fleet import GATEWAY_NAME, register_devices, require_check_ins, running_server
from benchmarks.processes import cpu_seconds
from benchmarks.report import Section, markdown_table, verdict
from benchmarks.tls_load import LoadProcesses, Target, load_processes

BAR = 15_000
CHECK_IN, TIMESTAMP = "check-in (`GET /device`)", "`GET /repo/timestamp.json`"
CONNECTIONS = 16
ROUNDS, SECONDS = 7, 3.0

METHOD = f"""\
{CONNECTIONS} devices with one TLS 1.3 connection each, one request at a time on each, {ROUNDS} rounds of
{SECONDS:.0f} s in turn. All that `ownroot serve` starts is counted, the writing of check-ins included. The figure is
requests per second of *used* CPU, which is one core's worth: the load's core is full before the server's is. Standing
of device and CA is looked at anew for every request; the timestamp is what was signed, byte for byte."""


def measure() -> Section:
    """Run both in turn."""
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name, running_server(Path(name)) as server:
        devices, _, _ = register_devices(server, CONNECTIONS, Path(name))
        started = datetime.now(UTC)
        targets = {
            CHECK_IN: Target(server.gateway_port, GATEWAY_NAME, keeps_alive=True),
            TIMESTAMP: Target(
                server.gateway_port, GATEWAY_NAME, "/repo/timestamp.json", "x-ats-tags: main\r\n", keeps_alive=True
            ),
        }
        with load_processes(devices, Path(name), processes=CONNECTIONS, groups="X25519") as load:
            rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in targets}
            for target in targets.values():
                load.run(target, 1.0)  # first contacts, caches
            for _ in range(ROUNDS):
                for what, target in targets.items():
                    rounds[what].append(_run(load, target, server.processes()))
        require_check_ins(server, devices, started)
    return _section(rounds)


def _run(load: LoadProcesses, target: Target, processes: list[int]) -> tuple[float, float, float]:
    """Return requests per second, requests per CPU second of the server, and the 99th percentile in ms."""
    used, started = cpu_seconds(processes), perf_counter()
    visits = load.run(target, SECONDS)
    used, took = cpu_seconds(processes) - used, perf_counter() - started
    count = len(visits.latencies)
    return count / took, count / used, sorted(visits.latencies)[int(count * 0.99)] * 1000


def _section(rounds: dict[str, list[tuple[float, float, float]]]) -> Section:
    rows, verdicts = [], []
    for name, runs in rounds.items():
        per_second, per_core, p99 = (statistics.median(column) for column in zip(*runs, strict=True))
        rows.append((name, f"{per_second:,.0f}", f"{per_core:,.0f}", f"{p99:.1f}"))
        verdicts.append(verdict(f"{name}, per CPU second", f"{per_core:,.0f}", f"{BAR:,}", met=per_core >= BAR))
    return Section(
        "Requests over kept-alive connections",
        METHOD,
        markdown_table(("request", "per second", "per CPU second", "p99 ms"), rows),
        "\n".join(verdicts),
    )
