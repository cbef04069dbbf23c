"""Settings of one gateway worker process."""

from dataclasses import dataclass, field
from pathlib import Path

from ownroot.gateway.limits import Limits
from ownroot.services.record_tests import DEFAULT_QUOTA_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """How one worker listens and how long it trusts what it last read.

    Attributes:
        host, port: where to listen; several workers share one port.
        worker: number of this worker, for logs and metrics.
        trust_grace_seconds: known devices go on this long while trust cannot be read; then nobody does.
        poll_interval_ms: how often the store is asked whether anything changed; bounds how late a revocation acts.
        shutdown_grace_seconds: for requests in progress after SIGTERM.
        allow_rsa: accept devices with RSA keys of at least 2048 bits.
        allow_ca_profile: accept device certificates marked CA:TRUE, as some sample scripts make them.
        report_quota_bytes: what the test artifacts of one device may take, so that no device fills the disk.
        issuing_socket: where the issuing desk listens.
        est_host, est_port: a second listener for EST alone; without a host there is none.
        admin_port: loopback port of `/readyz` and `/metrics`; None = none, 0 = any free one.
    """

    host: str
    port: int
    worker: int = 0
    limits: Limits = field(default_factory=Limits)
    trust_grace_seconds: int = 300
    poll_interval_ms: int = 50
    shutdown_grace_seconds: int = 5
    allow_rsa: bool = False
    allow_ca_profile: bool = False
    report_quota_bytes: int = DEFAULT_QUOTA_BYTES
    issuing_socket: Path = Path("issuing.sock")
    est_host: str | None = None
    est_port: int = 0
    admin_port: int | None = None
