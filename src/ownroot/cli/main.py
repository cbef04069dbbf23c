"""The program `ownroot`: its groups by name, each imported when it is used."""

import sys

import click

from ownroot import __version__
from ownroot.console.entry import run
from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.console.lazy import LazyCommand, LazyGroup

PROGRAM = "ownroot"

_EPILOG = f"""\b
Examples:
  ownroot login --url https://api.example.com -f acme --token
  ownroot keys ca create ~/acme-pki
  ownroot keys ca show --pretty
  ownroot devices list

Settings come from the command line, then from OWNROOT_URL, OWNROOT_FACTORY and OWNROOT_TOKEN, then from the file that
`ownroot login` writes (another one: OWNROOT_CONFIG). NO_COLOR turns colours off.

{EXIT_CODES_HELP}
"""


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    lazy={
        "login": LazyCommand("ownroot.cli.login:login", "Keep address and token of a factory on this machine."),
        "logout": LazyCommand("ownroot.cli.login:logout", "Forget them."),
        "keys": LazyCommand("ownroot.cli.keys:keys", "Take over a factory's keys, look at them, change them."),
        "devices": LazyCommand("ownroot.cli.devices:devices", "List, show and delete devices."),
        "config": LazyCommand("ownroot.cli.config:config", "Configure a factory and its device groups."),
        "targets": LazyCommand("ownroot.cli.targets:targets", "Publish what devices may install, by tag."),
        "trust": LazyCommand("ownroot.cli.trust:trust", "Give your own API what it needs to trust the fleet."),
        "import": LazyCommand("ownroot.cli.import_fleet:import_fleet", "Move a fleet here, its PKI and its devices."),
        "doctor": LazyCommand("ownroot.cli.doctor:doctor", "Check a factory's PKI and say what needs looking after."),
        "forecast": LazyCommand("ownroot.cli.forecast:forecast", "What ends when, and until when to act."),
        "serve": LazyCommand("ownroot.cli.operator:serve", "Operator: run the server."),
        "factory": LazyCommand("ownroot.cli.operator:factory", "Operator: make factories on this server."),
        "user": LazyCommand("ownroot.cli.operator_users:user", "Operator: people on this server, their passwords."),
        "member": LazyCommand("ownroot.cli.operator_users:member", "Operator: who belongs to a factory, and as what."),
        "token": LazyCommand("ownroot.cli.operator_tokens:token", "Operator: make and revoke API tokens."),
        "client": LazyCommand("ownroot.cli.operator_tokens:client", "Operator: make and delete OAuth clients."),
        "backup": LazyCommand("ownroot.cli.operator:backup", "Operator: write a backup, while the server serves."),
        "restore": LazyCommand("ownroot.cli.operator:restore", "Operator: make a backup the data of a new server."),
        "registration": LazyCommand(
            "ownroot.cli.registration_journal:journal", "Operator: journal and announcements of a registration server."
        ),
        "simulate": LazyCommand("ownroot.cli.simulate:simulate", "Run a fleet of simulated devices against a server."),
        "completion": LazyCommand("ownroot.cli.completion:completion", "Print the completion script for a shell."),
    },
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show where an error came from; may stand anywhere.")
def ownroot() -> None:
    """A device gateway whose PKI the fleet's owner can take over completely."""


def main() -> None:
    """Run the program and leave with its exit code."""
    sys.exit(run(ownroot, PROGRAM))
