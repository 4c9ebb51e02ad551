"""What a relay tells Prometheus; one registry per relay, so that several live in one process."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from uptui.protocol.names import Way

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_DIAL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_API_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """Counters that the data path and the API bump; labels take few values, never names."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._hosts = Gauge("uptui_hosts", "Hosts connected now", registry=self.registry)
        self._open = Gauge(
            "uptui_streams_open", "Client streams open now", ["way"], registry=self.registry
        )
        self._streams = Counter(
            "uptui_streams", "Client streams joined", ["way"], registry=self.registry
        )
        self._bytes = Counter(
            "uptui_stream_bytes",
            "Bytes spliced; in is client to host",
            ["way", "direction"],
            registry=self.registry,
        )
        self._dials = Histogram(
            "uptui_dial_seconds",
            "From a client's arrival to its host's stream",
            ["way"],
            buckets=_DIAL_BUCKETS,
            registry=self.registry,
        )
        self._refusals = Counter(
            "uptui_refusals",
            "Clients, hosts and requests turned away",
            ["reason"],
            registry=self.registry,
        )
        self._errors = Counter(
            "uptui_errors", "Failures that are ours", ["where"], registry=self.registry
        )
        self._requests = Histogram(
            "uptui_api_request_seconds",
            "HTTP API requests",
            ["method", "status"],
            buckets=_API_BUCKETS,
            registry=self.registry,
        )

    def watch_hosts(self, count: Callable[[], int]) -> None:
        """Read the number of connected hosts from `count` at each scrape."""
        self._hosts.set_function(lambda: float(count()))

    def stream_opened(self, way: Way, dial_seconds: float) -> None:
        """A client was joined with its host after `dial_seconds`."""
        self._streams.labels(way).inc()
        self._open.labels(way).inc()
        self._dials.labels(way).observe(dial_seconds)

    def stream_closed(self, way: Way) -> None:
        """A joined stream ended."""
        self._open.labels(way).dec()

    def moved(self, way: Way, *, received: int = 0, sent: int = 0) -> None:
        """Bytes from clients to hosts (received) and back (sent)."""
        if received:
            self._bytes.labels(way, "in").inc(received)
        if sent:
            self._bytes.labels(way, "out").inc(sent)

    def refused(self, reason: str) -> None:
        """Somebody was turned away; `reason` is one of a few fixed words."""
        self._refusals.labels(reason).inc()

    def failed(self, where: str) -> None:
        """Something of ours failed; `where` is one of a few fixed words."""
        self._errors.labels(where).inc()

    def answered(self, method: str, status: int, seconds: float) -> None:
        """An API request was answered."""
        known = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} else "other"
        self._requests.labels(known, f"{status // 100}xx").observe(seconds)

    def render(self) -> bytes:
        """The Prometheus text format, CONTENT_TYPE."""
        return generate_latest(self.registry)
