"""Every reason for which the gateway turns a device away has advice, and all advice is for reasons that exist."""

import re
from pathlib import Path

import ownroot
from ownroot.console.refusal_advice import REMEDIES, remedy_for

SOURCES = Path(ownroot.__file__).parent
REASONS = re.compile(
    r"\b(?:NotTrusted|Refuse|RefuseKey|RefusedError|Fault|RefusedRequest)\(\s*(?:[\w.]+,\s*)?"
    r'"((?:device|client|recovery)-[a-z-]+)"'
)
WHERE = (
    "trust/device_identity.py",
    "trust/admission.py",
    "services/hold_devices.py",
    "pki/conformance.py",
    "gateway/device_gateway.py",
    "services/renewal_reservations.py",
)


def test_every_reason_has_advice() -> None:
    found = {code for name in WHERE for code in REASONS.findall((SOURCES / name).read_text())}

    assert {
        "device-denied",
        "device-expired",
        "client-is-device-ca",
        "device-held-refused",
        "recovery-too-late",
    } <= found
    assert found <= set(REMEDIES)


def test_every_advice_is_for_a_reason() -> None:
    elsewhere = "".join(path.read_text() for path in SOURCES.rglob("*.py") if path.name != "refusal_advice.py")

    assert [code for code in REMEDIES if f'"{code}"' not in elsewhere] == []


def test_unknown_reason_points_to_the_doctor() -> None:
    assert "ownroot doctor" in remedy_for("something-new")
