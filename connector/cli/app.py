"""The application object, its groups of commands, and what they share."""

from typing import Annotated

import typer

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
