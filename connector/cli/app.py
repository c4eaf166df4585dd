"""The application object, its groups of commands, and what they share."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

app = typer.Typer(
    name="connector",
    help="Keeps a customer data platform in step with any number of Salesforce orgs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
source = typer.Typer(help="Connect an org, and everything in the life of a data source.", no_args_is_help=True)
app.add_typer(source, name="source")
run = typer.Typer(help="Runs that are under way.", no_args_is_help=True)
app.add_typer(run, name="run", rich_help_panel="Move data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
SourceName = Annotated[str, typer.Argument(help="Name or id of the data source.", metavar="NAME")]
Here = Annotated[bool, typer.Option("--here", help="Work in this process instead of through the fleet.")]


class Changing(TyperCommand):
    """A command that changes something: the audit log says who ran it, on what, and how it ended."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own context and answer
        """Note the command around running it, unless it only tries."""
        from connector import audit  # noqa: PLC0415 - only commands that change something need it

        if ctx.params.get("dry_run"):
            return super().invoke(ctx)
        named = next((ctx.params[name] for name in SUBJECTS if ctx.params.get(name)), "")
        subject = ", ".join(named) if isinstance(named, list) else str(named)
        runtime = sys.modules[self.callback.__module__].Runtime()  # that of the command's own room
        with audit.noted(runtime.database_url, audit.shell(), ctx.command_path.partition(" ")[2], subject):
            return super().invoke(ctx)


# Parameters that say what a command changes; an email or a person, as of `erase`, is not among them.
SUBJECTS = ("name", "names", "field", "records", "decision")
