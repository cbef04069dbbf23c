"""Times as they are stored: Unix seconds."""

from datetime import UTC, datetime


def to_seconds(at: datetime) -> int:
    """Return the stored form of an aware time."""
    return int(at.timestamp())


def from_seconds(seconds: int) -> datetime:
    """Return the aware UTC time of a stored one."""
    return datetime.fromtimestamp(seconds, UTC)
