"""What the edge counts about requests, for the operator's monitoring."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class RequestMetrics:
    """Requests by endpoint and status, and how long they took. Paths are templates, so strangers add no series."""

    def __init__(self, registry: CollectorRegistry, *, part: str = "api") -> None:
        self._registry = registry
        self._requests = Counter(
            f"ownroot_{part}_requests", "Requests answered.", ("method", "path", "status"), registry=registry
        )
        self._seconds = Histogram(
            f"ownroot_{part}_request_seconds", "Time from request to answer.", ("method", "path"), registry=registry
        )
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        series = self._series.get((method, path, status))
        if series is None:
            # Looking labels up costs more than counting.
            series = (self._requests.labels(method, path, str(status)), self._seconds.labels(method, path))
            self._series[method, path, status] = series
        series[0].inc()
        series[1].observe(seconds)

    def add_gauge(self, name: str, help_text: str) -> Gauge:
        """Return a gauge for something else than requests; whoever asks for it sets it."""
        return Gauge(name, help_text, registry=self._registry)

    def render(self) -> bytes:
        """Return everything in the registry in the text format of Prometheus."""
        return generate_latest(self._registry)
