"""The boards of a simulated factory floor and what is to happen to each, from a seed.

A share of the devices meets a fault on its way to a certificate and must end with one all the same. Impostors come
besides: they must end without.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ownroot.sim.identities import SimulatedDevice, simulated_device

# Keys and uuids of impostors follow from the seed as well, and must not meet those of the fleet.
_IMPOSTORS_FROM = 10_000_000
_TWINS_FROM = 20_000_000


class Fate(StrEnum):
    """What happens to a board."""

    SMOOTH = "smooth"
    LOST_ANSWER = "lost-answer"
    REPEAT = "repeat"
    POWER_LOSS_BEFORE_ANSWER = "power-loss-before-answer"
    POWER_LOSS_AFTER_ANSWER = "power-loss-after-answer"
    TWINS = "two-boards-one-uuid"
    NOT_LISTED = "not-on-allow-list"
    WRONG_FACTORY = "wrong-factory"
    BAD_CSR = "bad-csr"

    @property
    def is_impostor(self) -> bool:
        """Is this a board that must not get a certificate?"""
        return self in IMPOSTORS


IMPOSTORS: tuple[Fate, ...] = (Fate.NOT_LISTED, Fate.WRONG_FACTORY, Fate.BAD_CSR)
FAULTS: tuple[Fate, ...] = tuple(fate for fate in Fate if fate is not Fate.SMOOTH and fate not in IMPOSTORS)


@dataclass(frozen=True, slots=True)
class Board:
    """One board and its fate. `twin` is another board that was given the same uuid, with a key of its own."""

    device: SimulatedDevice
    fate: Fate
    twin: SimulatedDevice | None = None


def plan_boards(
    seed: int, devices: int, *, fault_share: float, impostors: tuple[Fate, ...], below: Path
) -> tuple[Board, ...]:
    """Plan a floor: `devices` boards that must get a certificate, then the impostors, all in an order of the seed's.

    Args:
        fault_share: of the devices, between 0 and 1; each kind of fault gets an equal part, at least one board if there
            are any faults. Of each kind of impostor there are as many as of each kind of fault.
        impostors: the kinds that the server can be expected to turn away.
    """
    each = max(1, round(devices * fault_share / len(FAULTS))) if fault_share > 0 else 0
    fates = [fate for fate in FAULTS for _ in range(each)][:devices]
    fates += [Fate.SMOOTH] * (devices - len(fates))
    boards = [
        *_devices(seed, fates, below),
        *_impostors(seed, [fate for fate in impostors for _ in range(each)], below),
    ]
    random.Random(seed).shuffle(boards)
    return tuple(boards)


def _devices(seed: int, fates: list[Fate], below: Path) -> Iterator[Board]:
    for number, fate in enumerate(fates):
        device = simulated_device(seed, number, below=below)
        yield Board(device, fate, _twin(seed, device) if fate is Fate.TWINS else None)


def _twin(seed: int, device: SimulatedDevice) -> SimulatedDevice:
    other = simulated_device(seed, _TWINS_FROM + device.number, below=device.directory.parent)
    return SimulatedDevice(other.number, device.uuid, other.directory)


def _impostors(seed: int, fates: list[Fate], below: Path) -> Iterator[Board]:
    for number, fate in enumerate(fates):
        yield Board(simulated_device(seed, _IMPOSTORS_FROM + number, below=below), fate)
