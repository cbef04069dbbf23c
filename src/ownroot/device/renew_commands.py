"""`ownroot-device renew`."""

import json
from pathlib import Path

import click

from ownroot.clock import utc_now
from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.device.config_options import directory_option, json_option, warn
from ownroot.device.identity import load_identity
from ownroot.device.renewal import renew as renew_certificate
from ownroot.device.renewal_order import own_order


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--est", metavar="URL", help="EST server, `/.well-known/est` included. [default: on the gateway's name]")
@directory_option
@json_option
def renew(*, est: str | None, directory: Path, as_json: bool) -> None:
    """Renew the certificate of this device now, over a new key.

    The present key stays good until the gateway has seen the new one. A run that was cut, by a lost network or a lost
    power supply, is simply repeated and goes on where it was; `check-in` and `daemon` do that by themselves.

    \b
    Example:
      ownroot-device renew
      ownroot-device renew --est https://gw.acme.example:8444/.well-known/est --json
    """
    order = own_order(load_identity(directory).server, utc_now(), est=est)
    done = renew_certificate(directory, order, warn)
    if done is None:
        raise AssertionError("only an order that was pushed is carried out once")
    ends = done.certificate.not_valid_after_utc
    if as_json:
        document = {"rotation": done.id, "resumed": done.resumed, "not-after": ends.isoformat()}
        click.echo(json.dumps(document, indent=2))
        return
    what = "An earlier renewal is done" if done.resumed else "Renewed over a new key"
    click.echo(f"{what}; the certificate ends on {ends:%Y-%m-%d}.")
