"""The operator's commands: serve, factory, backup, restore. They work on the server's own data directory.

The server half of the package is imported when a command runs, so that `--help` is quick and an owner's laptop needs
neither database driver nor web framework.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ownroot.cli.operator_options import CONFIG_OPTION, DATA_OPTION, DATABASE_OPTION, JSON_OPTION
from ownroot.console.lazy import LazyCommand, LazyGroup
from ownroot.console.text import counted

if TYPE_CHECKING:
    from ownroot.bootstrap import BackupManifest, ServeReport


_SERVE_OPTIONS = (
    DATA_OPTION,
    CONFIG_OPTION,
    click.option("--api", metavar="HOST:PORT", help="Where the API listens. [default: 127.0.0.1:8000]"),
    click.option("--gateway", metavar="HOST:PORT", help="Where the device gateway listens. [default: 0.0.0.0:8443]"),
    click.option(
        "--gateway-name",
        metavar="DNS",
        help="Base name of the gateway; fixed from the first start on. [default: gateway.localhost]",
    ),
    click.option("--est", metavar="HOST:PORT", help="A second listener for certificate renewal alone. [default: none]"),
    click.option(
        "--workers", type=click.IntRange(min=1), help="Gateway processes. [default: one per processor, at least 2]"
    ),
    click.option(
        "--api-tls",
        nargs=2,
        metavar="CERT KEY",
        type=click.Path(),
        help="Serve the API over TLS; wanted beyond loopback.",
    ),
    click.option(
        "--behind-proxy",
        multiple=True,
        metavar="CIDR",
        help="A proxy in front of the API; its X-Forwarded headers count.",
    ),
    DATABASE_OPTION,
    click.option("--json-ready", is_flag=True, help="When ready, print one line of JSON instead of text."),
)


def _serve_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SERVE_OPTIONS):
        function = option(function)
    return function


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    lazy={
        "registration": LazyCommand(
            "ownroot.cli.registration:registration", "Register devices on a factory floor, with a local device CA."
        ),
    },
)
@_serve_options
@click.pass_context
def serve(context: click.Context, /, **_options: object) -> None:
    """Run the server: API and device gateway, or only one part of it. Ctrl-C stops it.

    \b
    Examples:
      ownroot serve --gateway-name gateway.example.com
      ownroot serve registration --pki-dir ~/acme-pki
    """
    if context.invoked_subcommand is None:
        _serve(context, None)
    elif context.invoked_subcommand == "registration" and _given(context):
        raise click.UsageError("The options of the registration server stand behind its name.")


@serve.command("api", epilog="\b\nExample:\n  ownroot serve api --data /var/lib/ownroot --api 127.0.0.1:8000\n")
@_serve_options
@click.pass_context
def serve_api(context: click.Context, /, **_options: object) -> None:
    """The API alone."""
    _serve(context, "api")


@serve.command(
    "gateway", epilog="\b\nExample:\n  ownroot serve gateway --data /var/lib/ownroot --gateway 0.0.0.0:8443\n"
)
@_serve_options
@click.pass_context
def serve_gateway(context: click.Context, /, **_options: object) -> None:
    """The device gateway alone."""
    _serve(context, "gateway")


def _serve(context: click.Context, part: str | None) -> None:
    from ownroot.bootstrap import Options, Place, run_server

    # Options may stand before the part as well as behind it.
    before = _given(context.parent) if part is not None and context.parent is not None else {}
    chosen = context.params | before | _given(context)

    def say(report: "ServeReport") -> None:
        for line in _ready_lines(report, as_json=chosen["json_ready"]):
            click.echo(line)

    names = ("api", "gateway", "gateway_name", "est", "workers", "api_tls", "behind_proxy", "database")
    options = Options(**{name: chosen[name] for name in names})
    run_server(Place(chosen["data"], chosen["config_file"]), options, part, say)


def _given(context: click.Context) -> dict[str, Any]:
    """Return the options that somebody typed."""
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


@click.group(epilog="\b\nExample:\n  ownroot factory create acme --owner alice --data /var/lib/ownroot\n")
def factory() -> None:
    """Factories on this server."""


@factory.command("create", epilog="\b\nExample:\n  ownroot factory create acme --owner alice --data /var/lib/ownroot\n")
@click.argument("name")
@click.option("--owner", metavar="NAME", help="The owner's account; made if new. [default: NAME-owner]")
@click.option(
    "--gateway-name", metavar="DNS", help="Its gateway name. [default: NAME.<base name>; the base name for the first]"
)
@click.option("--default", "default", is_flag=True, help="Answer for the base name and for devices that send no name.")
@DATA_OPTION
@CONFIG_OPTION
@DATABASE_OPTION
@JSON_OPTION
def create_factory(
    name: str,
    owner: str | None,
    gateway_name: str | None,
    default: bool,
    data: Path | None,
    config_file: Path | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Make a factory, its owner, and the owner's token, which is printed once."""
    from ownroot.bootstrap import Options, Place, make_factory

    options = Options(gateway_name=gateway_name, database=database)
    made = make_factory(Place(data, config_file), name, options, owner=owner, default=default)
    if as_json:
        user = {"polis-id": made.owner.polis_id, "name": made.owner.name}
        document = {"factory": made.factory.name, "owner": user, "token": made.token}
        click.echo(json.dumps(document | {"gateway-name": made.factory.gateway_name}))
        return
    click.echo(f"Factory {made.factory.name} is ready. Devices reach it as {made.factory.gateway_name}.")
    if made.factory.gateway_name.endswith(".localhost"):
        click.echo(
            "That name works on this machine alone, and a factory keeps its name for ever. For devices elsewhere, "
            "begin with a new data directory and `ownroot serve --gateway-name DNS`.",
            err=True,
        )
    click.echo(f"Owner: {made.owner.name} ({made.owner.polis_id})")
    click.echo(f"Token, shown this once: {made.token}")
    click.echo("Next, the owner runs `ownroot login --token` and then `ownroot keys ca create` to take over its keys.")


