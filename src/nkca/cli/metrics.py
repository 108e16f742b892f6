"""nkca-metrics: announced, not there yet."""

import click

from nkca.cli.options import command
from nkca.errors import InputError


@command("nkca-metrics", ignore_unknown_options=True)
@click.argument("_arguments", nargs=-1, metavar="[ARGUMENT]...", type=click.UNPROCESSED)
def main(_arguments: tuple[str, ...]) -> None:
    """Measure samples against images: FID, IS and more. Not in this version yet."""
    raise InputError("this command is not in nkca yet; see CHANGELOG.md")


if __name__ == "__main__":
    main()
