"""What the gateway refused, as its owner reads it. Ours, see docs/wire."""

import msgspec


class RefusalObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One kind of refusal, merged over repeats.

    Attributes:
        code: name of the rule.
        detail: what the device was told the last time.
        uuid: the one the certificate named; whoever made it could write anything. Empty if none could be read.
        certificate_sha256: hex, empty if none was shown.
        peer: the address it came from the last time.
        first_at, last_at: RFC 3339.
    """

    code: str
    detail: str
    uuid: str
    certificate_sha256: str
    peer: str
    count: int
    first_at: str
    last_at: str


class RefusalList(msgspec.Struct, frozen=True):
    """The newest refusals, newest first."""

    refusals: tuple[RefusalObject, ...]
