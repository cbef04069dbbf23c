"""`ownroot keys`: who holds which key."""

import click

from ownroot.console.lazy import LazyCommand, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "show": LazyCommand("ownroot.cli.keys_show:show", "Who holds what: PKI and TUF side by side."),
        "ca": LazyCommand("ownroot.cli.keys_ca:ca", "The factory's root, device CAs and gateway certificate."),
        "tuf": LazyCommand("ownroot.cli.keys_tuf:tuf", "TUF root and targets keys: which software is genuine."),
        "est": LazyCommand("ownroot.cli.keys_est:est", "The certificate of the EST server."),
    },
)
def keys() -> None:
    """Take over a factory's keys, look at them, change them."""
