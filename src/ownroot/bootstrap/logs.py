"""Logs on stderr: lines for people on a terminal, JSON for programs elsewhere. No private key, no token in either."""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.types import EventDict, Processor

_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)|own_[\w-]{43}", re.S
)
_REDACTED = "[redacted]"


def set_up_logs(level: str, **bound: object) -> None:
    """Send our own log and those of the libraries through one formatter.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        bound: said in every line of this process (its part, its worker number).
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Formatted here, without local variables: frames of ours hold keys.
        structlog.processors.format_exc_info,
        redact_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
    _route_library_logs(level, shared)


def redact_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Blot out private keys and tokens, wherever in an event they stand. A safety net; nothing should reach it."""
    return {name: _redacted(value) for name, value in event.items()}


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return _SECRETS.sub(_REDACTED, value)
    if isinstance(value, bytes):
        return _SECRETS.sub(_REDACTED, value.decode("latin-1"))
    return value


def _route_library_logs(level: str, shared: list[Processor]) -> None:
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Libraries tell at `info` what an operator cannot use.
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "asyncio", "httpx2"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
