"""`ownroot simulate factory-floor`: boards register at one server, and much goes wrong."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownroot.cli.options import json_option
from ownroot.cli.progress import progress_bar
from ownroot.console.exit_codes import EXIT_CODES_HELP, ExitCode
from ownroot.console.output import Output
from ownroot.console.text import counted

if TYPE_CHECKING:
    from ownroot.sim.factory_floor import FateReport, FloorReport

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("factory-floor", epilog=EXIT_CODES_HELP)
@click.option("--devices", type=click.IntRange(10, 1_000_000), default=1000, show_default=True, help="How many boards.")
@click.option("-f", "--factory", metavar="NAME", required=True, envvar="OWNROOT_FACTORY", help="Their factory.")
@click.option("--url", metavar="URL", help="Registration URL, used verbatim, as http://127.0.0.1:8090/sign.")
@click.option("--serve-from", metavar="DIR", type=_FOLDER, help="Or: start a server for this run, from this PKI.")
@click.option("--restarts", type=click.IntRange(0, 100), default=3, show_default=True, help="Kills of that server.")
@click.option("--cacert", type=_FILE, help="Trust the CAs in this PEM file too.")
@click.option("--faults", type=click.IntRange(0, 100), default=30, show_default=True, help="Percent of the boards.")
@click.option("--at-once", type=click.IntRange(1, 256), default=16, show_default=True, help="Boards at the same time.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same boards and faults.")
@json_option
def factory_floor(
    *,
    devices: int,
    factory: str,
    url: str | None,
    serve_from: Path | None,
    restarts: int,
    cacert: Path | None,
    faults: int,
    at_once: int,
    seed: int,
    as_json: bool,
) -> ExitCode:
    """Let many boards register at a registration server while answers get lost and power fails.

    The boards run the code of `ownroot-device`. Some lose the answer, repeat, lose power before or after it, or share a
    uuid with another board; impostors come with another factory, a bad CSR, or without being on the list. The exit code
    is 0 only if every device ends with one certificate and nobody else with any.

    With --serve-from the run has a server of its own, kills it in between, and compares its journal with what the
    devices hold. With --url the boards stay registered there; a token is taken from OWNROOT_TOKEN. If the first board
    is not registered there, the run ends with its error.

    \b
    Examples:
      ownroot simulate factory-floor --devices 10000 -f acme --serve-from ~/acme-pki
      ownroot simulate factory-floor --devices 200 -f acme --url http://127.0.0.1:8090/sign --json
    """
    from ownroot.sim.factory_floor import FloorPlan, run_floor

    if (url is None) == (serve_from is None):
        raise click.UsageError("Name a server (--url), or a PKI to start one from (--serve-from).")
    with _workplace() as place, progress_bar(as_json=as_json) as progress:
        plan = FloorPlan(
            factory=factory,
            devices=devices,
            fault_share=faults / 100,
            at_once=at_once,
            seed=seed,
            directory=place,
            url=url,
            serve_from=serve_from,
            restarts=restarts if serve_from is not None else 0,
            token=os.environ.get("OWNROOT_TOKEN") if url is not None else None,
            cacert=cacert,
        )
        report = run_floor(plan, progress)
    output = Output(as_json=as_json)
    if as_json:
        output.document(report)
    else:
        _print_report(output, report)
    return ExitCode.OK if report.is_clean else ExitCode.FAULT


@contextmanager
def _workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ownroot-floor-") as temporary:
        yield Path(temporary)


def _print_report(output: Output, report: "FloorReport") -> None:
    for fate in report.fates:
        if fate.boards:
            output.line(_fate_line(fate))
    speed = report.registrations
    known = "" if report.issued is None else f", {report.issued} in the server's journal"
    output.line(f"{counted(report.devices, 'device')}, {counted(report.certificates, 'certificate')}{known}")
    output.line(
        f"{counted(report.doubles, 'device')} with two, {counted(report.orphans, 'certificate')} without a device"
    )
    output.line(
        f"{speed.per_second:.0f}/s, median {speed.median_ms:.0f} ms, p99 {speed.p99_ms:.0f} ms, "
        f"{counted(report.restarts, 'restart')} of the server"
    )
    output.line("Everything ended as it should." if report.is_clean else "Not everything ended as it should.")


def _fate_line(fate: "FateReport") -> str:
    others = "".join(f", {count} {how}" for how, count in fate.otherwise.items())
    return f"{fate.fate:<25} {fate.as_expected} of {fate.boards} as expected{others}"
