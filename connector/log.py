"""Structured logging: JSON in production, readable in a terminal, redaction last in the chain."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import stamina
import stamina.instrumentation
import structlog
import structlog.types

from connector.settings import settings

SECRET_NAMES = re.compile(r"token|secret|password|assertion|private_key|authorization|credential|verifier|cookie", re.I)
SECRET_TEXT = re.compile(r"00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]+|(?<=://)[^/@\s]+@|5Aep861[A-Za-z0-9._]+")
EMAIL_TEXT = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"',;]+")
REDACTED = "[redacted]"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets by name and by shape, and e-mail addresses; the last processor before the renderer."""
    for name, value in event.items():
        if SECRET_NAMES.search(name):
            event[name] = REDACTED
        elif isinstance(value, str):
            event[name] = EMAIL_TEXT.sub(REDACTED, SECRET_TEXT.sub(REDACTED, value))
    return event


def _renderer(log_format: str) -> structlog.types.Processor:
    if log_format == "text" or (log_format == "auto" and sys.stderr.isatty()):
        return structlog.dev.ConsoleRenderer()
    return structlog.processors.JSONRenderer()


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    get_logger().warning(
        "retry", attempt=details.retry_num, wait_seconds=round(details.wait_for, 1), reason=str(details.caused_by)
    )


def configure_logging() -> None:
    """Send structlog and the standard library's logging to stderr through one chain."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    tail = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, _renderer(settings().log_format)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=tail))
    logging.basicConfig(handlers=[handler], level=settings().log_level, force=True)
    for noisy in ("urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it writes whole URLs, with their secrets
    stamina.instrumentation.set_on_retry_hooks([_log_retry])
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def get_logger() -> structlog.stdlib.BoundLogger:
    """Return a logger bound to the context of the current run."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger
