"""What the server found out about itself, as findings: keys that do not sign, a gateway that lags. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from ownroot.cli.findings import Finding, Severity
from ownroot.cli.pki_view import TITLES, Kind
from ownroot.wire.pki_health import GatewayHealth, KeyHealth, PkiHealth, RevocationBucket

# A revocation that takes longer than this leaves a thief time for a request (architecture.md: 1 s at p99).
SLOW_SECONDS: Final = 1.0
_KINDS: Final[Mapping[str, Kind]] = {"tls": Kind.GATEWAY_TLS, "est": Kind.EST_TLS, "online-ca": Kind.ONLINE_CA}
_WITHOUT_KEY: Final[Mapping[Kind, str]] = {
    Kind.GATEWAY_TLS: "no device can connect after the next restart of the gateway",
    Kind.EST_TLS: "no device can renew over the EST listener",
    Kind.ONLINE_CA: "no device can be registered through the API",
}
_REPLACE: Final[Mapping[Kind, str]] = {
    Kind.GATEWAY_TLS: "ownroot keys ca rotate-tls DIR",
    Kind.EST_TLS: "ownroot keys est authorize DIR",
    Kind.ONLINE_CA: "ownroot keys ca add-device-ca DIR --online-ca",
}


def findings_of(health: PkiHealth) -> Iterator[Finding]:
    """Yield what is to be looked after."""
    for key in health.keys:
        if key.fault is not None:
            yield _unusable(key, key.fault.code, key.fault.detail)
    if health.gateway is not None:
        yield from _gateway(health.gateway)


def slow_revocations(buckets: tuple[RevocationBucket, ...]) -> tuple[int, int]:
    """Return how many changes cut connections, and how many of them took longer than `SLOW_SECONDS`."""
    total = max((bucket.changes for bucket in buckets), default=0)
    in_time = max((b.changes for b in buckets if b.seconds is not None and b.seconds <= SLOW_SECONDS), default=0)
    return total, total - in_time


def _unusable(key: KeyHealth, code: str, detail: str) -> Finding:
    kind = _KINDS.get(key.kind)
    what = key.kind if kind is None else TITLES[kind]
    effect = "" if kind is None else f", so {_WITHOUT_KEY[kind]}"
    step = "The operator of the server restores the key-encryption key or the token that belongs to its database."
    replace = "" if kind is None else f" If that is lost, make a new key: {_REPLACE[kind]}"
    return Finding(
        Severity.FAULT,
        "backend-key-unusable",
        f"The server cannot sign with the key of the {what} (serial {key.serial}){effect}: {detail} ({code})",
        step + replace,
    )


def _gateway(gateway: GatewayHealth) -> Iterator[Finding]:
    if gateway.unready:
        yield Finding(
            Severity.FAULT,
            "gateway-not-ready",
            f"{len(gateway.unready)} of {gateway.workers} gateway workers are not ready.",
            "The operator of the server finds the reason at /readyz of its address under gateway-admin in serve.json.",
        )
    total, slow = slow_revocations(gateway.time_to_revoke)
    if slow:
        yield Finding(
            Severity.WARNING,
            "revocation-slow",
            f"{slow} of {total} changes that cut devices took longer than {SLOW_SECONDS:g} s to cut the last one.",
            "Look at the load and the clocks of the server; the metric is ownroot_gateway_time_to_revoke_seconds.",
        )
