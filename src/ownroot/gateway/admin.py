"""Readiness and metrics of one worker, on a loopback port of its own."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ownroot.gateway.backlog import Backlog
from ownroot.gateway.hub import EngineCounters
from ownroot.gateway.refusals import RefusalRecorder
from ownroot.gateway.sweeps import RevocationTimes

_REQUEST_BYTES = 4096
_REQUEST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """May devices be sent to this worker? `reasons` say why not, or which names it had to close."""

    is_ready: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is counted at this moment, beside the totals."""

    open_connections: int
    remembered_standings: int
    swept_connections: int
    renewed_certificates: int
    recovered_devices: int


class WorkerMetrics(Collector):
    """Turns the plain counters of a worker into Prometheus metrics when they are asked for."""

    def __init__(
        self,
        counters: EngineCounters,
        backlogs: Sequence[Backlog[Any, Any]],
        refusals: RefusalRecorder,
        revocation_times: RevocationTimes,
        *,
        gauges: Callable[[], Gauges],
    ) -> None:
        self._counters = counters
        self._backlogs = backlogs
        self._refusals = refusals
        self._revocation_times = revocation_times
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for field in fields(self._counters):
            name = f"ownroot_gateway_{field.name}"
            yield CounterMetricFamily(name, field.name.replace("_", " "), value=getattr(self._counters, field.name))
        for backlog in self._backlogs:
            name, words = f"ownroot_gateway_{backlog.name}", backlog.name.replace("_", " ")
            yield CounterMetricFamily(name, f"{words} stored", value=backlog.recorded)
            yield CounterMetricFamily(f"{name}_dropped", f"{words} not stored", value=backlog.dropped)
        refused = CounterMetricFamily("ownroot_gateway_refusals", "refused devices", labels=("code",))
        for code, count in self._refusals.totals.items():
            refused.add_metric((code,), count)
        yield refused
        yield time_to_revoke(self._revocation_times)
        gauges = self._gauges()
        yield CounterMetricFamily("ownroot_gateway_swept", "connections cut", value=gauges.swept_connections)
        renewed = gauges.renewed_certificates
        yield CounterMetricFamily("ownroot_gateway_renewed", "certificates handed out by EST", value=renewed)
        recovered = gauges.recovered_devices
        yield CounterMetricFamily("ownroot_gateway_recovered", "the same, to expired devices", value=recovered)
        yield GaugeMetricFamily("ownroot_gateway_connections", "open connections", value=gauges.open_connections)
        yield GaugeMetricFamily("ownroot_gateway_standings", "known callers", value=gauges.remembered_standings)


def time_to_revoke(times: RevocationTimes) -> Metric:
    """Return the histogram; the API reads it by this name."""
    return HistogramMetricFamily(
        "ownroot_gateway_time_to_revoke_seconds",
        "from a change of trust to the close of the last connection it cut",
        buckets=times.buckets(),
        sum_value=times.sum_seconds,
    )


class AdminServer:
    """A very small HTTP/1.0 server: GET /readyz (200 or 503, one reason a line) and GET /metrics."""

    def __init__(self, metrics: Collector, readiness: Callable[[], Readiness]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(metrics)
        self._readiness = readiness
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> tuple[str, int]:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_REQUEST_BYTES)
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _REQUEST_SECONDS)
            while await asyncio.wait_for(reader.readline(), _REQUEST_SECONDS) not in (b"\r\n", b"\n", b""):
                pass
            writer.write(self._answer(line))
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # not a client we owe an answer
        finally:
            writer.close()

    def _answer(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.split(b" ")[0]
        if method != b"GET" or path not in (b"/readyz", b"/metrics"):
            return _response(b"404 Not Found", b"GET /readyz or GET /metrics\n")
        if path == b"/metrics":
            return _response(b"200 OK", generate_latest(self._registry))
        found = self._readiness()
        body = "".join(f"{reason}\n" for reason in found.reasons) or "ready\n"
        return _response(b"200 OK" if found.is_ready else b"503 Service Unavailable", body.encode())


def _response(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.0 %b\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)
    )
