"""When the end of a device's certificate becomes somebody's business, by how often the device is seen.

A device renews its certificate itself, but only while it is there. So the time it needs before the end is measured in
its own absences: with three of them ahead, two visits may fail and the third still renews. The longest absence counts,
the one under way included, and never less than a day, because days are what is counted in.

* **Last safe day** of a certificate: the day of its end less three absences of its device.
* A device away for 30 days or more is **rarely seen**. It would need a quarter of a year and more, which says nothing
  about the others, so it is counted by itself; so is a device that was **never seen**, whose rhythm nobody knows.
* An absence is forgotten slowly: each day on which the device is there again takes off an eighth of a day. So half a
  year in a warehouse counts for four years, and one missed weekend for a fortnight.
"""

from datetime import date, timedelta
from typing import Final

ABSENCES: Final = 3
RARELY_SEEN: Final = timedelta(days=30)
EIGHTHS: Final = 8
"""Absences are kept in eighths of a day: what a day of presence takes off is a whole number then."""


def longest_absence(known: int, *, last_seen: date, seen: date) -> int:
    """Return the longest absence in eighths of a day, after a visit.

    Args:
        known: what it was before, in eighths of a day.
        last_seen: the UTC day of the visit before; `seen`: of this one, not earlier.
    """
    gap = (seen - last_seen).days
    return max(gap * EIGHTHS, known - gap)


def current_absence(known: int, *, last_seen: date, today: date) -> timedelta:
    """Return the absence to reckon with today: the longest, or the one under way, at least a day.

    Whole eighths of a day. A day that is over without a visit is the first one that counts as away.
    """
    eighths = max(known, (today - last_seen).days * EIGHTHS, EIGHTHS)
    return timedelta(days=1) * eighths / EIGHTHS


def last_safe_day(end: date, absence: timedelta) -> date:
    """Return the last UTC day on which a device with this absence may still be waited for; the day itself counts."""
    return end - timedelta(days=-(-ABSENCES * absence // timedelta(days=1)))
