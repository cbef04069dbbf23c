"""The one reader of the wall clock; everything else is handed `now`."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present as aware UTC in whole seconds, the resolution of X.509 times."""
    return datetime.now(UTC).replace(microsecond=0)