@click.command(epilog="\b\nExample:\n  ownroot backup /backups/ownroot-2026-11-26.tar --data /var/lib/ownroot\n")
@click.argument("file", type=click.Path(path_type=Path))
@DATA_OPTION
@CONFIG_OPTION
@DATABASE_OPTION
@JSON_OPTION
def backup(file: Path, data: Path | None, config_file: Path | None, database: str | None, as_json: bool) -> None:
    """Write a backup of the server's data to FILE, while it serves or not. The key-encryption key is not in it."""
    from ownroot.bootstrap import Options, Place, back_up_server

    made = back_up_server(Place(data, config_file), file, Options(database=database))
    if as_json:
        click.echo(_manifest_json(made))
        return
    click.echo(f"Wrote {file}: {_content(made)}, as of {made.made_at:%FT%TZ}.")
    click.echo(f"Audit log's root hash: {made.audit_root}")
    click.echo(f"It comes back only with the key-encryption key it belongs to (kek-check {made.kek_check}).")
    click.echo("Keep that one in another place: both together reveal all of the server's private keys.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@DATA_OPTION
@CONFIG_OPTION
@DATABASE_OPTION
@JSON_OPTION
def restore(file: Path, data: Path | None, config_file: Path | None, database: str | None, as_json: bool) -> None:
    """Make the backup FILE the data of a server that is not there yet.

    The data directory is new, or holds the key-encryption key and nothing else. Devices with certificates issued since
    the backup are held until their owners have looked at them (`ownroot devices held`).

    \b
    Example:
      ownroot restore /backups/ownroot-2026-11-26.tar --data /var/lib/ownroot-new
    """
    from ownroot.bootstrap import Options, Place, restore_server

    restored = restore_server(Place(data, config_file), file, Options(database=database))
    if as_json:
        click.echo(_manifest_json(restored))
        return
    at = f"{restored.made_at:%FT%TZ}"
    click.echo(f"Restored {_content(restored)}, as of {at}.")
    click.echo(_NOT_IN_IT.format(at=at))


_NOT_IN_IT = """
This server does not know what was decided after {at}.
Held for review, and refused until their owners let them in (`ownroot devices held`, then accept or refuse):
- devices registered since, and devices whose key was renewed since: those with a certificate that the server does not
  remember, or that a local device CA dated between then and now.
NOT found out by that. Keep devices away until it is settled: run `ownroot serve api` alone first.
- Device CAs revoked or disabled since would be TRUSTED AGAIN. Every owner compares `ownroot keys ca show` with their
  own records and sends such revocations again.
- Where a factory's TLS key, online CA or root was changed since, the former ones are TRUSTED AGAIN; the owner changes
  them again.
- Devices deleted since are let in again, for their denials are gone: delete them again.
- Users, passwords, roles, tokens and OAuth clients are those of then; a token made since does not work, one removed
  since works again, and so does a password that was changed since."""


def _manifest_json(manifest: "BackupManifest") -> str:
    import msgspec

    return msgspec.json.encode(manifest).decode()


def _content(manifest: "BackupManifest") -> str:
    return f"{counted(manifest.devices, 'device')} and {counted(manifest.audit_size, 'audit event')}"


def _ready_lines(report: "ServeReport", *, as_json: bool) -> list[str]:
    import msgspec

    if as_json:
        return [msgspec.json.encode(report).decode()]
    lines = []
    if report.api is not None:
        lines.append(f"api listening on {report.api}")
    if report.gateway is not None:
        plural = "" if report.workers == 1 else "s"
        lines.append(
            f"gateway listening on {report.gateway} ({report.workers} worker{plural}) as {report.gateway_name}"
        )
    if report.est is not None:
        lines.append(f"EST listening on {report.est}")
    return lines
