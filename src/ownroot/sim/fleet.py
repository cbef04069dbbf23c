"""A fleet of simulated devices against a real server, through the very code that real devices run.

Each device registers once and then checks in round after round, each time over a new connection, as the programs of
the field do (gateway.md §2.1). Nothing is retried: a refusal or a lost connection is counted with its reason.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from ownroot.client.registration import RegistrationEndpoint
from ownroot.device.check_in import check_in, open_gateway
from ownroot.device.files import is_registered
from ownroot.device.identity import load_identity
from ownroot.device.registration import RegistrationWish, default_hardware_id, register
from ownroot.errors import OwnrootError
from ownroot.sim.identities import SimulatedDevice, place_simulated_key, simulated_device, simulated_key
from ownroot.sim.tally import Attempt, Tally, tally

Progress = Callable[[str, int, int], None]
"""Told after each attempt: the step's name, how many are done, how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What to simulate. The same seed and number of devices always make the same devices."""

    registration_url: str
    token: str
    factory: str
    devices: int
    rounds: int
    at_once: int
    seed: int
    directory: Path
    cacert: Path | None = None

    def fleet(self) -> list[SimulatedDevice]:
        """Name the devices."""
        return [simulated_device(self.seed, number, below=self.directory) for number in range(self.devices)]


@dataclass(frozen=True, slots=True)
class FleetReport:
    """What the fleet met: one sum for registrations and one for all check-ins."""

    registrations: Tally
    check_ins: Tally

    @property
    def is_clean(self) -> bool:
        """Did everything work for every device?"""
        return not (self.registrations.failures or self.check_ins.failures)


def run_fleet(plan: FleetPlan, progress: Progress) -> FleetReport:
    """Register every device, then let each check in `rounds` times. Identities stay in the plan's directory."""
    registrations = register_fleet(plan, progress)
    ready = [device for device in plan.fleet() if is_registered(device.directory)]
    visits = [device for _ in range(plan.rounds) for device in ready]
    return FleetReport(registrations, _run_step("checking in", visits, visit_gateway, plan.at_once, progress))


def register_fleet(plan: FleetPlan, progress: Progress) -> Tally:
    """Register every device that an earlier run with this directory has not."""
    with RegistrationEndpoint(plan.registration_url, token=plan.token, cacert=plan.cacert) as endpoint:
        act = partial(_register, plan, endpoint)
        return _run_step("registering", plan.fleet(), act, plan.at_once, progress)


def _run_step(
    name: str,
    devices: Sequence[SimulatedDevice],
    act: Callable[[SimulatedDevice], None],
    at_once: int,
    progress: Progress,
) -> Tally:
    started = perf_counter()
    attempts: list[Attempt] = []
    for attempt in _attempts(devices, act, at_once):
        attempts.append(attempt)
        progress(name, len(attempts), len(devices))
    return tally(attempts, elapsed_seconds=perf_counter() - started)


def _attempts(
    devices: Iterable[SimulatedDevice], act: Callable[[SimulatedDevice], None], at_once: int
) -> Iterable[Attempt]:
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        for future in as_completed([pool.submit(_timed, act, device) for device in devices]):
            yield future.result()


def _timed(act: Callable[[SimulatedDevice], None], device: SimulatedDevice) -> Attempt:
    started = perf_counter()
    try:
        act(device)
    except OwnrootError as error:
        return Attempt(perf_counter() - started, error.code)
    return Attempt(perf_counter() - started)


def _register(plan: FleetPlan, endpoint: RegistrationEndpoint, device: SimulatedDevice) -> None:
    if is_registered(device.directory):
        return  # an earlier run with this seed and directory
    place_simulated_key(device, simulated_key(plan.seed, device.number))
    wish = RegistrationWish(
        factory=plan.factory,
        directory=device.directory,
        uuid=device.uuid,
        name=f"sim-{plan.seed}-{device.number}",
        hardware_id=default_hardware_id(),
    )
    register(wish, endpoint.register)


def visit_gateway(device: SimulatedDevice) -> None:
    """Let a device check in once, over a connection of its own. Raises OwnrootError as `check_in`."""
    identity = load_identity(device.directory)
    with open_gateway(identity) as gateway:
        check_in(identity, gateway)
