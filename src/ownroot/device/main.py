"""`ownroot-device`: the program on the device."""

import sys

from ownroot.console.entry import run
from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.console.lazy import LazyCommand, LazyGroup

PROGRAM = "ownroot-device"

device = LazyGroup(
    name=PROGRAM,
    help="""Give this device an identity and use it.

    The identity lives in one directory (default /var/sota): the private key, unless it is on a token, the device
    certificate, the factory root that the gateway is checked with, and sota.toml, which says where the gateway is.

    \b
    Example:
      ownroot-device register --api https://api.example.com/ota/devices/ --factory acme
      ownroot-device check-in
    """,
    epilog=EXIT_CODES_HELP,
    lazy={
        "register": LazyCommand("ownroot.device.commands:register", "Make a key and get a certificate for it."),
        "check-in": LazyCommand("ownroot.device.commands:check_in", "Visit the gateway once."),
        "check-update": LazyCommand("ownroot.device.update_commands:check_update", "See whether there is an update."),
        "daemon": LazyCommand("ownroot.device.daemon_commands:daemon", "Check in and renew until it is ended."),
        "renew": LazyCommand("ownroot.device.renew_commands:renew", "Renew the certificate now."),
        "whoami": LazyCommand("ownroot.device.commands:whoami", "Show who this device is to its gateway."),
    },
)


def main() -> int:
    """Run the program; the entry point of the console script."""
    return run(device, PROGRAM)


if __name__ == "__main__":
    sys.exit(main())
