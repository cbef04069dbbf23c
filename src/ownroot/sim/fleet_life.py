"""A simulated fleet over months: devices call now and then, renew in time, and at the end all must still be let in.

Each device does what its daemon would: it checks in every so many days, and once its certificate is due it renews by
EST, through the very code that real devices run (gateway.md §7.2). A visit that fails is made again the next day.

The days are those of the wall clock, which nobody here moves. A fleet can be left to live beside a real server; a test
that cannot wait moves the clock of server and fleet alike, a day further each time the fleet says that one is over.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ownroot.clock import utc_now
from ownroot.device.files import is_registered
from ownroot.device.identity import load_identity, read_certificate
from ownroot.device.renewal import renew, resume_renewal
from ownroot.device.renewal_order import own_order, renewal_due_at
from ownroot.errors import OwnrootError
from ownroot.sim.fleet import FleetPlan, Progress, register_fleet, visit_gateway
from ownroot.sim.identities import SimulatedDevice
from ownroot.sim.tally import Tally

_DAY: Final = timedelta(days=1)
_GLANCE_SECONDS: Final = 0.05
_LAST_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class LifeDay:
    """What happened on one day. `failures` counts the codes of visits that failed."""

    number: int
    check_ins: int = 0
    renewals: int = 0
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LifeReport:
    """What became of a fleet.

    Attributes:
        renewed: how many devices (value) renewed how often (key).
        failures: of visits, by code; each was made again.
        lost: uuids of devices that could not get in at the end.
    """

    registrations: Tally
    days: int
    check_ins: int
    renewals: int
    renewed: dict[int, int]
    failures: dict[str, int]
    lost: list[str]

    @property
    def is_clean(self) -> bool:
        """Did every device register, and is every one still let in?"""
        return not (self.registrations.failures or self.lost)


@dataclass(slots=True)
class _Life:
    """One device, the day of the period on which it calls, and what it has lived through."""

    device: SimulatedDevice
    spread: int
    next_day: int = 0
    renewals: int = 0


@dataclass(frozen=True, slots=True)
class _Visit:
    did_renew: bool = False
    failure: str | None = None


def run_life(
    plan: FleetPlan, *, days: int, every_days: int, progress: Progress, told: Callable[[LifeDay], None]
) -> LifeReport:
    """Register every device, then let the fleet live for so many days of the wall clock.

    Args:
        plan: its `rounds` are not looked at.
        every_days: how often a device calls; the fleet is spread over these days.
        told: hears of each day when it is over; on day 0 every device calls for the first time.
    """
    registrations = register_fleet(plan, progress)
    fleet = [device for device in plan.fleet() if is_registered(device.directory)]
    lives = [_Life(device, spread=index % every_days) for index, device in enumerate(fleet)]
    start, lived = utc_now(), []
    with ThreadPoolExecutor(plan.at_once) as pool:
        for number in range(days + 1):
            _wait_until(start + number * _DAY)
            day = _live(number, lives, every_days, pool)
            lived.append(day)
            told(day)
        lost = [device.uuid for device, is_in in zip(fleet, pool.map(_is_let_in, fleet), strict=True) if not is_in]
    return _report(registrations, lived, lives, lost)


def _wait_until(moment: datetime) -> None:
    # In short naps: a moved clock moves no sleeper.
    while utc_now() < moment:
        time.sleep(_GLANCE_SECONDS)


def _live(number: int, lives: Sequence[_Life], every_days: int, pool: ThreadPoolExecutor) -> LifeDay:
    due = [life for life in lives if life.next_day <= number]
    failures: Counter[str] = Counter()
    check_ins = renewals = 0
    for life, visit in zip(due, pool.map(_visit, due), strict=True):
        life.next_day = _next_day(life, number, every_days, has_failed=visit.failure is not None)
        life.renewals += visit.did_renew
        renewals += visit.did_renew
        check_ins += visit.failure is None
        failures.update([visit.failure] if visit.failure else [])
    return LifeDay(number, check_ins, renewals, dict(failures))


def _next_day(life: _Life, today: int, every_days: int, *, has_failed: bool) -> int:
    if has_failed:
        return today + 1
    return today + every_days - (today - life.spread) % every_days


def _visit(life: _Life) -> _Visit:
    directory = life.device.directory
    did_renew = False
    try:
        did_renew = resume_renewal(directory, _unheard) is not None
        identity = load_identity(directory)
        if utc_now() >= renewal_due_at(read_certificate(identity)):
            renew(directory, own_order(identity.server, utc_now()), _unheard)
            did_renew = True
        visit_gateway(life.device)
    except OwnrootError as error:
        return _Visit(did_renew, error.code)
    return _Visit(did_renew)


def _is_let_in(device: SimulatedDevice) -> bool:
    for _ in range(_LAST_TRIES):
        try:
            visit_gateway(device)
        except OwnrootError:
            continue
        return True
    return False


def _report(registrations: Tally, lived: Sequence[LifeDay], lives: Sequence[_Life], lost: list[str]) -> LifeReport:
    failures: Counter[str] = Counter()
    for day in lived:
        failures.update(day.failures)
    return LifeReport(
        registrations=registrations,
        days=lived[-1].number,
        check_ins=sum(day.check_ins for day in lived),
        renewals=sum(day.renewals for day in lived),
        renewed=dict(sorted(Counter(life.renewals for life in lives).items())),
        failures=dict(failures.most_common()),
        lost=lost,
    )


def _unheard(_text: str) -> None:
    """A fleet has nobody at its devices."""
