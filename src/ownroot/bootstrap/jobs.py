"""What the supervisor tells a child process, and what the child tells back.

A job goes over the child's standard input as one line of JSON, since it carries sealing keys: arguments and
environment variables can be read by others. Then the pipe stays open, and its end means that the supervisor is gone.
"""

import os
import signal
import sys
import threading
from typing import BinaryIO, TypeAlias

import msgspec

from ownroot.services.records import SealedKeyPurpose
from ownroot.services.reregistration import Reregistration


class TokenAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How to log in to the token of the online CAs."""

    module: str
    token_label: str
    pin: str


class ApiJob(msgspec.Struct, frozen=True, kw_only=True, tag="api"):
    """Serve the API on an inherited listening socket."""

    database_url: str
    sub_keys: dict[SealedKeyPurpose, bytes]
    log_level: str
    socket_fd: int
    names: tuple[str, ...]
    proxies: tuple[str, ...]
    public_url: str | None
    tls_certificate: str | None
    tls_key: str | None
    max_body_bytes: int
    body_timeout_seconds: int
    public_gateway_port: int
    gateway_admin_ports: tuple[int, ...]
    alone: bool
    online_ca_token: TokenAccess | None
    production_groups: tuple[str, ...] | None
    reregister: Reregistration
    issuing_socket: str
    allow_rsa: bool
    allow_ca_profile: bool
    device_days: int
    renewal_days: int
    backdate_seconds: int


class GatewayJob(msgspec.Struct, frozen=True, kw_only=True, tag="gateway"):
    """Serve the gateway as one of several workers on one port."""

    database_url: str
    sub_keys: dict[SealedKeyPurpose, bytes]
    log_level: str
    host: str
    port: int
    worker: int
    trust_grace_seconds: int
    allow_rsa: bool
    allow_ca_profile: bool
    report_quota_mib: int
    admin_port: int
    issuing_socket: str
    est_host: str | None
    est_port: int


Job: TypeAlias = ApiJob | GatewayJob

_DECODER: msgspec.json.Decoder[Job] = msgspec.json.Decoder(Job)


def read_job(descriptor: int) -> Job:
    """Take the job from the supervisor."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        line += piece
    return _DECODER.decode(bytes(line))


def end_with_supervisor(descriptor: int) -> None:
    """Ask ourselves to stop as soon as the supervisor is gone, even if it was killed."""

    def wait() -> None:
        # Unbuffered on purpose: a buffered reader's lock, held by a daemon thread, aborts the interpreter at its end.
        while os.read(descriptor, 65536):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervisor-watch", daemon=True).start()


def claim_stdout() -> BinaryIO:
    """Take standard output for our one line to the supervisor; what else is printed goes to the log."""
    report = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return report


def say_ready(report: BinaryIO) -> None:
    """Tell the supervisor that we serve."""
    report.write(b"ready\n")
    report.close()
