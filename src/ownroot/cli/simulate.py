"""`ownroot simulate`: a fleet against a real server, with a progress bar."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownroot.cli.options import Target, json_option, target_options
from ownroot.cli.progress import progress_bar
from ownroot.console.exit_codes import EXIT_CODES_HELP, ExitCode
from ownroot.console.lazy import LazyCommand, LazyGroup
from ownroot.console.output import Output

if TYPE_CHECKING:
    from ownroot.sim.fleet import FleetReport
    from ownroot.sim.fleet_life import LifeDay, LifeReport
    from ownroot.sim.tally import Tally


@click.group(
    cls=LazyGroup,
    lazy={
        "factory-floor": LazyCommand(
            "ownroot.cli.factory_floor:factory_floor", "Let boards register while much goes wrong."
        )
    },
    invoke_without_command=True,
    epilog=EXIT_CODES_HELP,
)
@click.option("--devices", type=click.IntRange(1, 1_000_000), help="How many devices.")
@click.option("--rounds", type=click.IntRange(0), default=1, show_default=True, help="Check-ins of each device.")
@click.option(
    "--days", type=click.IntRange(1), help="Let the fleet live so long: check in now and then, renew in time."
)
@click.option(
    "--every",
    "every_days",
    type=click.IntRange(1),
    default=7,
    show_default=True,
    help="With --days: days between visits.",
)
@click.option("--at-once", type=click.IntRange(1, 256), default=8, show_default=True, help="Devices at the same time.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same devices.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the devices' identities here, for another run; thrown away by default.",
)
@target_options
@json_option
@click.pass_context
def simulate(
    context: click.Context,
    *,
    devices: int | None,
    rounds: int,
    days: int | None,
    every_days: int,
    at_once: int,
    seed: int,
    directory: Path | None,
    target: Target,
    as_json: bool,
) -> ExitCode | None:
    """Register a fleet of simulated devices and let them check in.

    They are real to the server: real keys, real certificates, real connections, through the code of `ownroot-device`.
    The token needs the scope devices:create. Delete the devices afterwards with `ownroot devices delete`. The exit
    code is 0 only if every device got through.

    With --days each device checks in every few days of the wall clock and renews its certificate by EST when it is due;
    a visit that failed is made again the next day. Then the exit code is 0 only if no device was lost: every one must
    still be let in at the end. That takes as long as it says, unless somebody moves the clock of server and fleet, as
    our tests do with libfaketime.

    \b
    Examples:
      ownroot simulate --devices 100 --rounds 3
      ownroot simulate --devices 20 --days 400 --every 10 --dir ./fleet
    """
    from ownroot.sim.fleet import FleetPlan, run_fleet
    from ownroot.sim.fleet_life import run_life

    if context.invoked_subcommand is not None:
        if devices is not None:
            raise click.UsageError(f"Options of {context.invoked_subcommand} come after its name.")
        return None
    if devices is None:
        raise click.UsageError("Missing option '--devices'.")
    access, output = target.access(), Output(as_json=as_json)
    with _workplace(directory) as place, progress_bar(as_json=as_json) as progress:
        plan = FleetPlan(
            registration_url=f"{access.url.rstrip('/')}/ota/devices/",
            token=access.token,
            factory=access.factory,
            devices=devices,
            rounds=rounds,
            at_once=at_once,
            seed=seed,
            directory=place,
            cacert=access.cacert,
        )
        if days is None:
            return _tell(output, run_fleet(plan, progress))
        told = partial(_print_day, output)
        return _tell_life(output, run_life(plan, days=days, every_days=every_days, progress=progress, told=told))


@contextmanager
def _workplace(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="ownroot-fleet-") as temporary:
        yield Path(temporary)


def _print_day(output: Output, day: "LifeDay") -> None:
    output.line(f"day {day.number:>4}: {day.check_ins} checked in, {day.renewals} renewed; {_failed(day.failures)}")


def _tell(output: Output, report: "FleetReport") -> ExitCode:
    if output.as_json:
        output.document(report)
    output.line(f"registrations  {_sentence(report.registrations)}")
    output.line(f"check-ins      {_sentence(report.check_ins)}")
    return ExitCode.OK if report.is_clean else ExitCode.UNAVAILABLE


def _tell_life(output: Output, report: "LifeReport") -> ExitCode:
    if output.as_json:
        output.document(report)
    output.line(f"registrations  {_sentence(report.registrations)}")
    output.line(
        f"{report.days} days: {report.check_ins} check-ins, {report.renewals} renewals; {_failed(report.failures)}"
    )
    for times, devices in report.renewed.items():
        output.line(f"{devices:>8} devices renewed {times} times")
    output.line(f"lost: {len(report.lost)}")
    for uuid in report.lost:
        output.line(f"  {uuid}")
    return ExitCode.OK if report.is_clean else ExitCode.UNAVAILABLE


def _failed(failures: Mapping[str, int]) -> str:
    return "; ".join(f"{count} failed: {code}" for code, count in failures.items()) or "none failed"


def _sentence(step: "Tally") -> str:
    speed = f"{step.per_second:.0f}/s, median {step.median_ms:.0f} ms, p99 {step.p99_ms:.0f} ms"
    return f"{step.done} done ({speed}), {_failed(step.failures)}"
