"""Load for a mutual-TLS server on this machine: one full handshake and one request per connection, or many requests.

Each process holds one connection at a time and opens the next when it has its answer, or asks again on it. The
client's half of a handshake costs about as much as the server's, so one core of load may not fill one core of server:
the CPU time of the server is what gets compared (`benchmarks.handshakes`).
"""

import multiprocessing
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from OpenSSL import SSL

from benchmarks.fleet import Device
from benchmarks.processes import LOAD_CORE, on_core

GROUPS_FILE = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nGroups = {groups}\n"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and what to ask for there. `welcome`: the statuses that count."""

    port: int
    server_name: str
    path: str = "/device"
    headers: str = ""
    welcome: range = range(200, 300)
    keeps_alive: bool = False


@dataclass(slots=True)
class Visits:
    """What a run of load saw; latencies in seconds from the TCP connect to the answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def add(self, other: "Visits") -> None:
        """Count another process's visits in."""
        self.statuses += other.statuses
        self.latencies += other.latencies


class LoadProcesses:
    """Processes on the load's core, each with its share of the devices; made by `load_processes`."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def run(self, target: Target, seconds: float) -> Visits:
        """Visit for so long with every process at once.

        Raises:
            RuntimeError: a visit was not answered with a status that is welcome.
        """
        for pipe in self._pipes:
            pipe.send((target, seconds))
        total = Visits()
        for pipe in self._pipes:
            total.add(pipe.recv())
        refused = {status: count for status, count in total.statuses.items() if status not in target.welcome}
        if refused or not total.latencies:
            raise RuntimeError(f"not every visit was welcome: {refused}")
        return total


@contextmanager
def load_processes(devices: list[Device], folder: Path, *, processes: int, groups: str) -> Iterator[LoadProcesses]:
    """Start load processes that offer these key exchange groups (a list in OpenSSL's spelling), and end them."""
    spawn = multiprocessing.get_context("spawn")  # OpenSSL reads its configuration when a process first uses it
    configuration = folder / f"openssl-{groups.replace(':', '-')}.cnf"
    configuration.write_text(GROUPS_FILE.format(groups=groups))
    pipes, workers = [], []
    before = os.environ.get("OPENSSL_CONF")
    os.environ["OPENSSL_CONF"] = str(configuration)
    with on_core(LOAD_CORE):
        for index in range(processes):
            ours, theirs = spawn.Pipe()
            worker = spawn.Process(target=_work, args=(theirs, devices[index::processes]), daemon=True)
            worker.start()
            theirs.close()
            pipes.append(ours)
            workers.append(worker)
    os.environ.pop("OPENSSL_CONF")
    if before is not None:
        os.environ["OPENSSL_CONF"] = before
    try:
        yield LoadProcesses(pipes)
    finally:
        for pipe in pipes:
            pipe.send(None)
        for worker in workers:
            worker.join(10)


def client_context(device: Device) -> SSL.Context:
    """Make a client that shows this device's certificate and does not ask whom it talks to.

    The server's own signature in the handshake is checked all the same; only the way to a root is not. That work is the
    client's, and would be the same against every server.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_file(str(device.certificate))
    context.use_privatekey_file(str(device.key))
    return context


def connect(context: SSL.Context, target: Target, source: str = "127.0.0.1") -> tuple[socket.socket, SSL.Connection]:
    """Connect from a loopback address and finish the handshake."""
    raw = socket.create_connection(("127.0.0.1", target.port), timeout=30, source_address=(source, 0))
    raw.setblocking(True)
    connection = SSL.Connection(context, raw)
    connection.set_tlsext_host_name(target.server_name.encode())
    connection.set_connect_state()
    connection.do_handshake()
    return raw, connection


def request(target: Target, *, close: bool) -> bytes:
    """Write the request of one visit."""
    ending = "Connection: close\r\n" if close else ""
    return f"GET {target.path} HTTP/1.1\r\nHost: {target.server_name}\r\n{target.headers}{ending}\r\n".encode()


def _work(pipe: Connection, devices: list[Device]) -> None:
    contexts = [client_context(device) for device in devices]
    position = 0
    while (order := pipe.recv()) is not None:
        target, seconds = order
        visits = Visits()
        deadline = time.perf_counter() + seconds
        if target.keeps_alive:
            _ask_again(contexts[0], target, visits, deadline)
        else:
            position = _reconnect(contexts, target, visits, deadline, position)
        pipe.send(visits)


def _reconnect(contexts: list[SSL.Context], target: Target, visits: Visits, deadline: float, position: int) -> int:
    text = request(target, close=True)
    while (started := time.perf_counter()) < deadline:
        raw, connection = connect(contexts[position % len(contexts)], target)
        connection.sendall(text)
        status = int(connection.recv(65536)[9:12])
        raw.close()
        visits.latencies.append(time.perf_counter() - started)
        visits.statuses[status] += 1
        position += 1
    return position


def _ask_again(context: SSL.Context, target: Target, visits: Visits, deadline: float) -> None:
    text = request(target, close=False)
    raw, connection = connect(context, target)
    while (started := time.perf_counter()) < deadline:
        connection.sendall(text)
        visits.statuses[_status_of_whole_answer(connection)] += 1
        visits.latencies.append(time.perf_counter() - started)
    raw.close()


def _status_of_whole_answer(connection: SSL.Connection) -> int:
    data = connection.recv(65536)
    head = data.find(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", data[:head], re.IGNORECASE)
    wanted = head + 4 + (int(length[1]) if length else 0)
    while len(data) < wanted:
        data += connection.recv(65536)
    return int(data[9:12])
