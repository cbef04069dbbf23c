"""`ownroot forecast`: everything of a factory that ends, and until when to act."""

import click

from ownroot.cli.options import Target, json_option, target_options


@click.command(
    epilog="""\b
Examples:
  ownroot forecast
  ownroot forecast --weeks 104
  ownroot forecast --json
"""
)
@click.option(
    "--weeks",
    metavar="N",
    type=click.IntRange(min=1, max=520),
    default=26,
    show_default=True,
    help="List device certificates by week this far; what ends later is one line for each device CA.",
)
@target_options
@json_option
def forecast(target: Target, weeks: int, as_json: bool) -> None:
    """Show what ends when: root, CAs, server certificates, device certificates by week, TUF documents.

    The last safe day of a week is the day on which the first of its devices has three of its longest absences left
    before its certificate ends. Devices away for 30 days and more, or never seen, are counted apart.
    """
    from ownroot.cli.forecast_run import show_forecast

    show_forecast(target, weeks=weeks, as_json=as_json)
