"""What can go wrong inside the CDP; each message is one sentence that says what to do next."""


class CdpError(Exception):
    """Something the caller can tell a user as it stands."""


class DatabaseUnavailable(CdpError):
    """The database cannot be reached."""


class NotMigrated(CdpError):
    """The schema is missing or older than this version."""


class InvalidField(CdpError):
    """A person field's name, type or rule cannot be used."""


class LeaseLost(CdpError):
    """Another worker owns the run now; nothing more may be written under this lease."""


class Unsettled(CdpError):
    """People have not been brought up to date with the configuration yet."""


class ErasureKeyMissing(CdpError):
    """Tombstones cannot be read, so it cannot be told what must not be stored."""


class NotDecidable(CdpError):
    """A decision about people cannot be taken, or taken back, as things are."""


class EventsForgotten(CdpError):
    """A follower of the feed asks for events that are kept no more."""


class MalformedBatch(CdpError):
    """A row has another number of columns than its batch: the batch was cut off, and has to be read again."""
