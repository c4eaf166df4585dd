"""Commands about notices: try whether they arrive."""

import typer

from connector import notifying
from connector.cli.app import Json, app
from connector.cli.output import print_lines, table
from connector.errors import ConnectorError
from connector.runtime import Runtime

notify = typer.Typer(help="Messages about sources that need attention or recovered.", no_args_is_help=True)
app.add_typer(notify, name="notify", rich_help_panel="Run")


@notify.command("test")
def notify_test(json: Json = False) -> None:
    """Send a test message to every destination of CONNECTOR_NOTIFY_URLS."""
    answers = notifying.test(Runtime().settings.notify_urls)
    if json:
        print_lines({"destination": label, "accepted": accepted} for label, accepted in answers)
    else:
        table(("destination", "accepted"), answers)
    if failed := [label for label, accepted in answers if not accepted]:
        raise ConnectorError(
            f"The message was not accepted by {', '.join(failed)}: check address, user and password of that URL, and "
            "that the host can be reached."
        )
