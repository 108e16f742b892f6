"""The help of a command with many options: in sections, the most needed first, the rest on request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import click

from nkca.cli.command import Command

Sections = Mapping[str, tuple[str, ...]]


class SectionedCommand(Command):
    """A command whose --help shows a few of its options, and --help-all all of them.

    `sections` maps each title to the names of its parameters, `needed_first` names those of --help.
    Options in no section, as --help itself, are shown last by both.
    """

    sections: ClassVar[Sections] = MappingProxyType({})
    needed_first: ClassVar[frozenset[str]] = frozenset()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section; all of them where --help-all was given."""
        shows_all = bool(ctx.meta.get(__name__))
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        records = {p.name: p.get_help_record(ctx) for p in options}
        of_sections = {name for names in self.sections.values() for name in names}
        rest = tuple(name for name in records if name is not None and name not in of_sections)
        for title, names in (*self.sections.items(), ("help", rest)):
            rows = [
                record
                for name in names
                if shows_all or name in self.needed_first or title == "help"
                if (record := records[name]) is not None
            ]
            if rows:
                with formatter.section(title.capitalize()):
                    formatter.write_dl(rows)


def help_all_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare --help-all, for a `SectionedCommand`."""

    def show(context: click.Context, _option: click.Parameter, is_given: bool) -> None:
        if is_given:
            context.meta[__name__] = True
            click.echo(context.get_help())
            context.exit()

    return click.option(
        "--help-all",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show all options and exit.",
    )
