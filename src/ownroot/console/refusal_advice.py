"""What a refusal at the gateway means for the owner of the device, and what to do about it."""

from collections.abc import Mapping
from typing import Final

_PROFILE = (
    "The certificate was not made as a device's. Look at how its CA makes them, then give the device another one: "
    "`ownroot keys ca show` names the CAs."
)
_NAME = "Its certificate names the device in a way no gateway can take. Make it another one, with one uuid as CN."
_STOLEN = (
    "Two keys come under one uuid: a copied device, or a stolen CA key. If the device got a new key on purpose, delete "
    "it (`ownroot devices delete`) and register it again; if not, see docs/runbooks/stolen-device-ca.md."
)

# Every code that the gateway refuses with; a test compares.
REMEDIES: Final[Mapping[str, str]] = {
    "client-certificate-missing": "The device showed no certificate. Look whether sota.toml names its files, and they "
    "are there and belong together.",
    "client-is-device-ca": "The device uses the certificate of a device CA as its own. Whoever made it has that CA's "
    "key: treat it as stolen (docs/runbooks/stolen-device-ca.md).",
    "device-ca-unknown": "No device CA of this factory signed its certificate. If it is a CA of yours, add it: "
    "`ownroot keys ca add-device-ca`; if not, register the device again.",
    "device-ca-revoked": "Its device CA was revoked. Register the device again under another one.",
    "device-ca-out-of-date": "Its device CA has ended. Add another (`ownroot keys ca add-device-ca`), then "
    "register the device again.",
    "device-ca-not-trusted": "Its device CA lost the factory's trust meanwhile. Register the device again.",
    "device-ca-disabled": "Its device CA is disabled and admits no new device. Enable it (`ownroot keys ca "
    "enable-device-ca`), or register the device under another one.",
    "device-expired": "Its certificate has ended, or its clock is wrong; the text says how far. Let it renew late "
    "(`ownroot devices recovery --days N`), or register it again.",
    "device-not-yet-valid": "Its certificate begins later than now: the clock of whoever made it was ahead, or ours is "
    "behind. `ownroot doctor` compares clocks.",
    "device-factory": "Its certificate is for another factory (OU). It calls the wrong gateway, or was "
    "registered there.",
    "device-denied": "The device was deleted. Register it again, or `ownroot devices delete-denied UUID`.",
    "device-uuid-case-twin": "A device is known whose uuid differs in capital letters alone. Give this one "
    "another uuid.",
    "device-uuid-invalid": _NAME,
    "device-uuid-missing": _NAME,
    "device-key-mismatch": _STOLEN,
    "device-key-taken": "Another device has this very key. One of the two is a copy: make it a key of its own.",
    "device-key-replaced": "It shows a key it has replaced. After a rotation this ends by itself when it uses its new "
    "certificate; if that one works elsewhere, two devices share a uuid: one is a copy.",
    "device-quarantined": "Somebody else may have its key. Find out who called from where (`ownroot devices show`), "
    "let it in again (`ownroot devices release`) and renew its key at once (`ownroot config rotate-certs`).",
    "device-held-for-review": "It came after a restore with a certificate nobody remembers. Judge it: `ownroot devices "
    "held`.",
    "device-held-refused": "Somebody refused it after a restore. Register it again if that was wrong.",
    "device-is-ca": _PROFILE,
    "device-critical-extension": _PROFILE,
    "device-extended-key-usage": _PROFILE,
    "device-key-usage": _PROFILE,
    "device-key": "Its key is of a kind or size this factory does not take (EC P-256, P-384, P-521). Make another one "
    "and register again.",
    "device-trusts-another-root": "It holds the root of before the take-over, or another server's. Give it this "
    "factory's root (`ownroot keys ca show --just-root`), or register it again.",
    "device-gone": "It was deleted, or got another key, while it was connected.",
    "recovery-not-allowed": "Its certificate has ended. Let it renew late (`ownroot devices recovery --days N`), or "
    "register it again.",
    "recovery-not-pinned": "Its certificate has ended, and its key is not the one the factory knows. Register it "
    "again.",
    "recovery-too-late": "Its certificate ended longer ago than `ownroot devices recovery` allows. Allow more days, or "
    "register it again.",
}

_UNKNOWN = "The text says what was wrong; `ownroot doctor` looks at the whole PKI."


def remedy_for(code: str) -> str:
    """Return what an owner does about a refusal."""
    return REMEDIES.get(code, _UNKNOWN)
