"""What may an identified device do, given what the store knows of it? A pure table, asked on every request.

The pinned key is the device; a certificate only carries it. A uuid stays refused once it was deleted, and a CA that was
disabled admits nobody new while those it admitted before go on (protocol: gateway.md §3.1 step 5, §3.3).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ownroot.pki.names import DeviceUuid
from ownroot.trust.device_identity import Identified
from ownroot.trust.state import Standing


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """What the store holds for a uuid.

    Attributes:
        spki_sha256: the pinned key.
        next_spki_sha256: the key the device announced for its renewal.
        is_unclaimed: it was last accepted under the shared PKI, and the factory was taken over since. Whoever held
            that identity was vouched for by the operator, not by the owner, so it counts for nothing now.
        quarantined_at: since when nobody is let in under this uuid, whatever the key; None: not at all.
    """

    spki_sha256: bytes
    next_spki_sha256: bytes | None = None
    is_unclaimed: bool = False
    quarantined_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GoOn:
    """A known device with its pinned key."""


@dataclass(frozen=True, slots=True)
class FirstContact:
    """A device to create, or with `replaces_key` an unclaimed one whose pinned key gives way to this one."""

    replaces_key: bool = False


@dataclass(frozen=True, slots=True)
class Promote:
    """A known device with its announced next key: that one is pinned from now on, the old one is denied."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Kept outside until the owner has looked at it; with `replaces_key` the uuid is known with another key."""

    replaces_key: bool


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not welcome; `detail` is written for the device's own log."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class RefuseKey(Refuse):
    """Not welcome: the uuid is known with another key. `restores.hold_back` may make a `Hold` of it."""


@dataclass(frozen=True, slots=True)
class RefuseReplacedKey(Refuse):
    """Not welcome: a device has replaced this key, so an old copy of it is about, or it makes a last late call."""


Admission: TypeAlias = GoOn | FirstContact | Promote | Hold | Refuse


def admit(  # noqa: PLR0913  (what the table asks)
    identified: Identified,
    known: KnownDevice | None,
    *,
    denied: bool,
    case_twin: bool,
    ca_standing: Standing | None,
    key_replaced_at: datetime | None = None,
) -> Admission:
    """Decide what an identified device may do; a pure table.

    Args:
        known: the device stored under this very uuid, if any.
        denied: the uuid is on the deny list (it was deleted).
        case_twin: another known uuid differs from this one in letter case alone.
        ca_standing: of `identified.issuer`, read again wherever the answer is acted upon: a disable may have been
            committed since the snapshot was taken. None = no longer trusted.
        key_replaced_at: when a device of the factory replaced the key shown here by another; None: none has.
    Source: protocol gateway.md §3.1 step 5 and §3.3.
    """
    uuid = identified.uuid
    if ca_standing is None:
        return Refuse(
            "device-ca-not-trusted",
            f"The CA that signed the certificate of device {uuid} is no longer trusted. Register the device again.",
        )
    if denied:
        return Refuse(
            "device-denied", f"Device {uuid} was deleted from this factory. Register it again to bring it back."
        )
    if known is not None and known.quarantined_at is not None:
        return refuse_quarantined(uuid, known.quarantined_at)
    if known is not None and identified.spki_sha256 == known.spki_sha256:
        return GoOn()
    if key_replaced_at is not None:
        return _replaced_key(uuid, key_replaced_at)
    if known is None:
        return _admit_unknown(uuid, case_twin=case_twin, ca_standing=ca_standing)
    if known.is_unclaimed:
        return _first_contact(uuid, ca_standing, replaces_key=True)
    if identified.spki_sha256 == known.next_spki_sha256:
        return Promote()
    return RefuseKey(
        "device-key-mismatch",
        f"Device {uuid} is known with another key. Either its identity was copied, or it was set up anew: "
        "then delete it from the factory and register it again.",
    )


def refuse_quarantined(uuid: DeviceUuid, at: datetime) -> Refuse:
    """Word the refusal of a device in quarantine."""
    # The next key as well: whoever has a copy of the present one could have announced it.
    return Refuse(
        "device-quarantined",
        f"Device {uuid} is in quarantine since {at:%Y-%m-%d %H:%M:%S} UTC: its key may have been copied. The owner "
        f"lets it in again with `ownroot devices release {uuid}`.",
    )


def _replaced_key(uuid: DeviceUuid, at: datetime) -> RefuseReplacedKey:
    return RefuseReplacedKey(
        "device-key-replaced",
        f"The key shown for device {uuid} was replaced on {at:%Y-%m-%d %H:%M:%S} UTC and is refused since. A call that "
        "was under way then means nothing; one that comes later is that of a copy of the device's old identity.",
    )


def _admit_unknown(uuid: DeviceUuid, *, case_twin: bool, ca_standing: Standing) -> Admission:
    if case_twin:
        return Refuse(
            "device-uuid-case-twin",
            f"A device whose uuid differs from {uuid} in letter case alone is known already. Use another uuid.",
        )
    return _first_contact(uuid, ca_standing, replaces_key=False)


def _first_contact(uuid: DeviceUuid, ca_standing: Standing, *, replaces_key: bool) -> Admission:
    if ca_standing is Standing.DISABLED:
        return Refuse(
            "device-ca-disabled",
            f"Device {uuid} is new here, and the CA that signed its certificate admits no new devices. "
            "Register it under another CA, or have the owner enable this one.",
        )
    return FirstContact(replaces_key=replaces_key)
