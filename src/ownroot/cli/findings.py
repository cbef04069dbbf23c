"""What an examination finds: one thing somebody should look after, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """FAULT: something does not work, or trust is not what it should be. WARNING: it will, or may not be meant so."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing somebody should look after: a stable code, what is so, and what to do about it."""

    severity: Severity
    code: str
    detail: str
    next_step: str
