"""A process that polls whenever it reads a line, as a worker does that has long been started."""

import sys

from cdp.db import transaction
from connector import runs, sources, sync
from connector.log import configure_logging
from connector.runtime import Runtime
from tests.bench.mapping import SOURCE


def main() -> None:
    """Poll once for each line of the input, and answer each with a line."""
    configure_logging()
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        source_id = sources.find(session, SOURCE).key
    for _ in sys.stdin:
        done = sync.execute(runtime, runs.request(runtime.database_url, source_id, "poll"))
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
