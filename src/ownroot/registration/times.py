"""Moments as the journal and the announcements write them: `2026-11-26T08:00:00Z`, which sorts as it reads."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=64)  # a registration writes its second four times, and shares it with many others
def time_text(moment: datetime) -> str:
    """Write aware UTC in whole seconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def parse_time(text: str) -> datetime:
    """Read what `time_text` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
