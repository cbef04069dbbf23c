"""`ownroot serve registration`: a registration server for a factory floor.

Every option may stand in a TOML file instead (`--config`), under its name without the dashes in front.
"""

import os
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.errors import InvalidInputError, KeyStoreError
from ownroot.keystore.labels import HSM_PIN_VARIABLE

if TYPE_CHECKING:
    from ownroot.bootstrap.registration_front import RegistrationReport

_FILE = click.Path(path_type=Path, dir_okay=False)
_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")
_DATE = click.DateTime(_FORMATS)
_DAY_CHARS = len("2026-12-31")


def _read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Make what a file says the defaults of the options; paths in it are relative to it."""
    if path is None:
        return
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InvalidInputError("site-settings-unreadable", f"{path} cannot be read: {exc.strerror}.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidInputError("config-invalid", f"The configuration file {path}: {exc}.") from exc
    options = {str(option.name): option for option in context.command.params}
    values: dict[str, Any] = {}
    for key, value in document.items():
        option = options.get(key.replace("-", "_"))
        if option is None or option.name in ("config", "hsm_pin"):
            raise InvalidInputError("config-invalid", f"The configuration file {path}: there is no setting {key!r}.")
        _demand_kind(path, key, option, value)
        values[str(option.name)] = _beside(path, option, value)
    context.default_map = values


def _beside(path: Path, option: click.Parameter, value: Any) -> Any:
    """Return a value as the option takes it: dates as text, files beside the settings."""
    if isinstance(value, list):
        return [_beside(path, option, each) for each in value]
    if isinstance(option.type, click.DateTime):
        return value.isoformat() if isinstance(value, date) else value
    is_file = isinstance(option.type, click.Path) or (option.name == "hooks" and str(value).endswith(".py"))
    if not is_file:
        return value
    if not isinstance(value, str):
        raise InvalidInputError("config-invalid", f"The configuration file {path}: {option.name} is a path, in quotes.")
    return str(path.parent / value)


class _LastMoment(click.DateTime):
    """A moment, or a day: then its last second."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        moment = super().convert(value, param, ctx)
        return moment + timedelta(days=1, seconds=-1) if isinstance(value, str) and len(value) == _DAY_CHARS else moment


