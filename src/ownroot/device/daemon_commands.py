"""`ownroot-device daemon`."""

import json
import sys
from pathlib import Path

import click

from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.console.stopping import Stopping
from ownroot.console.text import printable
from ownroot.device.config import ConfigPlaces
from ownroot.device.config_handlers import HandlerPlaces
from ownroot.device.config_options import config_options, directory_option, json_option
from ownroot.device.daemon import Daemon
from ownroot.device.identity import load_identity
from ownroot.device.visit import Visitor


@click.command(epilog=EXIT_CODES_HELP)
@click.option(
    "--period",
    "period_seconds",
    metavar="SECONDS",
    type=click.IntRange(1, 86_400),
    default=300,
    show_default=True,
    envvar="DAEMON_INTERVAL",
    help="Between two check-ins, with a tenth of jitter.",
)
@config_options
@directory_option
@json_option
def daemon(  # noqa: PLR0913 - one parameter an option
    *, period_seconds: int, secrets_dir: Path, handlers_dir: Path, actions_dir: Path, directory: Path, as_json: bool
) -> None:
    """Check in again and again, and renew the certificate in time, until SIGTERM.

    A certificate is renewed at two thirds of its life, or up to a tenth of it later so that a fleet does not come at
    once, and when the owner says so (`ownroot devices config rotate-certs`). What fails is tried again, later each
    time and never sooner than the server asks for. One line for each thing that happens; with --json, one object.

    \b
    Example:
      ownroot-device daemon --period 60
    """

    def tell(name: str, text: str) -> None:
        click.echo(json.dumps({"event": name, "detail": text}) if as_json else f"{name}: {printable(text)}")

    identity = load_identity(directory)
    places = ConfigPlaces(directory, secrets_dir, actions_dir)
    handlers = HandlerPlaces(handlers_dir, directory, sys.argv[0])
    visitor = Visitor(places, handlers, lambda text: tell("warning", text))
    with Stopping.on_signals() as stopping:
        tell("started", f"{identity.server} is visited every {period_seconds} s.")
        Daemon(visitor, period_seconds=period_seconds, tell=tell).follow(stopping)
    tell("stopped", "As asked.")
