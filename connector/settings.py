"""The only reader of the environment: every setting, its default and its meaning."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from connector.errors import BadInput

NEVER_MERGE = (
    "noreply@example.com,no-reply@example.com,none@none.com,none@example.com,na@na.com,n/a@n/a.com,no@email.com,"
    "noemail@noemail.com,unknown@unknown.com,test@test.com,test@example.com,email@example.com,user@example.com,"
    "info@example.com,asdf@asdf.com,a@a.com,x@x.com,nobody@nowhere.com"
)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _of_scheme(given: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    if given is not None and given.get_secret_value().partition("://")[0] not in schemes:
        raise ValueError(f"it must be a URL that begins with {schemes[0]}://")
    return given


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Settings from `CONNECTOR_*` variables or `.env`; durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="CONNECTOR_", env_file=".env", extra="ignore")

    home: Path = Field(Path(".connector"), description="where the embedded services keep their data")
    database_url: SecretStr | None = Field(None, description="any PostgreSQL 17 or later; embedded when not set")
    redis_url: SecretStr | None = Field(None, description="broker; embedded when not set")
    encryption_keys: SecretStr | None = Field(None, description="comma-separated; the first encrypts, all decrypt")
    ca_bundle: Path | None = Field(None, description="extra CA file for Salesforce hosts")
    allowed_hosts: CommaSeparated = Field([], description="hosts a source may live on besides Salesforce's own")
    poll_interval: int = Field(300, ge=1, description="time between polls of a source")
    poll_overlap: int = Field(600, ge=0, description="how far a poll reaches back behind the last one")
    poll_jitter: float = Field(0.1, ge=0, le=1, description="share of the interval that polls are spread over")
    sweep_interval: int = Field(86400, ge=60, description="time between sweeps of a source")
    sweep_hour: int | None = Field(None, ge=0, le=23, description="hour in UTC at which sources are swept")
    api_share: float = Field(0.8, gt=0, le=1, description="share of the org's daily API calls never exceeded")
    org_concurrency: int = Field(2, ge=1, description="runs of one source that are worked on at once")
    task_limit: int = Field(1800, ge=120, description="a slice that takes longer is cut off")
    visibility_timeout: int = Field(3600, ge=180, description="after which the broker delivers a lost message again")
    bulk_threshold: int = Field(20000, ge=0, description="rows above which a read goes through Bulk API 2.0")
    max_records_per_key: int = Field(50, ge=1, description="an email held by more live records merges nobody")
    never_merge: CommaSeparated = Field(
        NEVER_MERGE, validate_default=True, description="comma-separated placeholder addresses that merge nobody"
    )
    notify_urls: SecretStr | None = Field(None, description="comma-separated Apprise URLs that are told of attention")
    run_retention: int = Field(2_592_000, ge=3600, description="how long ended runs are kept, besides the latest")
    event_retention: int = Field(7_776_000, ge=3600, description="how long the feed of changes is kept")
    dashboard_url: str | None = Field(None, description="where people reach the dashboard; loopback when not set")
    dashboard_proxies: CommaSeparated = Field(
        "127.0.0.1",
        validate_default=True,
        description="proxies that are believed whose requests they bring",
    )
    oidc_issuer: str | None = Field(None, description="identity provider that people may sign in through")
    oidc_client_id: str | None = Field(None, description="the dashboard's client id at the provider")
    oidc_client_secret: SecretStr | None = Field(None, description="its client secret")
    oidc_admins: CommaSeparated = Field([], description="e-mails, or claims as name=value, of those who are admins")
    oidc_viewers: CommaSeparated = Field([], description="the same for viewers; * is everybody the provider knows")
    log_format: str = Field(
        "auto", pattern="^(auto|json|text)$", description="json, text, or whichever fits the terminal"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level that is logged")

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, given: SecretStr | None) -> SecretStr | None:
        return _of_scheme(given, ("postgresql", "postgres"))

    @field_validator("dashboard_url", "oidc_issuer")
    @classmethod
    def _is_safe_origin(cls, given: str | None) -> str | None:
        parts = urlsplit(given or "https://none")
        loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and loopback)):
            raise ValueError("it must begin with https://, or with http:// on this machine")
        return given.rstrip("/") if given else None

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, given: SecretStr | None) -> SecretStr | None:
        return _of_scheme(given, ("redis", "rediss", "redis+socket", "unix", "sentinel"))


@lru_cache
def settings() -> Settings:
    """Return the process's settings, read once.

    Raises:
        BadInput: a variable has a value that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "CONNECTOR_" + str(first["loc"][0]).upper()
        raise BadInput(f"The setting {name} cannot be used ({first['msg']}): correct it and try again.") from None
