"""Health of a source: every check says how it stands, what was found and what to do, each in a sentence."""

from cdp.db import transaction
from cdp.models import Source
from connector.checks import Finding
from connector.health.asked import asked
from connector.health.stored import stored
from connector.runtime import Runtime


def health(runtime: Runtime, source_id: int) -> list[Finding]:
    """Check a source: what is stored of it, and what its org answers now. Writes nothing."""
    with transaction(runtime.database_url) as database:
        source = database.get_one(Source, source_id)
        found = list(stored(runtime, database, source))
    return [*found, *asked(runtime, source)]
