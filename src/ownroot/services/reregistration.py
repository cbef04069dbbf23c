"""A uuid that is known comes again with another key: a board whose answer got lost, one that was repaired, or a thief.

Which of these it is the server cannot see, so an operator decides beforehand, and the default is to refuse.

Source: registration.md §8.
"""

from enum import StrEnum

from ownroot.services.records import Device


class Reregistration(StrEnum):
    """What happens to the second key."""

    REJECT = "reject"
    IF_NEVER_SEEN = "if-never-seen"
    REPLACE = "replace"

    def lets_replace(self, known: Device) -> bool:
        """Say whether another key may take the place of this device's."""
        if self is Reregistration.IF_NEVER_SEEN:
            return known.last_seen is None
        return self is Reregistration.REPLACE
