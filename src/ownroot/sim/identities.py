"""Simulated devices whose keys and names follow from a seed, so that a run can be repeated exactly.

Never for real devices: whoever knows the seed knows every key.
"""

import hashlib
import uuid as uuids
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.device.files import prepare_directory
from ownroot.device.keys import place_key
from ownroot.pki.signer import PrivateKey

# The order of P-256's base point (SEC 2 §2.4.2): private keys lie between 1 and this number, exclusive.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """One device of a simulated fleet: its number, its name on the wire and the folder of its identity."""

    number: int
    uuid: str
    directory: Path


def simulated_device(seed: int, number: int, *, below: Path) -> SimulatedDevice:
    """Name the device with this number; the same seed and number always give the same one."""
    uuid = str(uuids.UUID(bytes=_digest("uuid", seed, number)[:16], version=4))
    return SimulatedDevice(number, uuid, below / uuid)


def simulated_key(seed: int, number: int) -> PrivateKey:
    """Derive the device's P-256 key from the seed."""
    secret = int.from_bytes(_digest("key", seed, number), "big") % (_P256_ORDER - 1) + 1
    return ec.derive_private_key(secret, ec.SECP256R1())


def place_simulated_key(device: SimulatedDevice, key: PrivateKey) -> None:
    """Put the key where the device program looks for it, unless one is there already."""
    prepare_directory(device.directory)
    place_key(device.directory, key)


def _digest(purpose: str, seed: int, number: int) -> bytes:
    return hashlib.sha256(f"ownroot simulated {purpose} {seed} {number}".encode()).digest()
