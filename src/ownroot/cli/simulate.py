"""`ownroot simulate`: a fleet against a real server, with a progress bar."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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

    \b
    Example:
      ownroot simulate --devices 100 --rounds 3
    """
    from ownroot.sim.fleet import FleetPlan, run_fleet

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
        report = run_fleet(plan, progress)
    if as_json:
        output.document(report)
    else:
        _print_report(output, report)
    return ExitCode.OK if report.is_clean else ExitCode.UNAVAILABLE


@contextmanager
def _workplace(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="ownroot-fleet-") as temporary:
        yield Path(temporary)


def _print_report(output: Output, report: "FleetReport") -> None:
    for name, step in (("registrations", report.registrations), ("check-ins", report.check_ins)):
        output.line(f"{name:<14} {_sentence(step)}")


def _sentence(step: "Tally") -> str:
    failed = "; ".join(f"{count} failed: {code}" for code, count in step.failures.items()) or "none failed"
    speed = f"{step.per_second:.0f}/s, median {step.median_ms:.0f} ms, p99 {step.p99_ms:.0f} ms"
    return f"{step.done} done ({speed}), {failed}"
