"""Where this process lives: the database and the broker, embedded or given, and the rules of the installation."""

from functools import cached_property

from cdp.merging import Identity
from connector import embedded
from connector.settings import Settings, settings
from connector.vault import Vault, vault_for


class Runtime:
    """The services of one installation; what is not used is not started."""

    def __init__(self, chosen: Settings | None = None) -> None:
        self.settings = chosen or settings()

    @cached_property
    def database_url(self) -> str:
        """The database as a libpq URL; starts the embedded server when no other is set."""
        given = self.settings.database_url
        return given.get_secret_value() if given else embedded.services(self.settings.home, redis=False).database_url

    @cached_property
    def broker_url(self) -> str:
        """The broker as Celery reads it; starts the embedded server when no other is set."""
        given = self.settings.redis_url
        return given.get_secret_value() if given else embedded.services(self.settings.home, postgres=False).redis_url

    @cached_property
    def vault(self) -> Vault:
        """Opens and seals stored credentials."""
        return vault_for(self.settings)

    @property
    def identity(self) -> Identity:
        """The configured rules of merging; the database compares placeholders as keys."""
        return Identity(self.settings.max_records_per_key, tuple(sorted(set(self.settings.never_merge))))
