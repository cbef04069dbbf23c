"""Memory of an idle mutual-TLS connection at the gateway: what a fleet costs that only stays connected."""

import socket
import tempfile
import time
from pathlib import Path

from OpenSSL import SSL

from benchmarks.fleet import GATEWAY_NAME, Server, register_devices, running_server
from benchmarks.processes import LOAD_CORE, memory_kib, on_core
from benchmarks.report import Section, markdown_table, verdict
from benchmarks.tls_load import Target, client_context, connect, request

BAR_KIB, AIM_KIB = 70, 45
DEVICES, STEPS = 50, (500, 1000, 2000)
SETTLE_SECONDS = 3
METHOD = f"""\
Each connection finishes a TLS 1.3 mutual handshake, gets one answer and stays open, from many loopback addresses.
Weighed is the growth of the proportional set size of all of the server's processes, {SETTLE_SECONDS} s after the last
answer; at the end every connection must still answer. The verdict counts the connections after the first {STEPS[0]},
which partly live in memory that the warm-up left behind."""


def measure() -> Section:
    """Hold more and more connections, each after one answered request, and weigh the server each time."""
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name, running_server(Path(name)) as server:
        devices, _, _ = register_devices(server, DEVICES, Path(name))
        contexts = [client_context(device) for device in devices]
        held: list[tuple[socket.socket, SSL.Connection]] = []
        with on_core(LOAD_CORE):
            for _ in range(2):  # first contacts, and the buffers that stay with the process
                _hold(server, contexts, held, 200)
                _drop(held)
            before = _weigh(server)
            rows, grown = [], [0]
            for count in STEPS:
                _hold(server, contexts, held, count - len(held))
                grown.append(_weigh(server) - before)
                rows.append((f"{count:,}", f"{grown[-1] / 1024:.1f}", f"{grown[-1] / count:.1f}"))
            _require_alive(server, held)
            _drop(held)
    # The first connections move into memory that the warm-up left behind; only further ones show the price.
    per_connection = (grown[-1] - grown[1]) / (STEPS[-1] - STEPS[0])
    return Section(
        "Memory of an idle connection",
        METHOD,
        markdown_table(("connections held", "growth in MiB", "KiB each"), rows),
        verdict(
            "idle connection",
            f"{per_connection:.1f} KiB",
            f"{BAR_KIB} KiB (aim {AIM_KIB})",
            met=per_connection <= BAR_KIB,
        ),
    )


def _hold(
    server: Server, contexts: list[SSL.Context], held: list[tuple[socket.socket, SSL.Connection]], count: int
) -> None:
    target = Target(server.gateway_port, GATEWAY_NAME)
    for _ in range(count):
        number = len(held)
        pair = connect(contexts[number % len(contexts)], target, source=f"127.0.{1 + number // 200}.{1 + number % 200}")
        held.append(pair)
        _ask(target, pair)


def _ask(target: Target, pair: tuple[socket.socket, SSL.Connection]) -> None:
    pair[1].sendall(request(target, close=False))
    answer = pair[1].recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"unexpected answer: {answer[:200]!r}")


def _require_alive(server: Server, held: list[tuple[socket.socket, SSL.Connection]]) -> None:
    for pair in held:
        _ask(Target(server.gateway_port, GATEWAY_NAME), pair)


def _drop(held: list[tuple[socket.socket, SSL.Connection]]) -> None:
    for raw, _ in held:
        raw.close()
    held.clear()


def _weigh(server: Server) -> int:
    time.sleep(SETTLE_SECONDS)
    return memory_kib(server.processes())
