"""`ownroot targets`: what devices may install, by tag."""

from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

_tag_option = click.option("--tag", metavar="TAG", default="main", show_default=True, help="Whose devices get it.")
_prod_option = click.option("--prod", is_flag=True, help="For production devices; your targets key signs.")
_keys_option = click.option(
    "-k",
    "--keys",
    metavar="KEYS.tgz",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --prod: the key file with your targets key.",
)
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    cls=OrderedGroup,
    epilog="""\b
Examples:
  ownroot targets add lmp-7 --tag main --file image.bin --hardware-id raspberrypi4-64
  ownroot targets list --tag main
""",
)
def targets() -> None:
    """Publish what devices may install, look at it, take it back."""


@targets.command(
    epilog="""\b
Examples:
  ownroot targets add lmp-7 --tag main --file image.ostree.sig --hardware-id raspberrypi4-64
  ownroot targets add lmp-7 --sha256 4f6c...e1 --length 0 --format OSTREE --app shop=hub.example.com/shop@sha256:ab...
  ownroot targets add lmp-7 --prod -k release-keys.tgz --yes
"""
)
@click.argument("name", metavar="NAME")
@_tag_option
@click.option(
    "--file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Measure its content."
)
@click.option("--sha256", metavar="HEX", help="The content's hash, 64 lower-case digits, when it is not at hand.")
@click.option("--length", metavar="BYTES", type=click.IntRange(min=0), help="Its length; 0 for an OSTree commit.")
@click.option("--version", metavar="N", help="`version` in custom. [default: the number at the end of NAME]")
@click.option("--hardware-id", "hardware_ids", metavar="ID", multiple=True, help="Which hardware. Repeatable.")
@click.option("--format", "target_format", metavar="FORMAT", help="`targetFormat` in custom, such as OSTREE.")
@click.option("--app", "apps", metavar="NAME=URI", multiple=True, help="A compose app. Repeatable.")
@click.option("--custom", metavar="JSON", help="More members of custom, as a JSON object.")
@_prod_option
@_keys_option
@_yes_option
@hsm_options()
@target_options
@json_option
def add(
    target: Target,
    hsm: HsmKeys | None,
    name: str,
    tag: str,
    file: Path | None,
    sha256: str | None,
    length: int | None,
    version: str | None,
    hardware_ids: tuple[str, ...],
    target_format: str | None,
    apps: tuple[str, ...],
    custom: str | None,
    prod: bool,
    keys: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Publish a target to a tag. What is published never changes; a new content has a new name.

    With --prod and nothing said of its content, the target is the one that test devices of the tag have by this name.
    """
    from ownroot.cli.target_entry import EntryOptions
    from ownroot.cli.targets_run import run_add, run_add_production

    if (file is not None and (sha256 or length is not None)) or (sha256 is None) != (length is None):
        raise click.UsageError("Give --file, or --sha256 and --length.")
    entry = EntryOptions(
        file=file,
        sha256=sha256,
        length=length,
        version=version,
        hardware_ids=hardware_ids,
        target_format=target_format,
        apps=_apps(apps),
        custom=custom,
    )
    if prod:
        run_add_production(target, hsm, _named(keys), name, tag, entry, assume_yes=yes, as_json=as_json)
        return
    if not entry.names_content:
        raise click.UsageError("Give --file, or --sha256 and --length.")
    run_add(target, name, tag, entry, as_json=as_json)


@targets.command(
    "list", epilog="\b\nExamples:\n  ownroot targets list\n  ownroot targets list --tag main --prod --json\n"
)
@_tag_option
@click.option("--prod", is_flag=True, help="Those of production devices.")
@target_options
@json_option
def list_(target: Target, tag: str, prod: bool, as_json: bool) -> None:
    """List the targets of a tag, verified as a device does."""
    from ownroot.cli.targets_run import run_list

    run_list(target, tag, production=prod, as_json=as_json)


@targets.command(epilog="\b\nExample:\n  ownroot targets show lmp-7 --tag main\n")
@click.argument("name", metavar="NAME")
@_tag_option
@click.option("--prod", is_flag=True, help="That of production devices.")
@target_options
@json_option
def show(target: Target, name: str, tag: str, prod: bool, as_json: bool) -> None:
    """Show a target as its document says it, verified as a device does."""
    from ownroot.cli.targets_run import run_show

    run_show(target, name, tag, production=prod, as_json=as_json)


@targets.command(
    epilog="""\b
Examples:
  ownroot targets prune lmp-3 lmp-4 --tag main
  ownroot targets prune --keep 10 --tag main --yes
  ownroot targets prune lmp-3 --prod -k release-keys.tgz
"""
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--keep", metavar="N", type=click.IntRange(min=1), help="All but the N with the highest version.")
@_tag_option
@_prod_option
@_keys_option
@_yes_option
@hsm_options()
@target_options
@json_option
def prune(
    target: Target,
    hsm: HsmKeys | None,
    names: tuple[str, ...],
    keep: int | None,
    tag: str,
    prod: bool,
    keys: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Take targets back. Devices that run one keep it; no device installs it any more."""
    from ownroot.cli.targets_run import Prune, run_prune, run_prune_production

    if bool(names) == (keep is not None):
        raise click.UsageError("Name the targets, or say how many to --keep.")
    what = Prune(names, keep)
    if prod:
        run_prune_production(target, hsm, _named(keys), tag, what, assume_yes=yes, as_json=as_json)
    else:
        run_prune(target, tag, what, assume_yes=yes, as_json=as_json)


def _named(keys: Path | None) -> Path:
    if keys is None:
        raise click.UsageError("--prod needs --keys: production devices ask for an offline signature.")
    return keys


def _apps(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [word.partition("=") for word in words]
    if not all(name and found and uri for name, found, uri in pairs):
        raise click.UsageError("--app takes NAME=URI.")
    return tuple((name, uri) for name, _, uri in pairs)
