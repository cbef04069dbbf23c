"""Full mutual handshakes with one recorded check-in each, against nginx that verifies and answers 204.

All servers get the same clients, certificates, protocol version and key exchange. Ours does more: it decides about
the device, answers with JSON and records the visit; the records are looked up at the end.
"""

import statistics
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks import nginx
from benchmarks.fleet import (
    GATEWAY_NAME,
    configure,
    register_devices,
    require_check_ins,
    running_server,
)
from benchmarks.processes import cpu_seconds
from benchmarks.report import Section, markdown_table, verdict
from benchmarks.tls_load import LoadProcesses, Target, load_processes

BAR, AIM = 1.5, 1.9
SHIPPED, STRICT = "nginx as it comes, 204", "nginx, no resumption, 204"
OURS, HYBRID = "Ownroot, check-in recorded", "Ownroot, hybrid key exchange"
UNCHANGED, UNCHANGED_BAR = "Ownroot, `GET /config` 304", 1.3
DEVICES, PROCESSES = 400, 8
ROUNDS, SECONDS = 7, 4.0

METHOD = f"""\
TLS 1.3, P-256 certificates on both sides, no resumption, one request per connection, {DEVICES} devices in turn,
{PROCESSES} connections at a time, {ROUNDS} rounds of {SECONDS:.0f} s in turn. Key exchange is X25519, but for one
row (X25519MLKEM768, which nginx with its OpenSSL cannot do). nginx: one worker, `ssl_verify_client on`, `return 204`;
once as it comes (it then writes session tickets, used or not), and once with tickets and cache off, which is what our
gateway promises: no connection without a full handshake. Ownroot: all that `ownroot serve` starts shares the core and
its CPU is counted, the writing of check-ins included; afterwards the database must know a visit of every device. For
the 304 a configuration is set, and every device says that it has it. One core of load cannot always fill the server's
core, so the ratio compares visits per second of *used* CPU; `per second` is what the load got through."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one contender."""

    per_second: float
    per_core_second: float
    busy: float
    p99_ms: float


def measure() -> Section:
    """Run all servers side by side, one at a time under load."""
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name, running_server(Path(name)) as server:
        folder = Path(name)
        devices, _, client_cas = register_devices(server, DEVICES, folder)
        has_it_all = configure(server)
        started = datetime.now(UTC)
        with (
            nginx.running_nginx(folder / "shipped", GATEWAY_NAME, client_cas, resumption=True) as shipped,
            nginx.running_nginx(folder / "strict", GATEWAY_NAME, client_cas, resumption=False) as strict,
            load_processes(devices, folder, processes=PROCESSES, groups="X25519") as plain,
            load_processes(devices, folder, processes=PROCESSES, groups="X25519MLKEM768:X25519") as hybrid,
        ):
            ours = Target(server.gateway_port, GATEWAY_NAME)
            unchanged = replace(ours, path="/config", headers=has_it_all, welcome=range(304, 305))
            rounds = _interleave(
                {
                    SHIPPED: (plain, Target(shipped.port, GATEWAY_NAME), shipped.processes()),
                    STRICT: (plain, Target(strict.port, GATEWAY_NAME), strict.processes()),
                    OURS: (plain, ours, server.processes()),
                    HYBRID: (hybrid, ours, server.processes()),
                    UNCHANGED: (plain, unchanged, server.processes()),
                }
            )
        require_check_ins(server, devices, started)
    return _section(rounds)


def _interleave(contenders: dict[str, tuple[LoadProcesses, Target, list[int]]]) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {name: [] for name in contenders}
    for load, target, _ in contenders.values():
        # First contacts, caches, and every device fetches its configuration once.
        load.run(replace(target, welcome=range(200, 400)), 3.0)
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            rounds[name].append(_run(*contender))
    return rounds


def _run(load: LoadProcesses, target: Target, processes: list[int]) -> Round:
    used, started = cpu_seconds(processes), perf_counter()
    visits = load.run(target, SECONDS)
    used, took = cpu_seconds(processes) - used, perf_counter() - started
    count = len(visits.latencies)
    p99 = sorted(visits.latencies)[int(count * 0.99)]
    return Round(count / took, count / used, used / took, p99 * 1000)


def _section(rounds: dict[str, list[Round]]) -> Section:
    base = rounds[SHIPPED]
    rows = []
    ratios = {}
    for name, own in rounds.items():
        pairs = zip(own, base, strict=True)
        ratios[name] = statistics.median(ours.per_core_second / theirs.per_core_second for ours, theirs in pairs)
        rows.append(
            (
                name,
                f"{statistics.median(r.per_second for r in own):,.0f}",
                f"{statistics.median(r.busy for r in own):.0%}",
                f"{statistics.median(r.per_core_second for r in own):,.0f}",
                f"{statistics.median(r.p99_ms for r in own):.1f}",
                f"{ratios[name]:.2f}",
            )
        )
    ratio = ratios[OURS]
    return Section(
        "Full handshakes with a recorded check-in, against nginx",
        METHOD,
        markdown_table(
            ("server", "per second", "core in use", "per CPU second", "p99 ms", "ratio"),
            rows,
        ),
        verdict("handshake and check-in / nginx", f"{ratio:.2f}", f"{BAR} (aim {AIM})", met=ratio >= BAR)
        + "\n"
        + verdict(
            "handshake and unchanged configuration / nginx",
            f"{ratios[UNCHANGED]:.2f}",
            f"{UNCHANGED_BAR}",
            met=ratios[UNCHANGED] >= UNCHANGED_BAR,
        ),
    )
