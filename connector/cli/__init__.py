"""The command line: every command takes --json, and every error is one sentence with the contract's exit code."""

import gc
import os
import sys
from importlib import import_module

from cdp.errors import CdpError
from connector import texts
from connector.cli.app import app as application
from connector.errors import ConnectorError
from connector.log import configure_logging, get_logger

INTERRUPTED = 130


# Commands that are started often, and the one room each needs: importing all of them takes longer than a small poll.
OFTEN = {"sync": "syncing", "sweep": "syncing", "backfill": "syncing"}


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 refused, 4 needs attention, 5 waiting."""
    sys.exit(_run())


def _run() -> int | str | None:
    try:
        configure_logging()
        import_module(f"connector.cli.{OFTEN.get(sys.argv[1], 'commands') if sys.argv[1:] else 'commands'}")
        texts.check(sys.argv)
        gc.enable()  # `connector.__main__` imports without
        gc.freeze()
        application()
    except SystemExit as end:  # Typer ends every command so, and has said what was wrong with its usage
        if end.code == INTERRUPTED:
            print("Interrupted: what was stored stays, and the next start goes on from there.", file=sys.stderr)
        return end.code
    except (ConnectorError, CdpError) as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the one place that keeps a traceback from the user
        get_logger().debug("unexpected", exc_info=True)
        print(
            f"Something unexpected happened ({type(error).__name__}): run it again with CONNECTOR_LOG_LEVEL=DEBUG and "
            "report what it prints.",
            file=sys.stderr,
        )
        return 1
    return 0
