"""Every authenticated request is a check-in; few of them are worth a write.

A visit is handed on when a value changed or a minute has passed since the last one of that device, and goes to the
store in batches. What is lost in a crash is at most the last second of visits; who may connect does not depend on
them, but for one choice of the operator: `if-never-seen` (services.reregistration) goes by what is stored.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from ownroot.gateway.backlog import Backlog
from ownroot.gateway.standing import CheckInValues, DeviceEntry
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceKey
from ownroot.services.record_check_ins import record_check_ins
from ownroot.services.records import CheckIn

_REPEAT_AFTER = timedelta(seconds=60)
# Longest values kept, in characters; what no device of the field sends is ignored rather than cut short.
_HEADERS: tuple[tuple[bytes, int], ...] = (
    (b"x-ats-tags", 512),
    (b"x-ats-target", 256),
    (b"x-ats-ostreehash", 128),
    (b"x-ats-dockerapps", 4096),
)


def read_values(headers: Mapping[bytes, bytes], known: CheckInValues) -> CheckInValues:
    """Return what is known after a request: present headers replace (an empty one too), absent ones keep.

    A value that is too long, not UTF-8 or not printable counts as absent (protocol: gateway.md §4.1).
    """
    values = known
    for index, (name, limit) in enumerate(_HEADERS):
        raw = headers.get(name)
        if raw is None:
            continue
        value = _readable(raw, limit)
        if value is not None and value != values[index]:
            changed = list(values)
            changed[index] = value
            values = (changed[0], changed[1], changed[2], changed[3])
    return values


def _readable(raw: bytes, limit: int) -> str | None:
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= limit and text.isprintable() else None


class CheckInRecorder(Backlog[DeviceKey, CheckIn]):
    """Collects visits of this process and writes them once a second."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "check_ins", record_check_ins)

    def note(
        self, entry: DeviceEntry, headers: Mapping[bytes, bytes], now: datetime, *, not_after: datetime | None = None
    ) -> None:
        """Remember a visit; values are known at once, the store hears of them within a second.

        Args:
            not_after: end of the certificate the device came with.
        """
        values = read_values(headers, entry.values)
        recorded_at = entry.recorded_at
        is_known = values is entry.values and not_after == entry.not_after
        if is_known and recorded_at is not None and now - recorded_at < _REPEAT_AFTER:
            return
        entry.values = values
        entry.not_after = not_after
        entry.recorded_at = now
        self.put(entry.key, CheckIn(*entry.key, now, *values, not_after))
