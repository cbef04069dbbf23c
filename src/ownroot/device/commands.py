"""The verbs of `ownroot-device`."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from ownroot.client.registration import RegistrationEndpoint
from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.console.text import printable
from ownroot.device import registration
from ownroot.device.check_in import check_in as greet
from ownroot.device.check_in import open_gateway
from ownroot.device.config import ConfigPlaces
from ownroot.device.config_handlers import HandlerPlaces
from ownroot.device.config_options import config_options, directory_option, json_option, warn
from ownroot.device.identity import load_identity
from ownroot.device.renewal import Renewed, renew, resume_renewal
from ownroot.device.renewal_order import ORDER_FILE
from ownroot.device.token_options import chosen_token, key_place, token_options
from ownroot.device.visit import Visitor
from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.keystore.pins import is_pin_refused


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--api", "api_url", required=True, envvar="OWNROOT_DEVICE_API", help="Registration URL, used verbatim.")
@click.option("--factory", required=True, envvar="DEVICE_FACTORY", help="Factory this device will belong to.")
@click.option("--token", envvar="OWNROOT_TOKEN", help="API token with the scope devices:create. [env: OWNROOT_TOKEN]")
@click.option("--token-header", default="OSF-TOKEN", show_default=True, help="Header that carries the token.")
@click.option("--cacert", type=click.Path(path_type=Path), help="PEM roots to believe besides the system's.")
@click.option("--uuid", help="Name in the certificate; made from the key by default, so that a repeat keeps it.")
@click.option("--name", help="Display name; the uuid by default.")
@click.option("--hardware-id", default=registration.default_hardware_id, help="Kind of hardware.")
@click.option("--tags", default="main", show_default=True, help="Tags whose updates this device follows.")
@click.option("--group", help="Device group to join; it must exist.")
@click.option("--production", is_flag=True, help="Mark this as a production device in its certificate.")
@click.option("--force", is_flag=True, help="Register again over an earlier registration. The key is kept.")
@token_options
@directory_option
@json_option
def register(  # noqa: PLR0913 - one parameter an option
    *,
    api_url: str,
    factory: str,
    token: str | None,
    token_header: str,
    cacert: Path | None,
    uuid: str | None,
    name: str | None,
    hardware_id: str,
    tags: str,
    group: str | None,
    production: bool,
    force: bool,
    hsm_module: Path | None,
    hsm_so_pin: str | None,
    hsm_pin: str | None,
    directory: Path,
    as_json: bool,
) -> None:
    """Make a key, get a certificate for it, and keep both.

    The key is made here, in a file or on a token, and never leaves. A run that was cut, by a lost network or a lost
    power supply, is simply repeated: the same key is used again and the server answers with the same certificate. The
    answer is checked before anything of it is written.

    \b
    Example:
      OWNROOT_TOKEN=... ownroot-device register --api https://api.example.com/ota/devices/ --factory acme
      ownroot-device register --api https://line.example.com/sign --factory acme --hsm-module /usr/lib/libtpm2_pkcs11.so
    """
    token_access = chosen_token(hsm_module, hsm_so_pin, hsm_pin)
    wish = registration.RegistrationWish(
        factory=factory,
        directory=directory,
        uuid=uuid,
        name=name,
        hardware_id=hardware_id,
        tags=tags,
        group=group,
        production=production,
    )
    with (
        RegistrationEndpoint(api_url, token=token, token_header=token_header, cacert=cacert) as endpoint,
        key_place(directory, token_access) as place,
    ):
        done = registration.register(wish, endpoint.register, place=place, replace=force)
    ends = done.certificate.not_valid_after_utc
    if as_json:
        _print_json({"uuid": done.uuid, "directory": str(directory), "not-after": ends.isoformat()})
        return
    # The key alone does not tell whether an earlier run was refused, or got a certificate and lost it.
    kept = ", with the key that was here" if done.resumed else ""
    click.echo(f"Registered {done.uuid}{kept}; its certificate ends on {ends:%Y-%m-%d}. Files are in {directory}.")


@click.command("check-in", epilog=EXIT_CODES_HELP)
@config_options
@directory_option
@json_option
def check_in(*, secrets_dir: Path, handlers_dir: Path, actions_dir: Path, directory: Path, as_json: bool) -> None:
    """Visit the gateway once: prove who this device is, say what it runs, fetch its configuration and carry it out.

    Files of the configuration go below the secrets directory, readable by their owner alone; programs that it names
    run only from the handlers directory.

    Hardware, network and settings are sent along when they have changed; the PIN of a token is left out.

    \b
    Example:
      ownroot-device check-in --dir /var/sota --secrets-dir /run/secrets
    """
    places = ConfigPlaces(directory, secrets_dir, actions_dir)
    visitor = Visitor(places, HandlerPlaces(handlers_dir, directory, sys.argv[0]), warn)
    is_free, renewed = _tried(lambda: _go_on(visitor))
    visit = visitor.visit()
    if renewed is None and (is_free or ORDER_FILE in visit.config.changed):
        _, renewed = _tried(lambda: _follow_order(visitor))
    identity, device, done = visit.identity, visit.device, visit.config
    for fault in visit.faults:
        click.echo(f"Warning: not reported, {printable(fault)}", err=True)
    if as_json:
        config = {"new": done.is_new, "changed": done.changed, "removed": done.removed}
        _print_json({**device, "config": config, "renewed": None if renewed is None else renewed.id})
        return
    click.echo(f"{identity.server} knows this device as {device.get('name')} ({device.get('uuid')}).")
    if done.changed or done.removed:
        click.echo(f"Configuration: {len(done.changed)} file(s) written, {len(done.removed)} removed.")
    if renewed is not None:
        ends = renewed.certificate.not_valid_after_utc
        click.echo(f"Renewed, as the owner ordered ({renewed.id}); the new certificate ends on {ends:%Y-%m-%d}.")


@click.command(epilog=EXIT_CODES_HELP)
@directory_option
@json_option
def whoami(*, directory: Path, as_json: bool) -> None:
    """Show what the gateway knows of this device. Asking counts as a check-in.

    \b
    Example:
      ownroot-device whoami --json
    """
    identity = load_identity(directory)
    with open_gateway(identity) as gateway:
        device = greet(identity, gateway)
    if as_json:
        _print_json(device)
        return
    for label, value in _rows(device):
        click.echo(f"{label:<12} {value}")


def _follow_order(visitor: Visitor) -> Renewed | None:
    order = visitor.pushed_order()
    return None if order is None else renew(visitor.directory, order, warn)


def _go_on(visitor: Visitor) -> Renewed | None:
    order = None
    with suppress(InvalidInputError):  # told when the order would begin a renewal
        order = visitor.pushed_order()
    return resume_renewal(visitor.directory, warn, order)


def _tried(work: Callable[[], Renewed | None]) -> tuple[bool, Renewed | None]:
    """Renew if there is cause to; False: in vain. That must not keep the owner's word away."""
    try:
        return True, work()
    except OwnrootError as error:
        if is_pin_refused(error):
            raise
        warn(f"The renewal of this device's certificate goes on later: {error.detail}")
        return False, None


def _rows(device: dict[str, object]) -> list[tuple[str, object]]:
    members = ("uuid", "name", "factory", "owner", "tag", "created_at", "last_seen")
    return [(member.replace("_", " "), _readable(member, device.get(member))) for member in members]


def _readable(member: str, value: object) -> object:
    if member.endswith(("_at", "_seen")) and isinstance(value, int | float):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return "-" if value in (None, "") else value


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2))