@click.command(epilog=EXIT_CODES_HELP)
@click.option(
    "--config", type=_FILE, is_eager=True, expose_value=False, callback=_read_config, help="Options, a TOML file."
)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Where the journal lies.")
@click.option(
    "--pki-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="A directory as `ownroot keys ca create --local-ca` makes it; the site needs four files of it.",
)
@click.option("--root", type=_FILE, help="The factory root. [default: factory_ca.pem in the PKI directory]")
@click.option("--ca", type=_FILE, help="The local device CA. [default: local-ca.pem there]")
@click.option("--ca-key", type=_FILE, help="Its key. [default: local-ca.key there]")
@click.option("--gateway-crt", "tls_crt", type=_FILE, help="The gateway's certificate. [default: tls-crt there]")
@click.option("--gateway-port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="For devices.")
@click.option("--hsm-module", type=_FILE, help="The CA's key is on a token: the PKCS#11 library of its vendor.")
@click.option("--hsm-token-label", metavar="LABEL", help="Which token.")
@click.option("--local-ca-hsm-label", metavar="LABEL", help="The key's label on the token.")
@click.option("--hsm-pin", metavar="PIN", help=f"Its PIN, visible to others here. [default: {HSM_PIN_VARIABLE}]")
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8090", show_default=True, help="Where to listen.")
@click.option("--name", multiple=True, metavar="DNS", help="A name devices reach it by; those in --tls count already.")
@click.option("--tls", nargs=2, type=_FILE, metavar="CERT KEY", help="Speak TLS; wanted beyond loopback.")
@click.option("--behind-proxy", multiple=True, metavar="CIDR", help="A proxy in front; its X-Forwarded headers count.")
@click.option("--client-ca", type=_FILE, help="Register only for stations with a certificate of this CA.")
@click.option("--require-token", is_flag=True, help="Register only with a token.")
@click.option(
    "--requests-per-minute", type=click.IntRange(0), default=600, show_default=True, help="Of one address; 0: no limit."
)
@click.option("--allow-list", type=_FILE, help="Register only these devices, a CSV or JSON file; read when it changes.")
@click.option("--quota", type=click.IntRange(0), help="How many certificates in all.")
@click.option("--quota-per-day", type=click.IntRange(0), help="How many certificates a day (UTC).")
@click.option("--opens", type=_DATE, metavar="DATE", help="Register nothing before (UTC).")
@click.option(
    "--closes", type=_LastMoment(_FORMATS), metavar="DATE", help="Register nothing after (UTC); a day is in whole."
)
@click.option(
    "--production",
    type=click.Choice(["allow", "forbid", "force"]),
    default="forbid",
    show_default=True,
    help="Who makes a device a production device: itself, nobody, or this site each of them.",
)
@click.option(
    "--reregister",
    type=click.Choice(["reject", "replace"]),
    default="reject",
    show_default=True,
    help="A known uuid with another key.",
)
@click.option("--group", metavar="NAME", help="The device group of all devices.")
@click.option("--validity-days", type=click.IntRange(1), help="Of a certificate; never longer than the CA's.")
@click.option(
    "--backdate-minutes",
    type=click.IntRange(0, 60),
    default=5,
    show_default=True,
    help="A certificate begins so long before it is made, for devices whose clock is behind.",
)
@click.option("--allow-rsa", is_flag=True, help="Accept RSA keys from 2048 bits.")
@click.option(
    "--api-url", metavar="URL", help="Announce devices to the backend, as https://api.example.com/ota/devices/"
)
@click.option("--api-token-file", type=_FILE, help="A token with the scope devices:create; mode 0600.")
@click.option("--api-cacert", type=_FILE, help="Roots to believe besides the system's, PEM.")
@click.option("--webhook-url", metavar="URL", help="Announce devices to a backend of your own.")
@click.option("--webhook-secret-file", type=_FILE, help="The secret that signs them; mode 0600.")
@click.option("--webhook-cacert", type=_FILE, help="Roots to believe besides the system's, PEM.")
@click.option(
    "--give-up-days", type=click.IntRange(1), default=14, show_default=True, help="How long an announcement is tried."
)
@click.option("--hooks", multiple=True, metavar="MODULE", help="Your own code: a module, or a .py file.")
@click.option("--hook-seconds", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Time of one call.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--json-ready", is_flag=True, help="When ready, print one line of JSON instead of text.")
def registration(*, json_ready: bool, **options: Any) -> None:
    """Register devices on a factory floor with a local device CA; no backend is needed for it.

    Devices get their certificate with POST /sign. Certificates, decisions and announcements that are still due are in
    the journal; see `ownroot registration`.

    \b
    Examples:
      ownroot serve registration --pki-dir ~/acme-pki --allow-list boards.csv
      ownroot serve registration --config site.toml
    """
    from ownroot.bootstrap.registration_front import RegistrationOptions, run_registration_server

    options["hsm_pin"] = _pin(
        options["hsm_module"], options["hsm_token_label"], options["local_ca_hsm_label"], options["hsm_pin"]
    )

    def say(report: "RegistrationReport") -> None:
        if json_ready:
            import msgspec

            click.echo(msgspec.json.encode(report))
            return
        click.echo(f"registering devices of {report.factory} at {report.registration}/sign")
        click.echo(f"devices will call {report.gateway}")

    run_registration_server(RegistrationOptions(**options), say)


def _pin(module: Path | None, token_label: str | None, key_label: str | None, pin: str | None) -> str | None:
    """Find the token's PIN; half of its options is a mistake."""
    if module is None:
        if token_label or key_label or pin:
            raise click.UsageError("--hsm-token-label, --local-ca-hsm-label and --hsm-pin need --hsm-module.")
        return None
    if not token_label or not key_label:
        raise click.UsageError("--hsm-module needs --hsm-token-label and --local-ca-hsm-label: where the CA's key is.")
    pin = pin or os.environ.get(HSM_PIN_VARIABLE)
    if not pin:
        raise KeyStoreError("pin-missing", f"The token {token_label!r} wants its PIN: set {HSM_PIN_VARIABLE}.")
    return pin


def _demand_kind(path: Path, key: str, option: click.Parameter, value: Any) -> None:
    """TOML tells numbers, switches and lists from text; click alone would take text for any of them, or fail oddly."""
    if option.multiple or option.nargs != 1:
        kind, is_right = "a list, in brackets", isinstance(value, list)
    elif isinstance(option, click.Option) and option.is_flag:
        kind, is_right = "true or false, without quotes", isinstance(value, bool)
    elif isinstance(option.type, click.IntRange | click.FloatRange):
        kind, is_right = "a number, without quotes", isinstance(value, int | float) and not isinstance(value, bool)
    else:
        return
    if not is_right:
        raise InvalidInputError("config-invalid", f"The configuration file {path}: {key} is {kind}.")
