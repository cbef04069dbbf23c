"""Shape of a factory's PKI examination; our own, no client of the protocol knows it (docs/wire)."""

import msgspec


class HealthFault(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is wrong: a stable code, and a sentence for people."""

    code: str
    detail: str


class KeyHealth(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One private key of the backend: for which certificate, and what was wrong when it had to sign (null: nothing).

    `kind` is `tls`, `est` or `online-ca`; serials are decimal text.
    """

    kind: str
    serial: str
    fault: HealthFault | None = None


class IssuedCount(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How many certificates a device CA of the backend has signed."""

    serial: str
    issued: int


class RevocationBucket(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How many changes cut their connections within `seconds`, which is null in the last bucket: all of them."""

    seconds: float | None
    changes: int


class GatewayHealth(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The workers beside this API, and how fast they acted on changes that cut connections (cumulative counts)."""

    workers: int
    unready: tuple[int, ...]
    time_to_revoke: tuple[RevocationBucket, ...]


class PkiHealth(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the backend found out about itself. `gateway` is null where no gateway runs beside this API."""

    keys: tuple[KeyHealth, ...]
    issued: tuple[IssuedCount, ...]
    gateway: GatewayHealth | None = None
